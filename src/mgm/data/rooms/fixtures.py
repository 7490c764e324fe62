"""Fixtures of walls, floor and bathroom: windows, doors, pictures, mirrors, curtains, rugs, sanitary ware."""

from __future__ import annotations

from mgm.data.rooms.dice import Dice
from mgm.data.rooms.materials import Materials
from mgm.data.rooms.model import Model


def window(dice: Dice, materials: Materials, width: float, height: float, brightness: float) -> Model:
    """A window with pane, frame, bars and sill; the origin is the middle of the lower edge."""
    model = Model("window", width, 0.1, height)
    frame, thick = materials.lacquer() if dice.chance(0.7) else materials.wood(), dice.uniform(0.05, 0.09)
    pane = materials.outdoors(height, brightness)
    model.box(pane, (0, 0.01, height / 2), (width, 0.02, height), casts=False)
    for x in (-width / 2, width / 2):
        model.box(frame, (x, 0.03, height / 2), (thick, 0.07, height + thick), casts=False)
    for z in (0.0, height):
        model.box(frame, (0, 0.03, z), (width + thick, 0.07, thick), casts=False)
    for k in range(1, dice.integer(1, 3)):
        model.box(
            frame, ((k / 2 - 0.5) * width + (width / 2 if k == 2 else 0), 0.025, height / 2), (0.04, 0.04, height)
        )
    if dice.chance(0.6):
        model.box(frame, (0, 0.025, height * dice.choice((0.5, 0.68))), (width, 0.04, 0.04), casts=False)
    if dice.chance(0.5):
        model.box(frame, (0, 0.08, -thick), (width + 0.2, 0.16, 0.035), casts=False)
    return model


def door(dice: Dice, materials: Materials) -> Model:
    """A door with panels, frame and handle."""
    width, height = dice.uniform(0.8, 0.95), dice.uniform(1.98, 2.12)
    model = Model("door", width, 0.08, height)
    leaf = (
        materials.doors(width, height, dice.integer(1, 2), dice.integer(1, 4))
        if dice.chance(0.7)
        else materials.furniture()
    )
    frame = leaf if dice.chance(0.3) else materials.furniture()
    model.box(leaf, (0, 0.02, height / 2), (width, 0.04, height))
    for x in (-width / 2 - 0.03, width / 2 + 0.03):
        model.box(frame, (x, 0.03, height / 2), (0.08, 0.06, height))
    model.box(frame, (0, 0.03, height + 0.03), (width + 0.14, 0.06, 0.08))
    metal, x = materials.metal(), dice.sign() * (width / 2 - 0.08)
    model.ball(metal, (x, 0.08, 1.0), 0.03)
    model.rod(metal, (x, 0.05, 1.0), 0.015, 0.06, (1.5708, 0, 0))
    return model


def picture(dice: Dice, materials: Materials) -> Model:
    """A framed picture; the origin is its lower edge."""
    width, height = dice.uniform(0.3, 1.1), dice.uniform(0.3, 0.8)
    model = Model("picture", width, 0.04, height)
    if dice.chance(0.8):
        model.box(materials.furniture(), (0, 0.012, height / 2), (width, 0.025, height))
        edge = dice.uniform(0.04, 0.1)
    else:
        edge = 0.0
    if dice.chance(0.3):
        model.box(materials.lacquer(), (0, 0.018, height / 2), (width - edge, 0.025, height - edge))
        edge += 0.14
    inner = max(width - edge, 0.15), max(height - edge, 0.15)
    model.box(materials.art(inner[1]), (0, 0.022, height / 2), (inner[0], 0.026, inner[1]))
    return model


def board(dice: Dice, materials: Materials, width: float) -> Model:
    """A blackboard, whiteboard or pin board (class picture)."""
    height = dice.uniform(1.0, 1.25)
    model = Model("picture", width, 0.08, height)
    body, ink = dice.choice(
        (
            ((0.03, 0.09, 0.05), (0.6, 0.6, 0.6)),
            ((0.75, 0.76, 0.77), (0.05, 0.06, 0.2)),
            ((0.4, 0.26, 0.13), (0.7, 0.7, 0.6)),
        )
    )
    face = materials.add("print", materials.near(body), ink, (0.12, 0.12), dice.uniform(0.2, 0.8), 0.2, upright=True)
    model.box(materials.metal(), (0, 0.012, height / 2), (width, 0.025, height))
    model.box(face, (0, 0.018, height / 2), (width - 0.06, 0.026, height - 0.06))
    model.box(materials.metal(), (0, 0.05, 0.0), (width * 0.8, 0.08, 0.025))
    return model


