"""Tables, counters, cupboards, shelves and appliances."""

from __future__ import annotations

from mgm.data.rooms.dice import Dice
from mgm.data.rooms.materials import Materials
from mgm.data.rooms.model import Model
from mgm.data.rooms.small import books_row, clutter


def table(dice: Dice, materials: Materials, low: bool = False, round_share: float = 0.3) -> Model:
    """A dining or, if ``low``, a coffee table; round or with corners."""
    height = dice.uniform(0.35, 0.5) if low else dice.uniform(0.7, 0.78)
    top, frame = materials.furniture(), materials.furniture()
    thick = dice.uniform(0.025, 0.06)
    if dice.chance(round_share):
        radius = dice.uniform(0.35, 0.5) if low else dice.uniform(0.45, 0.65)
        model = Model("table", 2 * radius, 2 * radius, height)
        model.tube(top, (0, radius, height - thick / 2), radius, thick)
        model.rod(frame, (0, radius, height / 2), dice.uniform(0.04, 0.1), height - thick)
        model.tube(frame, (0, radius, 0.03), radius * 0.5, 0.06, taper=-0.3)
        return model
    width = dice.uniform(0.6, 1.1) if low else dice.uniform(0.8, 1.8)
    depth = dice.uniform(0.45, 0.7) if low else dice.uniform(0.7, 0.95)
    model = Model("table", width, depth, height)
    model.box(top, (0, depth / 2, height - thick / 2), (width, depth, thick))
    if dice.chance(0.15):
        for x in (-width / 2 + 0.06, width / 2 - 0.06):
            model.box(frame, (x, depth / 2, (height - thick) / 2), (0.05, depth * 0.85, height - thick))
    else:
        model.legs(frame, width, depth, height - thick, dice.uniform(0.035, 0.09), dice.chance(0.3))
    if low and dice.chance(0.4):
        model.box(frame, (0, depth / 2, 0.15), (width - 0.1, depth - 0.1, 0.025))
    return model


def desk(dice: Dice, materials: Materials) -> Model:
    """A desk (class table) with drawers or a panel on one side."""
    width, depth, height = dice.uniform(1.0, 1.6), dice.uniform(0.55, 0.75), dice.uniform(0.7, 0.76)
    model = Model("table", width, depth, height)
    top, side = materials.furniture(), dice.sign()
    model.box(top, (0, depth / 2, height - 0.018), (width, depth, 0.036))
    if dice.chance(0.6):
        x, front = side * (width / 2 - 0.22), materials.doors(0.38, height - 0.1, 1, 3)
        model.box(front, (x, depth / 2, height / 2 - 0.03), (0.4, depth - 0.06, height - 0.06))
        for k in range(3):
            model.tube(top, (x, depth - 0.02, height * (0.22 + 0.27 * k)), 0.015, 0.05, turn=(1.5708, 0, 0))
    else:
        model.box(top, (side * (width / 2 - 0.03), depth / 2, height / 2), (0.04, depth, height - 0.04))
    for y in (0.06, depth - 0.06):
        model.box(top, (-side * (width / 2 - 0.04), y, height / 2), (0.05, 0.05, height - 0.04))
    return model


def cabinet(dice: Dice, materials: Materials, width: float, depth: float, height: float) -> Model:
    """A cupboard, wardrobe or chest with panelled doors or drawers, handles and a plinth."""
    model = Model("cabinet", width, depth, height)
    columns, rows = max(1, round(width / dice.uniform(0.4, 0.6))), max(1, round(height / dice.uniform(0.3, 1.1)))
    foot = dice.uniform(0.03, 0.12)
    front = materials.doors(width, height - foot, columns, rows)
    body = materials.furniture() if dice.chance(0.3) else front
    model.box(front, (0, depth / 2, (height + foot) / 2), (width, depth, height - foot))
    model.box(body, (0, depth / 2 - 0.02, foot / 2), (width - 0.04, depth - 0.06, foot))
    model.box(body, (0, depth / 2 + 0.01, height - 0.012), (width + 0.03, depth + 0.03, 0.025))
    handle, bars = materials.metal(), dice.chance(0.5)
    for column in range(columns):
        for row in range(rows):
            x = (column + 0.5) / columns * width - width / 2
            z = foot + (row + 0.5) / rows * (height - foot)
            if bars:
                model.box(handle, (x, depth + 0.015, z), (0.12, 0.02, 0.018), casts=False)
            else:
                model.ball(handle, (x, depth + 0.015, z), 0.02, casts=False)
    return model


