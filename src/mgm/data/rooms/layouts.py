"""Furniture of each scene type. Types share most objects, so that no single object reveals the type."""

from __future__ import annotations

from collections.abc import Callable
from math import pi

from mgm.data.rooms import fixtures, seating, small, storage
from mgm.data.rooms.dice import Dice
from mgm.data.rooms.ensembles import (
    ceiling_lights,
    doors,
    odds_and_ends,
    rug,
    seats_around,
    strew,
    wall_decoration,
    windows,
    workplace,
)
from mgm.data.rooms.room import Room, Spot


def build(dice: Dice, scene: str) -> Room:
    """Build a furnished room of the given scene type."""
    return _LAYOUTS[scene](dice)


def _shell(
    dice: Dice,
    area: tuple[float, float],
    window_share: float = 0.8,
    curtain_share: float = 0.4,
    tiled_share: float = 0.02,
    lamps: int = 1,
) -> Room:
    """Build an empty room with doors, windows and lights; ``area`` is the range of both floor sides in metres."""
    room = Room(dice, dice.uniform(*area), dice.uniform(*area), dice.uniform(2.35, 3.0))
    tiled = dice.chance(tiled_share)
    room.paint_sides(hard_floor=tiled or tiled_share > 0.1, tiled=tiled)
    daylight = dice.uniform(0.5, 2.2)
    if dice.chance(window_share):
        windows(room, dice.integer(1, 2), daylight, curtain_share)
    doors(room, dice.integer(1, 2))
    ceiling_lights(room, lamps if dice.chance(0.85) else 0, dice.chance(0.75))
    return room


def _bathroom(dice: Dice) -> Room:
    room = _shell(dice, (2.0, 3.2), 0.5, 0.25, 0.55)
    materials = room.materials
    room.perhaps(0.92, fixtures.toilet)
    if dice.chance(0.65):
        spot = room.against_wall(fixtures.bathtub(dice, materials), corner=True)
        if spot and dice.chance(0.4):
            x, y = spot.world(0, spot.model.depth - 0.06)
            room.put(Spot(fixtures.shower_curtain(dice, materials), x, y, 0.15, spot.yaw), solid=False)
    spot = room.against_wall(fixtures.washbasin(dice, materials))
    if spot and dice.chance(0.75):
        room.at_wall(fixtures.mirror(dice, materials), spot.wall, spot.along, 1.15)
    if dice.chance(0.6):
        room.against_wall(fixtures.towel_rail(dice, materials), z=dice.uniform(0.7, 1.2))
    room.perhaps(0.2, storage.washing_machine)
    if dice.chance(0.35):
        room.against_wall(storage.cabinet(dice, materials, 0.45, 0.35, dice.uniform(0.7, 1.8)))
    rug(room, 0.5)
    wall_decoration(room, dice.integer(0, 2), 0.2)
    odds_and_ends(room, 0, 1)
    return room


def _bedroom(dice: Dice) -> Room:
    room = _shell(dice, (3.0, 4.6), 0.85, 0.65)
    materials = room.materials
    spot = room.against_wall(seating.bed(dice, materials))
    if spot:
        for side in (-1, 1):
            stand = storage.night_stand(dice, materials)
            place = spot.along + side * (spot.model.width / 2 + stand.width / 2 + 0.06)
            beside = room.at_wall(stand, spot.wall, place) if dice.chance(0.65) else None
            if beside and dice.chance(0.75):
                room.on_top(small.table_lamp(dice, materials), beside, 0, 0.04)
        rug(room, 0.45, spot)
    room.perhaps(0.7, storage.wardrobe)
    if dice.chance(0.45):
        chest = room.against_wall(storage.chest(dice, materials))
        if chest:
            strew(room, chest, dice.integer(1, 3))
    if dice.chance(0.3):
        workplace(room, 0.5)
    wall_decoration(room, dice.integer(1, 3), 0.15)
    odds_and_ends(room, 0, 3)
    return room


def _classroom(dice: Dice) -> Room:
    room = _shell(dice, (5.0, 7.5), 0.85, 0.15, lamps=dice.integer(2, 3))
    materials = room.materials
    front = dice.integer(0, 3)
    span = room.span(front)
    room.at_wall(fixtures.board(dice, materials, dice.uniform(1.8, min(3.5, span - 1))), front, span / 2, 0.85)
    desk, chair = storage.table(dice, materials, round_share=0.0), seating.dining_chair(dice, materials)
    yaw = (0.0, pi / 2, pi, -pi / 2)[front] + pi
    across, deep = dice.uniform(1.7, 2.2), dice.uniform(1.4, 1.8)
    desk.width = min(desk.width, across - 0.4)
    origin = Spot(desk, room.size[0] / 2, room.size[1] / 2, 0.0, yaw)
    for row in range(-2, 2):
        for column in (-1, 0, 1):
            x, y = origin.world(column * across + dice.uniform(-0.1, 0.1), row * deep + dice.uniform(-0.1, 0.1))
            place = Spot(desk, x, y, 0.0, yaw + dice.uniform(-0.06, 0.06))
            if dice.chance(0.85) and room.put(place):
                seat_x, seat_y = place.world(dice.uniform(-0.2, 0.2), -dice.uniform(0.1, 0.4))
                if dice.chance(0.85):
                    room.put(Spot(chair, seat_x, seat_y, 0.0, place.yaw + dice.uniform(-0.2, 0.2)), solid=False)
                if dice.chance(0.3):
                    strew(room, place, 1, 0.3)
    room.perhaps(0.5, storage.bookshelf)
    if dice.chance(0.4):
        workplace(room, 0.4)
    wall_decoration(room, dice.integer(1, 3), 0.0)
    odds_and_ends(room, 0, 2)
    return room