def mirror(dice: Dice, materials: Materials) -> Model:
    """A mirror with or without a frame; the origin is its lower edge."""
    width, height = dice.uniform(0.45, 1.1), dice.uniform(0.6, 1.1)
    model = Model("mirror", width, 0.03, height)
    glass = materials.add("plain", (0.8, 0.84, 0.85), None, (1, 1), 0.0, -1.0)
    if dice.chance(0.2):
        model.tube(materials.furniture(), (0, 0.01, height / 2), (height / 2, height / 2), 0.02, turn=(1.5708, 0, 0))
        model.tube(glass, (0, 0.014, height / 2), (height / 2 - 0.05, height / 2 - 0.05), 0.022, turn=(1.5708, 0, 0))
        return model
    if dice.chance(0.6):
        model.box(materials.furniture(), (0, 0.01, height / 2), (width, 0.025, height))
        model.box(glass, (0, 0.014, height / 2), (width - 0.08, 0.025, height - 0.08))
    else:
        model.box(glass, (0, 0.01, height / 2), (width, 0.02, height))
    return model


def curtains(dice: Dice, materials: Materials, width: float, height: float) -> Model:
    """Two gathered curtains on a rod beside an opening of the given width; the origin is the lower edge."""
    model, cloth = Model("curtain", width, 0.16, height), materials.fabric()
    reach = dice.uniform(0.12, 0.32) * width + 0.08
    folds = max(3, round(reach / 0.085))
    for side in (-1, 1):
        for k in range(folds):
            x = side * (width / 2 + 0.12 - (k + 0.5) * reach / folds)
            depth = 0.09 + 0.02 * (k % 2)
            model.tube(
                cloth,
                (x, depth, height / 2),
                (reach / folds * 0.62, 0.05),
                height,
                dice.uniform(-0.1, 0.05),
                (False, False),
            )
    model.rod(materials.metal(), (0, 0.1, height + 0.01), 0.018, width + 0.5, (0, 1.5708, 0))
    return model


def flat_television(dice: Dice, materials: Materials) -> Model:
    """A large flat screen, on a wall or on its stand; the origin is its lower edge."""
    width = dice.uniform(0.8, 1.35)
    height = width * 0.58
    model, case = Model("television", width, 0.12, height), materials.add("plain", (0.02, 0.02, 0.02), specular=0.4)
    model.box(case, (0, 0.06, height / 2 + 0.05), (width, 0.05, height))
    model.box(materials.screen(), (0, 0.086, height / 2 + 0.05), (width - 0.05, 0.006, height - 0.05))
    model.box(case, (0, 0.08, 0.03), (width * 0.35, 0.14, 0.06))
    return model


def floor_mat(dice: Dice, materials: Materials, width: float, depth: float) -> Model:
    """A rectangular or round rug, often with a border; the origin is its centre."""
    model, cloth = Model("floor mat", width, depth, 0.015), materials.fabric()
    if dice.chance(0.25):
        model.tube(cloth, (0, 0, 0.006), (width / 2, depth / 2), 0.012, casts=False)
        if dice.chance(0.5):
            model.tube(materials.fabric(), (0, 0, 0.008), (width * 0.38, depth * 0.38), 0.014, casts=False)
        return model
    model.box(cloth, (0, 0, 0.006), (width, depth, 0.012), casts=False)
    if dice.chance(0.5):
        model.box(materials.fabric(), (0, 0, 0.008), (width - 0.3, depth - 0.3, 0.013), casts=False)
    return model


def toilet(dice: Dice, materials: Materials) -> Model:
    """A toilet with cistern, bowl, seat and lid."""
    model, body = Model("toilet", 0.42, 0.68, 0.85), materials.ceramic()
    seat = body if dice.chance(0.5) else materials.furniture()
    rim = dice.uniform(0.38, 0.44)
    if dice.chance(0.75):
        model.box(body, (0, 0.09, rim + 0.2), (0.38, 0.18, 0.36))
        model.box(body, (0, 0.09, rim + 0.39), (0.4, 0.2, 0.03))
    model.box(body, (0, 0.16, rim * 0.5), (0.2, 0.3, rim - 0.05))
    model.tube(body, (0, 0.36, rim * 0.3), (0.13, 0.2), rim * 0.6, taper=-0.1)
    model.ball(body, (0, 0.42, rim), (0.19, 0.25, rim * 0.72), high=0.0)
    model.tube(seat, (0, 0.42, rim + 0.012), (0.2, 0.26), 0.025)
    if dice.chance(0.5):
        model.tube(seat, (0, 0.2, rim + 0.24), (0.19, 0.23), 0.025, turn=(1.4, 0, 0))
    else:
        model.ball(materials.ceramic(), (0, 0.42, rim + 0.026), (0.13, 0.18, 0.006), casts=False)
    return model


