"""Small objects: books, boxes, plants, vases, toys, lamps, screens."""

from __future__ import annotations

from mgm.data.rooms.dice import Dice
from mgm.data.rooms.materials import Materials
from mgm.data.rooms.model import Model


def books_row(dice: Dice, materials: Materials, width: float, height: float) -> Model:
    """A row of books; groups of equal volumes share a material, and some books lean."""
    model = Model("books", width, 0.22, height)
    x, end = -width / 2, width / 2 - dice.uniform(0, 0.45) * width
    spines = [_cover(dice, materials) for _ in range(dice.integer(2, 4))]
    while x < end:
        thick = dice.uniform(0.025, 0.085)
        tall, deep = height * dice.uniform(0.62, 1.0), dice.uniform(0.15, 0.23)
        lean = dice.uniform(0.1, 0.25) if dice.chance(0.12) else 0.0
        place = (x + thick / 2 + lean * 0.1, deep / 2, tall / 2)
        model.box(dice.choice(spines), place, (thick - 0.004, deep, tall), (0, lean, 0), casts=False)
        x += thick + lean * 0.25
    return model


def _cover(dice: Dice, materials: Materials) -> int:
    first, second = materials.colour(0.03, 0.7, 1.0), materials.colour(0.03, 0.8, 1.0)
    return materials.add("stripes", first, second, (0.3, 0.11), dice.uniform(0, 0.8), 0.1)


def book_stack(dice: Dice, materials: Materials) -> Model:
    """A stack of a few books."""
    model, z = Model("books", 0.3, 0.25, 0.15), 0.0
    for _ in range(dice.integer(1, 4)):
        thick = dice.uniform(0.02, 0.06)
        size = (dice.uniform(0.18, 0.28), dice.uniform(0.14, 0.22), thick)
        model.box(_cover(dice, materials), (0, 0.12, z + thick / 2), size, (0, 0, dice.uniform(-0.4, 0.4)))
        z += thick
    return model


def carton(dice: Dice, materials: Materials, size: float = 0.5) -> Model:
    """A carton with a lid or a strip of tape."""
    width, depth, height = (dice.uniform(0.5, 1.0) * size for _ in range(3))
    model = Model("box", width, depth, height)
    body = materials.near((0.42, 0.28, 0.16)) if dice.chance(0.5) else materials.colour(0.06, 0.75, 0.9)
    texture = dice.choice(("plaster", "plain", "dots", "stripes"))
    period = dice.uniform(0.06, 0.15)
    number = materials.add(texture, body, materials.near(body, 0.6), (period, period), dice.uniform(0.1, 0.7))
    model.box(number, (0, depth / 2, height / 2), (width, depth, height))
    if dice.chance(0.4):
        model.box(number, (0, depth / 2, height - 0.02), (width * 1.05, depth * 1.05, height * 0.15))
    elif dice.chance(0.6):
        model.box(materials.lacquer(), (0, depth / 2, height / 2), (width * 0.12, depth + 0.004, height + 0.004))
    return model


def vase(dice: Dice, materials: Materials) -> Model:
    """A vase with a neck, sometimes with a branch (class otherprop)."""
    radius, height = dice.uniform(0.05, 0.1), dice.uniform(0.15, 0.28)
    model, body = Model("otherprop", 2 * radius, 2 * radius, height), materials.ceramic()
    model.ball(body, (0, radius, height * 0.4), (radius, radius, height * 0.4))
    model.tube(body, (0, radius, height * 0.85), radius * 0.45, height * 0.3, taper=0.25, caps=(True, False))
    if dice.chance(0.5):
        model.ball(materials.leaves(), (0, radius, height * 1.35), (radius * 1.4, radius * 1.4, height * 0.45))
    return model