def _dining_room(dice: Dice) -> Room:
    room = _shell(dice, (3.2, 4.8), 0.85, 0.5)
    materials = room.materials
    rug(room, 0.35)
    spot = room.free(storage.table(dice, materials, round_share=0.35), reach=0.25, turn=0.15, margin=0.3)
    if spot:
        seats_around(room, spot, seating.dining_chair, dice.integer(3, 6))
        strew(room, spot, dice.integer(0, 3), 0.4)
    if dice.chance(0.7):
        chest = room.against_wall(storage.chest(dice, materials))
        if chest:
            strew(room, chest, dice.integer(1, 3))
    if dice.chance(0.3):
        room.against_wall(storage.wardrobe(dice, materials))
    elif dice.chance(0.2):
        room.against_wall(storage.fridge(dice, materials))
    wall_decoration(room, dice.integer(1, 4), 0.1)
    odds_and_ends(room, 0, 3)
    return room


def _foyer(dice: Dice) -> Room:
    room = Room(dice, dice.uniform(1.5, 2.6), dice.uniform(3.2, 6.5), dice.uniform(2.35, 3.0))
    materials = room.materials
    room.paint_sides(hard_floor=True, tiled=False)
    doors(room, dice.integer(2, 4))
    if dice.chance(0.4):
        windows(room, 1, dice.uniform(0.5, 2.2), 0.3)
    ceiling_lights(room, dice.integer(1, 2), dice.chance(0.75))
    if dice.chance(0.7):
        chest = room.against_wall(
            storage.cabinet(dice, materials, dice.uniform(0.6, 1.2), 0.32, dice.uniform(0.7, 1.0))
        )
        if chest:
            strew(room, chest, dice.integer(1, 3))
            if dice.chance(0.6):
                room.at_wall(fixtures.mirror(dice, materials), chest.wall, chest.along, 1.2)
    if dice.chance(0.35):
        room.against_wall(storage.cabinet(dice, materials, dice.uniform(0.8, 1.4), 0.45, dice.uniform(1.8, 2.2)))
    room.perhaps(0.5, seating.chair, gap=0.03)
    rug(room, 0.6)
    wall_decoration(room, dice.integer(1, 4), 0.2)
    odds_and_ends(room, 0, 2)
    return room


def _kitchen(dice: Dice) -> Room:
    room = _shell(dice, (2.6, 4.2), 0.75, 0.2, 0.2)
    materials = room.materials
    if dice.chance(0.92):
        fridge = storage.fridge(dice, materials)
        _ = room.against_wall(fridge, corner=True) or room.against_wall(fridge)
    basin = True
    for _ in range(dice.integer(1, 2)):
        width = dice.uniform(1.2, 2.6)
        spot = room.against_wall(storage.counter(dice, materials, width, basin, stove=True))
        if not spot:
            continue
        basin = False
        strew(room, spot, dice.integer(0, 3), 0.4)
        if dice.chance(0.75):
            room.at_wall(storage.wall_cabinet(dice, materials, width), spot.wall, spot.along, dice.uniform(1.4, 1.55))
    if dice.chance(0.55):
        spot = room.free(storage.table(dice, materials), reach=0.4, margin=0.15)
        if spot:
            seats_around(room, spot, seating.chair, dice.integer(1, 4))
            strew(room, spot, dice.integer(0, 2), 0.4)
    room.perhaps(0.2, storage.washing_machine)
    rug(room, 0.2)
    wall_decoration(room, dice.integer(0, 2), 0.0)
    odds_and_ends(room, 0, 2)
    return room


