"""Groups of objects used by several scene types: windows with curtains, tables with chairs, desks, decoration."""

from __future__ import annotations

from math import atan2, cos, pi, sin

from mgm.data.rooms import fixtures, seating, small, storage
from mgm.data.rooms.model import Model
from mgm.data.rooms.room import Opening, Room, Spot
from mgm.data.rooms.seating import Maker


def windows(room: Room, count: int, daylight: float, curtain_share: float) -> None:
    """Add windows in different walls, with or without curtains."""
    dice = room.dice
    for wall in dice.shuffled(range(4))[:count]:
        width = min(dice.uniform(0.7, 2.0), room.span(wall) - 0.8)
        bottom = dice.choice((0.1, 0.85, 0.95, 1.05)) if dice.chance(0.8) else 1.4
        top = min(room.size[2] - 0.15, bottom + dice.uniform(0.8, 1.5))
        along = dice.uniform(width / 2 + 0.3, room.span(wall) - width / 2 - 0.3)
        model = fixtures.window(dice, room.materials, width, top - bottom, daylight)
        if not room.at_wall(model, wall, along, bottom):
            continue
        room.openings.append(Opening(wall, along, width / 2, bottom, top))
        if dice.chance(curtain_share):
            low = dice.choice((0.02, bottom - 0.15)) if bottom > 0.3 else 0.02
            model = fixtures.curtains(dice, room.materials, width, top + 0.1 - low)
            x, y, yaw = room.spots[-1].x, room.spots[-1].y, room.spots[-1].yaw
            room.put(Spot(model, x, y, low, yaw, wall), solid=False)


def doors(room: Room, count: int) -> None:
    """Add doors with free space to open."""
    for _ in range(count):
        room.against_wall(fixtures.door(room.dice, room.materials), clear=0.6)


def ceiling_lights(room: Room, count: int, lit: bool) -> None:
    """Add hanging or flush ceiling lamps in a row along the longer side."""
    dice, (width, length, height) = room.dice, room.size
    for k in range(count):
        share = (k + 1) / (count + 1)
        x = width * (share if width > length else dice.uniform(0.4, 0.6))
        y = length * (dice.uniform(0.4, 0.6) if width > length else share)
        drop = dice.uniform(0.15, max(0.2, height - 2.0))
        model = small.ceiling_lamp(dice, room.materials, lit, drop)
        room.put(Spot(model, x, y, height, 0.0), solid=False)
        room.lamps.append((x, y, height - drop - 0.12))


def seats_around(room: Room, table: Spot, maker: Maker, count: int) -> None:
    """Add chairs of one random design around a table, each pushed in or pulled out a little."""
    dice, model = room.dice, table.model
    chair = maker(dice, room.materials)
    pull = [dice.uniform(0.25, 0.55) for _ in range(count)]
    half = model.depth / 2
    places = [(0.0, -1), (0.0, 1), (1.0, 0), (-1.0, 0)]
    if model.width > 1.25:
        places = [(-0.26, -1), (0.26, -1), (-0.26, 1), (0.26, 1), (1.0, 0), (-1.0, 0)]
    for (side, front), back in zip(places, pull, strict=False):
        if front:
            along, ahead = side * model.width, half + front * (half + back)
        else:
            along, ahead = side * (model.width / 2 + back), half
        x, y = table.world(along, ahead)
        centre = table.world(along if front else 0.0, half)
        yaw = atan2(-(centre[0] - x), centre[1] - y) + dice.uniform(-0.25, 0.25)
        reduced = Model(chair.label, chair.width * 0.7, min(chair.depth, back) * 0.9, chair.height)
        reduced.rows = chair.rows
        room.put(Spot(reduced, x, y, 0.0, yaw))


def workplace(room: Room, computer_share: float) -> Spot | None:
    """Add a desk, often with a chair, a monitor, a lamp and books; None if there is no space."""
    dice, materials = room.dice, room.materials
    spot = room.against_wall(storage.desk(dice, materials))
    if not spot:
        return None
    width, depth = spot.model.width, spot.model.depth
    if dice.chance(0.85):
        seat = seating.office_chair(dice, materials) if dice.chance(0.6) else seating.dining_chair(dice, materials)
        room.facing(seat, spot, dice.uniform(-0.15, 0.15) * width, depth + seat.depth + dice.uniform(0.0, 0.3))
    side = dice.sign()
    if dice.chance(computer_share):
        room.on_top(small.monitor(dice, materials), spot, -side * width * 0.12, 0.06, dice.uniform(-0.2, 0.2))
        room.on_top(small.keyboard(dice, materials), spot, -side * width * 0.12, depth * 0.6)
    if dice.chance(0.45):
        room.on_top(small.table_lamp(dice, materials), spot, side * width * 0.38, 0.1)
    if dice.chance(0.5):
        room.on_top(small.book_stack(dice, materials), spot, side * width * 0.25, depth * 0.4)
    return spot


