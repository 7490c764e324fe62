"""Beds, chairs, sofas and pillows."""

from __future__ import annotations

from collections.abc import Callable

from mgm.data.rooms.dice import Dice
from mgm.data.rooms.materials import Materials
from mgm.data.rooms.model import Model

Maker = Callable[[Dice, Materials], Model]


def pillow(dice: Dice, materials: Materials) -> Model:
    """A cushion lying flat: a flattened ellipsoid."""
    width, depth, height = dice.uniform(0.4, 0.65), dice.uniform(0.3, 0.45), dice.uniform(0.12, 0.2)
    model = Model("pillow", width, depth, height)
    model.ball(materials.fabric(), (0, depth / 2, height / 2), (width / 2, depth / 2, height / 2))
    return model


def bed(dice: Dice, materials: Materials) -> Model:
    """Frame, mattress, headboard, blanket, pillows."""
    width, depth = dice.choice((0.9, 1.2, 1.5, 1.8)), dice.uniform(1.9, 2.1)
    base, thick = dice.uniform(0.18, 0.35), dice.uniform(0.15, 0.3)
    model = Model("bed", width, depth, base + thick + 0.5)
    frame, sheet, cover = materials.furniture(), materials.fabric(0.3), materials.fabric()
    if dice.chance(0.4):
        model.legs(frame, width, depth, base, 0.07, dice.chance(0.5))
        model.box(frame, (0, depth / 2, base * 0.75), (width, depth, base * 0.5))
    else:
        model.box(frame, (0, depth / 2, base / 2), (width, depth, base))
    top = base + thick
    model.box(sheet, (0, depth / 2, base + thick / 2), (width - 0.04, depth - 0.06, thick))
    if dice.chance(0.8):
        reach = dice.uniform(0.4, 0.75) * depth
        model.box(cover, (0, depth - reach / 2 + 0.01, top - 0.09), (width + 0.03, reach, 0.25))
    board = dice.uniform(0.2, 0.65)
    if dice.chance(0.75):
        model.box(frame, (0, 0.03, (top + board) / 2), (width + 0.04, 0.06, top + board))
    if dice.chance(0.3):
        model.box(frame, (0, depth, (base + 0.25) / 2), (width + 0.04, 0.05, base + 0.35))
    count = 1 if width < 1.3 else dice.integer(1, 3)
    for k in range(count):
        x = (k - (count - 1) / 2) * (width - 0.1) / max(count, 2)
        model.attach(pillow(dice, materials), (x, 0.1, top - 0.02), dice.uniform(-0.12, 0.12))
    return model


def dining_chair(dice: Dice, materials: Materials) -> Model:
    """Four legs, a seat and a back: solid, slatted or with rungs."""
    width, depth, seat = dice.uniform(0.38, 0.48), dice.uniform(0.4, 0.5), dice.uniform(0.42, 0.48)
    top = seat + dice.uniform(0.35, 0.6)
    model = Model("chair", width, depth, top)
    frame = materials.metal() if dice.chance(0.25) else materials.furniture()
    cloth = materials.fabric() if dice.chance(0.6) else frame
    thick = dice.uniform(0.025, 0.05)
    model.legs(frame, width, depth, seat, thick, dice.chance(0.4))
    model.box(cloth, (0, depth / 2, seat), (width, depth, dice.uniform(0.03, 0.08)))
    lean = dice.uniform(0.0, 0.2)
    middle, length = (seat + top) / 2, top - seat
    style = dice.integer(0, 2)
    if style == 0:
        model.box(cloth, (0, 0.0, middle + 0.04), (width, 0.04, length * 0.85), (lean, 0, 0))
        return model
    for x in (-width / 2 + thick / 2, width / 2 - thick / 2):
        model.box(frame, (x, 0.0, middle), (thick, thick, length), (lean, 0, 0))
    if style == 1:
        for k in (0.1, 0.32):
            shift = -lean * k * length
            model.box(frame, (0, shift, middle + k * length), (width, 0.02, length * 0.16), (lean, 0, 0))
    else:
        model.box(frame, (0, -lean * 0.45 * length, top - 0.04), (width, 0.03, 0.08), (lean, 0, 0))
        for k in (-0.2, 0.0, 0.2):
            model.box(frame, (k * width, 0, middle), (0.03, 0.015, length), (lean, 0, 0))
    return model