def wardrobe(dice: Dice, materials: Materials) -> Model:
    """A tall cabinet."""
    return cabinet(dice, materials, dice.uniform(0.8, 1.8), dice.uniform(0.5, 0.62), dice.uniform(1.8, 2.2))


def chest(dice: Dice, materials: Materials) -> Model:
    """A low cabinet: dresser, sideboard, television stand."""
    return cabinet(dice, materials, dice.uniform(0.7, 1.6), dice.uniform(0.38, 0.52), dice.uniform(0.45, 1.05))


def night_stand(dice: Dice, materials: Materials) -> Model:
    """A small cabinet or a small table."""
    if dice.chance(0.6):
        return cabinet(dice, materials, dice.uniform(0.38, 0.52), dice.uniform(0.35, 0.45), dice.uniform(0.45, 0.6))
    side, height = dice.uniform(0.38, 0.5), dice.uniform(0.45, 0.6)
    model, wood = Model("table", side, side, height), materials.furniture()
    model.box(wood, (0, side / 2, height - 0.02), (side, side, 0.04))
    model.legs(wood, side, side, height - 0.04, 0.035, dice.chance(0.4))
    return model


def wall_cabinet(dice: Dice, materials: Materials, width: float | None = None) -> Model:
    """A cabinet hung on the wall; its origin is its lower edge."""
    width, height, depth = width or dice.uniform(0.5, 1.4), dice.uniform(0.5, 0.75), dice.uniform(0.28, 0.36)
    model = Model("cabinet", width, depth, height)
    front = materials.doors(width, height, max(1, round(width / 0.45)), 1)
    model.box(front, (0, depth / 2, height / 2), (width, depth, height))
    return model


def bookshelf(dice: Dice, materials: Materials) -> Model:
    """Shelves with books and small objects."""
    width, depth = dice.uniform(0.6, 1.2), dice.uniform(0.26, 0.36)
    shelves, gap = dice.integer(2, 5), dice.uniform(0.3, 0.4)
    height = shelves * gap + 0.1
    model = Model("bookshelf", width, depth, height)
    wood = materials.furniture()
    for x in (-width / 2 + 0.012, width / 2 - 0.012):
        model.box(wood, (x, depth / 2, height / 2), (0.025, depth, height))
    if dice.chance(0.8):
        model.box(wood, (0, 0.008, height / 2), (width, 0.015, height))
    for k in range(shelves + 1):
        z = 0.05 + k * gap
        model.box(wood, (0, depth / 2, z), (width - 0.03, depth, 0.025))
        if k == shelves:
            break
        if dice.chance(0.75):
            model.attach(books_row(dice, materials, width - 0.1, gap - 0.05), (0, 0.03, z + 0.0125))
        elif dice.chance(0.7):
            x = dice.uniform(-0.25, 0.25) * width
            model.attach(clutter(dice, materials, gap - 0.06, depth - 0.05), (x, 0.03, z + 0.0125))
    return model