def washbasin(dice: Dice, materials: Materials) -> Model:
    """A washbasin on a column or a cabinet, with a tap."""
    width, depth, height = dice.uniform(0.5, 0.75), dice.uniform(0.42, 0.5), dice.uniform(0.8, 0.88)
    model, body, metal = Model("sink", width, depth, height + 0.15), materials.ceramic(), materials.metal()
    if dice.chance(0.5):
        wide = width + dice.uniform(0.05, 0.5)
        front = materials.doors(wide, height, max(1, round(wide / 0.4)), 1)
        model.width = wide
        model.box(front, (0, depth / 2, height / 2 - 0.02), (wide, depth, height - 0.04), label="cabinet")
        model.box(materials.stone(), (0, depth / 2, height - 0.02), (wide + 0.02, depth + 0.02, 0.04), label="counter")
        model.ball(body, (0, depth / 2 + 0.03, height + 0.11), (width * 0.42, depth * 0.4, 0.12), high=0.0)
    else:
        model.tube(body, (0, depth * 0.4, height * 0.42), 0.09, height * 0.84, taper=-0.2)
        model.ball(body, (0, depth / 2, height), (width / 2, depth / 2, 0.2), high=0.0)
        model.box(body, (0, 0.06, height - 0.03), (width * 0.9, 0.12, 0.1))
    model.tube(metal, (0, 0.07, height + 0.1), 0.016, 0.2)
    model.tube(metal, (0, 0.13, height + 0.19), 0.013, 0.14, turn=(1.45, 0, 0))
    return model


def bathtub(dice: Dice, materials: Materials) -> Model:
    """A rectangular built-in bathtub, or a free-standing half ellipsoid on feet."""
    width, depth, height = dice.uniform(1.5, 1.8), dice.uniform(0.7, 0.82), dice.uniform(0.5, 0.6)
    model, body, metal = Model("bathtub", width, depth, height), materials.ceramic(), materials.metal()
    if dice.chance(0.35):
        model.ball(body, (0, depth / 2, height), (width / 2, depth / 2, height * 0.9), high=0.0)
        model.ball(body, (0, depth / 2, height), (width * 0.46, depth * 0.44, height * 0.8), high=0.0)
        for x in (-0.3, 0.3):
            model.box(metal, (x * width, depth / 2, 0.08), (0.06, depth * 0.5, 0.16))
    else:
        side, rim = body if dice.chance(0.6) else materials.tiles(), 0.07
        for y in (rim / 2, depth - rim / 2):
            model.box(side, (0, y, height / 2), (width, rim, height - 0.03))
            model.box(body, (0, y, height - 0.01), (width + 0.01, rim + 0.02, 0.035))
        for x in (-(width - rim) / 2, (width - rim) / 2):
            model.box(side, (x, depth / 2, height / 2), (rim, depth, height - 0.03))
            model.box(body, (x, depth / 2, height - 0.01), (rim + 0.02, depth + 0.01, 0.035))
        model.box(body, (0, depth / 2, 0.12), (width - 0.1, depth - 0.1, 0.06))
        if dice.chance(0.4):
            water = materials.add("plain", (0.25, 0.5, 0.55), None, (0.3, 0.3), 0.2, 0.8, 90)
            model.box(water, (0, depth / 2, height - 0.16), (width - 0.12, depth - 0.12, 0.02))
    x = dice.sign() * width * 0.38
    model.tube(metal, (x, 0.06, height + 0.1), 0.018, 0.2)
    model.tube(metal, (x, 0.12, height + 0.18), 0.015, 0.14, turn=(1.5, 0, 0))
    return model


def shower_curtain(dice: Dice, materials: Materials) -> Model:
    """A gathered curtain on a rod, for the front of a bathtub (class curtain)."""
    model, cloth, count = Model("curtain", 1.6, 0.1, 1.9), materials.fabric(), dice.integer(4, 8)
    for k in range(count):
        model.tube(cloth, (-0.7 + k * 0.085, 0.05, 1.05), (0.055, 0.04), 1.5, 0, (False, False))
    model.rod(materials.metal(), (0, 0.05, 1.83), 0.014, 1.6, (0, 1.5708, 0))
    return model


def towel_rail(dice: Dice, materials: Materials) -> Model:
    """A rod with a towel over it (class otherprop); the origin is its lower edge."""
    width = dice.uniform(0.35, 0.6)
    model, cloth = Model("otherprop", width, 0.1, 0.6), materials.fabric()
    model.rod(materials.metal(), (0, 0.06, 0.58), 0.012, width + 0.1, (0, 1.5708, 0))
    model.box(cloth, (0, 0.08, 0.34), (width * 0.8, 0.015, dice.uniform(0.35, 0.5)))
    model.tube(cloth, (0, 0.06, 0.58), 0.025, width * 0.8, turn=(0, 1.5708, 0))
    return model


def wall_shelf(dice: Dice, materials: Materials) -> Model:
    """A board on brackets (class bookshelf); the origin is at the back of its upper side."""
    width = dice.uniform(0.5, 1.2)
    model, wood = Model("bookshelf", width, 0.26, 0.35), materials.furniture()
    model.box(wood, (0, 0.13, -0.015), (width, 0.26, 0.03))
    for x in (-width * 0.4, width * 0.4):
        model.box(wood, (x, 0.06, -0.08), (0.025, 0.1, 0.12))
    return model