def bowl(dice: Dice, materials: Materials) -> Model:
    """A bowl (an open half ellipsoid), often with fruit (class otherprop)."""
    radius, height = dice.uniform(0.08, 0.16), dice.uniform(0.05, 0.1)
    model = Model("otherprop", 2 * radius, 2 * radius, height)
    model.ball(materials.ceramic(), (0, radius, height), (radius, radius, height), high=0.0)
    if dice.chance(0.6):
        fruit = materials.plastic()
        for k in range(3):
            place = ((k - 1) * radius * 0.5, radius * (0.8 + 0.4 * (k % 2)), height)
            model.ball(fruit, place, 0.035, casts=False)
    return model


def toy(dice: Dice, materials: Materials, size: float = 0.2) -> Model:
    """A ball, cone, brick, stacking tower or teddy bear (class otherprop)."""
    radius = size * dice.uniform(0.35, 0.6)
    model, style = Model("otherprop", 2 * radius, 2 * radius, 2 * radius), dice.integer(0, 4)
    if style == 0:
        body = materials.fabric(1.0) if dice.chance(0.5) else materials.plastic()
        model.ball(body, (0, radius, radius), radius)
    elif style == 1:
        model.tube(materials.plastic(), (0, radius, radius), radius * 0.55, 2 * radius, taper=-0.98)
    elif style == 2:
        side = 1.4 * radius
        model.box(materials.plastic(), (0, radius, side / 2), (side, side * dice.uniform(0.5, 1), side), (0, 0, 0.5))
    elif style == 3:
        for k in range(3):
            ring = radius * (1 - 0.25 * k)
            model.tube(materials.plastic(), (0, radius, radius * (0.25 + 0.5 * k)), ring, radius * 0.5)
    else:
        fur = materials.fabric(0.5)
        model.ball(fur, (0, radius, radius * 0.7), (radius * 0.7, radius * 0.6, radius * 0.8))
        model.ball(fur, (0, radius, radius * 1.75), radius * 0.5)
        for x in (-1, 1):
            model.ball(fur, (x * radius * 0.4, radius, radius * 2.15), radius * 0.2)
            model.ball(
                fur, (x * radius * 0.6, radius * 1.4, radius * 0.3), (radius * 0.25, radius * 0.5, radius * 0.25)
            )
    return model


def plant(dice: Dice, materials: Materials) -> Model:
    """A potted plant (class otherprop)."""
    radius, height = dice.uniform(0.13, 0.22), dice.uniform(0.6, 1.5)
    model, green = Model("otherprop", 2 * radius, 2 * radius, height), materials.leaves()
    pot = radius * 1.6
    model.tube(materials.ceramic(), (0, radius, pot / 2), radius * 0.8, pot, taper=0.2, caps=(True, False))
    model.tube(green, (0, radius, pot * 0.85), radius * 0.85, 0.02, casts=False)
    model.rod(materials.wood(), (0, radius, (pot + height * 0.6) / 2), 0.015, height * 0.6)
    for k in range(dice.integer(5, 8)):
        yaw, lean = 0.9 * k + dice.uniform(-0.3, 0.3), dice.uniform(0.4, 1.1)
        length = dice.uniform(0.18, 0.32)
        leaf = Model("otherprop")
        leaf.ball(green, (0, length * 0.7, 0), (length * 0.3, length, 0.02), turn=(lean - 0.2, 0, 0))
        model.attach(leaf, (0, radius, height * dice.uniform(0.55, 0.85)), yaw)
    return model


def table_lamp(dice: Dice, materials: Materials) -> Model:
    """A table lamp with an open conical shade."""
    height, radius = dice.uniform(0.32, 0.55), dice.uniform(0.1, 0.17)
    model, foot = Model("lamp", 2 * radius, 2 * radius, height), materials.metal()
    shade = materials.glowing(dice.uniform(0.5, 1.4)) if dice.chance(0.6) else materials.fabric()
    if dice.chance(0.5):
        model.ball(materials.ceramic(), (0, radius, height * 0.28), (radius * 0.55, radius * 0.55, height * 0.28))
    else:
        model.tube(foot, (0, radius, 0.012), radius * 0.6, 0.024)
    model.rod(foot, (0, radius, height * 0.35), 0.012, height * 0.7)
    model.tube(
        shade, (0, radius, height * 0.78), radius * 0.85, height * 0.44, -dice.uniform(0.1, 0.35), (False, False)
    )
    return model