def counter(dice: Dice, materials: Materials, width: float, basin: bool, stove: bool, label: str = "counter") -> Model:
    """Base cabinets under a worktop, optionally with a sink and a stove."""
    depth, height = dice.uniform(0.55, 0.65), dice.uniform(0.84, 0.94)
    model = Model(label, width, depth, height)
    columns = max(1, round(width / dice.uniform(0.42, 0.6)))
    front = materials.doors(width, height - 0.14, columns, dice.integer(1, 2))
    model.box(front, (0, depth / 2 - 0.02, height / 2 + 0.03), (width, depth - 0.04, height - 0.14), label="cabinet")
    model.box(front, (0, depth / 2 - 0.05, 0.05), (width - 0.02, depth - 0.14, 0.1), label="cabinet")
    worktop = materials.stone() if dice.chance(0.6) else materials.furniture()
    model.box(worktop, (0, depth / 2, height - 0.02), (width, depth, 0.04), label="counter")
    metal = materials.metal()
    for k in range(columns):
        x = (k + 0.5) / columns * width - width / 2
        model.box(metal, (x, depth - 0.03, height - 0.18), (0.12, 0.02, 0.018), label="cabinet", casts=False)
    side = dice.sign() if width > 1.2 else 0.0
    if basin:
        x, bowl = side * width * 0.22, materials.ceramic() if dice.chance(0.4) else metal
        model.box(bowl, (x, depth / 2 + 0.02, height + 0.004), (0.56, 0.44, 0.012), label="sink")
        model.ball(bowl, (x, depth / 2 + 0.02, height + 0.008), (0.24, 0.18, 0.012), label="sink", casts=False)
        model.tube(metal, (x, 0.09, height + 0.12), 0.016, 0.24, label="sink")
        model.rod(metal, (x, 0.17, height + 0.23), 0.013, 0.18, (1.4, 0, 0), "sink")
    if stove:
        x, dark = -side * width * 0.22, materials.add("plain", (0.02, 0.02, 0.022), specular=0.5, gloss=80)
        model.box(dark, (x, depth / 2 + 0.02, height + 0.004), (0.56, 0.48, 0.012), label="otherprop")
        for dx, dy in ((-0.13, -0.11), (0.13, -0.11), (-0.13, 0.11), (0.13, 0.11)):
            model.tube(
                metal, (x + dx, depth / 2 + 0.02 + dy, height + 0.016), 0.08, 0.012, label="otherprop", casts=False
            )
        model.box(dark, (x, depth - 0.01, height * 0.45), (0.52, 0.03, 0.42), label="otherprop", casts=False)
    return model


def fridge(dice: Dice, materials: Materials) -> Model:
    """A refrigerator with one or two doors and long handles."""
    width, depth, height = dice.uniform(0.58, 0.8), dice.uniform(0.6, 0.7), dice.uniform(1.4, 1.95)
    model = Model("refridgerator", width, depth, height)
    body = materials.lacquer() if dice.chance(0.6) else materials.metal()
    split = dice.uniform(0.3, 0.68) * height
    model.box(body, (0, depth / 2 - 0.03, height / 2), (width, depth - 0.06, height))
    model.box(body, (0, depth - 0.03, split / 2 + 0.02), (width - 0.01, 0.06, split - 0.03))
    model.box(body, (0, depth - 0.03, (split + height) / 2), (width - 0.01, 0.06, height - split - 0.02))
    grip, x = materials.metal(), dice.sign() * (width / 2 - 0.07)
    model.box(grip, (x, depth + 0.03, split - 0.2), (0.03, 0.03, 0.28))
    model.box(grip, (x, depth + 0.03, split + 0.2), (0.03, 0.03, 0.28))
    return model


def washing_machine(dice: Dice, materials: Materials) -> Model:
    """A front loader: a box with a porthole (class otherprop)."""
    size, height = dice.uniform(0.58, 0.66), dice.uniform(0.82, 0.92)
    model = Model("otherprop", size, size, height)
    body = materials.lacquer() if dice.chance(0.7) else materials.metal()
    ring, glass = materials.metal(), materials.add("plain", (0.03, 0.035, 0.05), specular=0.8, gloss=90)
    model.box(body, (0, size / 2, height / 2), (size, size, height))
    model.tube(ring, (0, size, height * 0.47), size * 0.3, 0.05, turn=(1.5708, 0, 0))
    model.ball(glass, (0, size + 0.02, height * 0.47), (size * 0.24, 0.05, size * 0.24))
    model.box(ring, (dice.uniform(-0.1, 0.1), size, height - 0.07), (size * 0.6, 0.01, 0.06))
    model.tube(ring, (size * 0.36, size + 0.01, height - 0.07), 0.03, 0.04, turn=(1.5708, 0, 0))
    return model