def strew(room: Room, spot: Spot, count: int, tall: float = 0.7) -> None:
    """Put small objects on top of another one, side by side."""
    dice, model = room.dice, spot.model
    for k in dice.shuffled(range(max(count, int(model.width / 0.4))))[:count]:
        cells = max(count, int(model.width / 0.4))
        along = ((k + 0.5) / cells - 0.5) * model.width * 0.9
        item = small.clutter(dice, room.materials, tall, min(model.depth, model.width / cells))
        ahead = max(0.0, dice.uniform(0.1, 0.9) * (model.depth - item.depth))
        room.on_top(item, spot, along, ahead, dice.uniform(-0.3, 0.3))


def wall_decoration(room: Room, count: int, mirror_share: float = 0.08, shelf_share: float = 0.15) -> None:
    """Add pictures, mirrors and small shelves to the walls."""
    dice, materials = room.dice, room.materials
    for _ in range(count):
        if dice.chance(mirror_share):
            room.against_wall(fixtures.mirror(dice, materials), z=dice.uniform(0.9, 1.3))
        elif dice.chance(shelf_share):
            spot = room.against_wall(fixtures.wall_shelf(dice, materials), z=dice.uniform(1.3, 1.7))
            if spot:
                x, y = spot.world(0, 0.02)
                model = small.books_row(dice, materials, spot.model.width - 0.1, 0.26)
                room.put(Spot(model, x, y, spot.z, spot.yaw), solid=False)
        else:
            room.against_wall(fixtures.picture(dice, materials), z=dice.uniform(1.15, 1.55))


def rug(room: Room, share: float, spot: Spot | None = None) -> None:
    """With probability ``share``, add a rug near the middle or in front of a piece of furniture."""
    dice, (width, length, _) = room.dice, room.size
    if not dice.chance(share):
        return
    across, deep = min(dice.uniform(0.9, 2.4), width - 0.5), min(dice.uniform(0.7, 1.7), length - 0.5)
    x, y, yaw = width * dice.uniform(0.35, 0.65), length * dice.uniform(0.35, 0.65), dice.uniform(-0.3, 0.3)
    if spot:
        x, y = spot.world(0, spot.model.depth + deep * dice.uniform(0.2, 0.5))
        yaw = spot.yaw
    reach = 0.5 * (abs(across * cos(yaw)) + abs(deep * sin(yaw))), 0.5 * (abs(across * sin(yaw)) + abs(deep * cos(yaw)))
    x = min(max(x, reach[0] + 0.02), max(width - reach[0] - 0.02, width / 2))
    y = min(max(y, reach[1] + 0.02), max(length - reach[1] - 0.02, length / 2))
    room.put(Spot(fixtures.floor_mat(dice, room.materials, across, deep), x, y, 0.0, yaw), solid=False)


def odds_and_ends(room: Room, low: int, high: int) -> None:
    """Add objects that occur in any room, so that none of them reveals the scene type."""
    dice, materials = room.dice, room.materials
    for _ in range(dice.integer(low, high)):
        draw = dice.integer(0, 9)
        if draw <= 1:
            room.against_wall(small.plant(dice, materials), gap=0.12)
        elif draw <= 3:
            room.free(small.carton(dice, materials, dice.uniform(0.3, 0.7)), reach=0.95, turn=0.8, margin=0.0)
        elif draw == 4:
            room.against_wall(small.floor_lamp(dice, materials), gap=0.08)
        elif draw == 5:
            room.free(seating.chair(dice, materials), reach=0.9, turn=pi / 4)
        elif draw == 6:
            room.against_wall(storage.bookshelf(dice, materials))
        elif draw == 7:
            spot = room.against_wall(storage.chest(dice, materials))
            if spot:
                strew(room, spot, dice.integer(0, 2))
        elif draw == 8:
            room.free(small.toy(dice, materials, dice.uniform(0.15, 0.4)), reach=0.95, turn=0.8, margin=0.0)
        else:
            room.against_wall(seating.chair(dice, materials), gap=0.05)