def floor_lamp(dice: Dice, materials: Materials) -> Model:
    """A floor lamp with a shade or a globe."""
    height, radius = dice.uniform(1.4, 1.75), dice.uniform(0.16, 0.24)
    model, pole = Model("lamp", 2 * radius, 2 * radius, height), materials.metal()
    shade = materials.glowing(dice.uniform(0.5, 1.4)) if dice.chance(0.6) else materials.fabric()
    model.tube(pole, (0, radius, 0.015), 0.14, 0.03)
    model.rod(pole, (0, radius, height / 2), 0.016, height - 0.1)
    if dice.chance(0.7):
        taper = -dice.uniform(0, 0.4)
        model.tube(shade, (0, radius, height - 0.15), radius * 0.85, 0.3, taper, (False, False), casts=False)
    else:
        model.ball(shade, (0, radius, height - 0.1), 0.14, casts=False)
    return model


def ceiling_lamp(dice: Dice, materials: Materials, lit: bool, drop: float) -> Model:
    """A ceiling lamp that hangs from z = 0 down by ``drop``: a globe, cone, tube or flat disc."""
    model, style = Model("lamp", 0.5, 0.5, drop), dice.integer(0, 3)
    shade = materials.glowing(dice.uniform(0.8, 1.8)) if lit else materials.ceramic()
    if style != 3:
        model.rod(materials.metal(), (0, 0, -drop / 2), 0.008, drop)
    if style == 0:
        model.ball(shade, (0, 0, -drop), dice.uniform(0.1, 0.2), casts=False)
    elif style == 1:
        model.tube(
            shade, (0, 0, -drop), dice.uniform(0.13, 0.22), 0.2, -dice.uniform(0.3, 0.7), (False, False), casts=False
        )
    elif style == 2:
        model.ball(shade, (0, 0, -drop - 0.1), dice.uniform(0.16, 0.26), low=0.0, casts=False)
    else:
        model.tube(shade, (0, 0, -0.04), dice.uniform(0.15, 0.26), 0.08, 0.1, casts=False)
    return model


def monitor(dice: Dice, materials: Materials) -> Model:
    """A computer monitor on a stand (class television)."""
    width = dice.uniform(0.42, 0.65)
    height = width * dice.uniform(0.56, 0.75)
    model, case = Model("television", width, 0.2, height + 0.12), materials.plastic()
    model.box(case, (0, 0.1, 0.01), (0.22, 0.16, 0.02))
    model.box(case, (0, 0.07, 0.1), (0.05, 0.03, 0.2))
    model.box(case, (0, 0.1, 0.12 + height / 2), (width, 0.035, height))
    model.box(materials.screen(), (0, 0.119, 0.12 + height / 2), (width - 0.03, 0.006, height - 0.03))
    return model


def keyboard(dice: Dice, materials: Materials) -> Model:
    """A computer keyboard (class otherprop)."""
    model = Model("otherprop", 0.42, 0.15, 0.02)
    colours = materials.near((0.1, 0.1, 0.1), 0.6), materials.near((0.5, 0.5, 0.5), 0.4)
    keys = materials.add("tiles", *colours, (0.03, 0.03), 0.3)
    model.box(keys, (0, 0.07, 0.01), (0.42, 0.14, 0.02), (0, 0, dice.uniform(-0.1, 0.1)))
    return model


def clutter(dice: Dice, materials: Materials, height: float, depth: float) -> Model:
    """A random small object that fits below ``height`` and within ``depth``."""
    draw = dice.integer(0, 5)
    if draw == 0:
        return book_stack(dice, materials)
    if draw == 1:
        return carton(dice, materials, min(height, depth, 0.35))
    if draw == 2 and height > 0.3:
        return vase(dice, materials)
    if draw == 3:
        return bowl(dice, materials)
    if draw == 4 and height > 0.6:
        return table_lamp(dice, materials)
    return toy(dice, materials, min(height, depth, 0.22))