def office_chair(dice: Dice, materials: Materials) -> Model:
    """A swivel chair on a base with five arms."""
    width, seat = dice.uniform(0.44, 0.52), dice.uniform(0.42, 0.52)
    top = seat + dice.uniform(0.4, 0.7)
    model = Model("chair", width + 0.1, width + 0.1, top)
    frame, cloth = materials.metal(), materials.fabric()
    y = width / 2 + 0.05
    for k in range(5):
        yaw = 1.2566 * k
        arm = Model("chair")
        arm.box(frame, (0.13, 0, 0.07), (0.28, 0.04, 0.035), (0, 0.12, 0))
        arm.ball(frame, (0.26, 0, 0.03), 0.03, casts=False)
        model.attach(arm, (0, y, 0), yaw)
    model.rod(frame, (0, y, seat / 2 + 0.03), 0.03, seat - 0.1)
    model.box(cloth, (0, y, seat), (width, width, 0.09))
    model.box(
        cloth, (0, 0.08, (seat + top) / 2 + 0.06), (width * 0.9, 0.07, top - seat - 0.1), (dice.uniform(0, 0.2), 0, 0)
    )
    if dice.chance(0.5):
        for x in (-width / 2, width / 2):
            model.box(frame, (x, y, seat + 0.2), (0.05, 0.28, 0.03))
            model.box(frame, (x, y, seat + 0.1), (0.03, 0.04, 0.2))
    return model


def stool(dice: Dice, materials: Materials) -> Model:
    """A round seat on splayed legs or a solid pouffe."""
    radius, seat = dice.uniform(0.16, 0.24), dice.uniform(0.4, 0.72)
    model = Model("chair", 2 * radius, 2 * radius, seat)
    if dice.chance(0.3):
        model.tube(materials.fabric(), (0, radius, 0.2), radius, 0.4, taper=dice.uniform(-0.1, 0.1))
        return model
    frame = materials.metal() if dice.chance(0.4) else materials.wood()
    model.tube(
        materials.furniture() if dice.chance(0.5) else materials.fabric(), (0, radius, seat - 0.03), radius, 0.06
    )
    for x, y in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        spread = 0.6 * radius
        model.rod(frame, (x * spread, radius + y * spread, seat / 2), 0.016, seat, turn=(0.12 * y, -0.12 * x, 0))
    return model


def armchair(dice: Dice, materials: Materials) -> Model:
    """A wide upholstered seat for one (class sofa)."""
    return sofa(dice, materials, seats=1)


def sofa(dice: Dice, materials: Materials, seats: int | None = None) -> Model:
    """Base, back, arms, seat cushions, sometimes pillows."""
    seats = seats or dice.integer(2, 3)
    arm, each = dice.uniform(0.1, 0.24), dice.uniform(0.52, 0.66)
    width, depth = seats * each + 2 * arm, dice.uniform(0.8, 0.98)
    seat, back = dice.uniform(0.38, 0.46), dice.uniform(0.68, 0.92)
    model = Model("sofa", width, depth, back)
    cloth = materials.fabric()
    cushion = cloth if dice.chance(0.7) else materials.fabric()
    foot = dice.uniform(0.03, 0.14)
    model.legs(materials.furniture(), width, depth, foot, 0.05, False)
    model.box(cloth, (0, depth / 2, (seat + foot) / 2 - 0.06), (width, depth, seat - foot - 0.12))
    lean = dice.uniform(0.05, 0.2)
    model.box(cloth, (0, 0.12, (back + foot) / 2), (width, 0.2, back - foot), (lean * 0.3, 0, 0))
    rest = dice.uniform(0.5, 0.66)
    round_arms = dice.chance(0.4)
    for x in (-(width - arm) / 2, (width - arm) / 2):
        model.box(cloth, (x, depth / 2, (rest + foot) / 2), (arm, depth, rest - foot))
        if round_arms:
            model.tube(cloth, (x, depth / 2, rest), arm * 0.58, depth, turn=(1.5708, 0, 0))
    for k in range(seats):
        x = (k - (seats - 1) / 2) * each
        model.box(cushion, (x, depth / 2 + 0.08, seat - 0.05), (each - 0.015, depth - 0.2, 0.15))
        model.box(cushion, (x, 0.26, seat + 0.2), (each - 0.02, 0.15, 0.38), (lean, 0, 0))
    for _ in range(dice.integer(0, seats)):
        place = (dice.uniform(-0.4, 0.4) * (seats * each - 0.4), 0.44, seat + 0.2)
        size = (dice.uniform(0.19, 0.24), 0.07, dice.uniform(0.17, 0.22))
        model.ball(materials.fabric(), place, size, turn=(0.35, 0, dice.uniform(-0.2, 0.2)), label="pillow")
    return model


def chair(dice: Dice, materials: Materials) -> Model:
    """A random kind of chair."""
    return dice.choice((dining_chair, dining_chair, office_chair, stool))(dice, materials)