def _laundry_room(dice: Dice) -> Room:
    room = _shell(dice, (1.9, 3.4), 0.5, 0.15, 0.3)
    materials = room.materials
    for _ in range(dice.integer(1, 2)):
        spot = room.against_wall(storage.washing_machine(dice, materials))
        if spot:
            strew(room, spot, dice.integer(0, 1), 0.4)
            if dice.chance(0.4):
                room.at_wall(storage.wall_cabinet(dice, materials), spot.wall, spot.along, 1.5)
    if dice.chance(0.6):
        room.against_wall(storage.counter(dice, materials, dice.uniform(0.9, 1.8), dice.chance(0.7), stove=False))
    elif dice.chance(0.5):
        room.against_wall(fixtures.washbasin(dice, materials))
    room.perhaps(0.4, storage.bookshelf)
    if dice.chance(0.2):
        room.against_wall(storage.fridge(dice, materials))
    elif dice.chance(0.35):
        room.against_wall(storage.wardrobe(dice, materials))
    for _ in range(dice.integer(0, 3)):
        room.free(small.carton(dice, materials, dice.uniform(0.3, 0.65)), reach=0.95, turn=0.8, margin=0.0)
    if dice.chance(0.4):
        room.against_wall(fixtures.towel_rail(dice, materials), z=dice.uniform(0.7, 1.2))
    rug(room, 0.2)
    wall_decoration(room, dice.integer(0, 1), 0.1, 0.5)
    odds_and_ends(room, 0, 2)
    return room


def _living_room(dice: Dice) -> Room:
    room = _shell(dice, (3.6, 5.6), 0.9, 0.6)
    materials = room.materials
    spot = room.against_wall(seating.sofa(dice, materials), gap=dice.uniform(0.01, 0.4))
    if spot:
        rug(room, 0.6, spot)
        low = storage.table(dice, materials, low=True)
        distance = spot.model.depth + dice.uniform(0.35, 0.6) + low.depth
        before = room.facing(low, spot, dice.uniform(-0.2, 0.2), distance) if dice.chance(0.75) else None
        if before:
            strew(room, before, dice.integer(0, 2), 0.3)
    for _ in range(dice.integer(0, 2)):
        room.free(seating.armchair(dice, materials), reach=0.8, turn=0.6)
    if dice.chance(0.6):
        walls = ((spot.wall + 2) % 4,) if spot else (0, 1, 2, 3)
        stand = room.against_wall(storage.chest(dice, materials), walls=walls)
        if stand:
            room.on_top(fixtures.flat_television(dice, materials), stand, 0, 0.08)
    room.perhaps(0.5, storage.bookshelf)
    room.perhaps(0.5, small.floor_lamp, gap=0.08)
    wall_decoration(room, dice.integer(1, 4), 0.08)
    odds_and_ends(room, 0, 3)
    return room


def _office(dice: Dice) -> Room:
    room = _shell(dice, (2.8, 4.6), 0.8, 0.3)
    materials = room.materials
    for _ in range(dice.integer(1, 3)):
        workplace(room, 0.85)
    for _ in range(dice.integer(0, 2)):
        room.against_wall(storage.bookshelf(dice, materials))
    if dice.chance(0.5):
        room.against_wall(storage.cabinet(dice, materials, dice.uniform(0.4, 0.9), 0.5, dice.uniform(0.7, 1.9)))
    room.perhaps(0.25, seating.sofa)
    if dice.chance(0.3):
        room.against_wall(fixtures.board(dice, materials, dice.uniform(1.0, 1.8)), z=0.9)
    rug(room, 0.2)
    wall_decoration(room, dice.integer(0, 3), 0.0, 0.3)
    odds_and_ends(room, 0, 3)
    return room


def _playroom(dice: Dice) -> Room:
    room = _shell(dice, (3.0, 4.8), 0.85, 0.45)
    materials = room.materials
    rug(room, 0.8)
    spot = room.free(storage.table(dice, materials, low=True), reach=0.6, margin=0.2) if dice.chance(0.7) else None
    if spot:
        strew(room, spot, dice.integer(0, 2), 0.3)
        seats_around(room, spot, seating.stool, dice.integer(1, 4))
    for _ in range(dice.integer(1, 2)):
        room.against_wall(storage.bookshelf(dice, materials))
    room.perhaps(0.3, seating.sofa)
    room.perhaps(0.2, seating.bed)
    if dice.chance(0.3):
        stand = room.against_wall(storage.chest(dice, materials))
        if stand and dice.chance(0.7):
            room.on_top(fixtures.flat_television(dice, materials), stand, 0, 0.08)
    for _ in range(dice.integer(3, 8)):
        room.free(small.toy(dice, materials, dice.uniform(0.15, 0.45)), reach=0.9, turn=0.8, margin=0.0)
    for _ in range(dice.integer(0, 3)):
        room.free(small.carton(dice, materials, dice.uniform(0.25, 0.6)), reach=0.95, turn=0.8, margin=0.0)
    wall_decoration(room, dice.integer(1, 4), 0.03)
    odds_and_ends(room, 0, 1)
    return room


_LAYOUTS: dict[str, Callable[[Dice], Room]] = {
    layout.__name__.removeprefix("_"): layout
    for layout in (
        _bathroom, _bedroom, _classroom, _dining_room, _foyer, _kitchen, _laundry_room, _living_room, _office, _playroom,
    )
}  # fmt: skip
