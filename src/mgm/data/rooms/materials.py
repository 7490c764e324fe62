"""Materials: two colours, a texture, gloss and glow, drawn so that colour reveals little about the class."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from mgm.data.rooms.dice import Dice
from mgm.data.rooms.textures import TEXTURES, Patch
from mgm.data.rooms.vectors import pick

Colour = tuple[float, float, float]
"""Linear RGB in [0, 1]."""

_KINDS = {name: index for index, name in enumerate(TEXTURES)}
_WOODS: tuple[Colour, ...] = (
    (0.56, 0.34, 0.17), (0.42, 0.24, 0.11), (0.25, 0.12, 0.055), (0.12, 0.055, 0.03), (0.33, 0.11, 0.05),
    (0.62, 0.46, 0.28), (0.66, 0.58, 0.46), (0.3, 0.26, 0.22), (0.06, 0.045, 0.04),
)  # fmt: skip


@dataclass(frozen=True)
class MaterialTable:
    """``M`` materials as arrays."""

    first: np.ndarray
    second: np.ndarray
    """``[3, M]`` linear RGB of the two colours."""
    kind: np.ndarray
    """``[M]`` index into `TEXTURES`."""
    scale: np.ndarray
    """``[2, M]`` metres per period along u and v."""
    offset: np.ndarray
    """``[2, M]`` offset in periods."""
    swap: np.ndarray
    """``[M]`` bool: u and v are exchanged."""
    contrast: np.ndarray
    specular: np.ndarray
    gloss: np.ndarray
    glow: np.ndarray
    """``[M]`` each: texture strength; highlight strength and exponent; emitted radiance per albedo."""

    def albedo(self, material: np.ndarray, coordinates: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Surface colours.

        Args:
            material: ``[n]`` rows of this table.
            coordinates: ``[2, n]`` surface coordinates, metres.
            footprint: ``[n]`` size of a pixel on the surface, metres.

        Returns:
            ``[3, n]`` linear RGB in [0, 1].
        """
        weight, shade = np.zeros_like(footprint), np.ones_like(footprint)
        kinds = self.kind[material]
        textures = tuple(TEXTURES.values())
        for kind in np.flatnonzero(np.bincount(kinds)):
            points = np.flatnonzero(kinds == kind)
            row = material[points]
            scale, offset, swap = pick(self.scale, row), pick(self.offset, row), self.swap[row]
            u, v = pick(coordinates, points)
            patch = Patch(
                np.where(swap, v, u) / scale[0] + offset[0],
                np.where(swap, u, v) / scale[1] + offset[1],
                footprint[points] / np.minimum(scale[0], scale[1]),
                self.contrast[row],
            )
            weight[points], shade[points] = textures[kind](patch)
        first = pick(self.first, material)
        result = pick(self.second - self.first, material)
        result *= weight
        result += first
        result *= shade
        return np.clip(result, 0, 1, out=result)


class Materials:
    """Collects randomly drawn materials; each drawing method adds one and returns its index."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self._rows: list[tuple[float, ...]] = []

    def table(self) -> MaterialTable:
        """All materials drawn so far."""
        rows = np.array(self._rows, dtype=np.float32).T
        return MaterialTable(
            first=rows[0:3],
            second=rows[3:6],
            kind=rows[6].astype(np.int64),
            scale=rows[7:9],
            offset=rows[9:11],
            swap=rows[11] > 0,
            contrast=rows[12],
            specular=rows[13],
            gloss=rows[14],
            glow=rows[15],
        )

    def add(
        self,
        texture: str,
        first: Colour,
        second: Colour | None = None,
        scale: tuple[float, float] = (1.0, 1.0),
        contrast: float = 0.2,
        specular: float = 0.0,
        gloss: float = 20.0,
        glow: float = 0.0,
        upright: bool = False,
        offset: tuple[float, float] | None = None,
    ) -> int:
        """Add a material with the given properties.

        The pattern starts ``offset`` periods from the centre of a face, by default at a random position. Unless it is ``upright``,
        it is rotated by a right angle with probability 1/2.
        """
        dice = self.dice
        offset = offset or (dice.uniform(0, 97), dice.uniform(0, 97))
        swap = float(not upright and dice.chance(0.5))
        self._rows.append(
            (*first, *(second or first), _KINDS[texture], *scale, *offset, swap, contrast, specular, gloss, glow)
        )
        return len(self._rows) - 1

    def colour(self, low: float = 0.05, high: float = 0.8, saturation: float = 0.75) -> Colour:
        """A random hue with mostly low saturation, as in real rooms."""
        dice = self.dice
        strength = saturation * dice.uniform(0, 1) ** 1.6
        value = dice.uniform(low**0.5, high**0.5) ** 2
        return colorsys.hsv_to_rgb(dice.uniform(0, 1), strength, value)

    def near(self, colour: Colour, amount: float = 0.25) -> Colour:
        """A random colour near another one."""
        factor = self.dice.spread(1.0, amount)
        red, green, blue = (min(1.0, channel * self.dice.spread(factor, 0.1)) for channel in colour)
        return red, green, blue

    def wood(self, texture: str = "wood") -> int:
        """Varnished, oiled or stained wood."""
        dice = self.dice
        base = self.near(dice.choice(_WOODS))
        factor = dice.uniform(0.45, 0.8) if dice.chance(0.75) else dice.uniform(1.2, 1.5)
        second: Colour = tuple(min(1.0, channel * factor) for channel in base)  # type: ignore[assignment]
        width = dice.uniform(0.09, 0.2)
        scale = (width, width) if texture == "planks" else (dice.uniform(0.3, 0.6), dice.uniform(0.12, 0.3))
        shine = dice.uniform(0, 0.25)
        return self.add(texture, base, second, scale, dice.uniform(0.4, 0.9), shine, dice.uniform(10, 60))

    def lacquer(self) -> int:
        """Painted furniture."""
        colour = self.colour(0.08, 0.85) if self.dice.chance(0.6) else self.near((0.75, 0.74, 0.7), 0.15)
        return self.add(
            "plain", colour, None, (0.5, 0.5), 0.08, self.dice.uniform(0.05, 0.3), self.dice.uniform(15, 70)
        )

    def furniture(self) -> int:
        """A material for tables, cupboards and shelves."""
        return self.wood() if self.dice.chance(0.55) else self.lacquer()

    def metal(self) -> int:
        """Steel, brass or black iron."""
        colour = self.near(
            self.dice.choice(((0.45, 0.46, 0.48), (0.05, 0.05, 0.055), (0.45, 0.33, 0.14), (0.7, 0.7, 0.7)))
        )
        return self.add("plain", colour, None, (0.2, 0.2), 0.1, self.dice.uniform(0.4, 0.9), self.dice.uniform(30, 120))

    def plastic(self) -> int:
        """A plain, glossy material of any colour."""
        return self.add("plain", self.colour(0.05, 0.8, 1.0), None, (0.4, 0.4), 0.05, 0.3, self.dice.uniform(20, 90))

    def ceramic(self) -> int:
        """Sanitary ware: usually white, sometimes coloured."""
        colour = self.near((0.78, 0.78, 0.76), 0.12) if self.dice.chance(0.65) else self.colour(0.15, 0.8)
        return self.add(
            "plain", colour, None, (0.5, 0.5), 0.04, self.dice.uniform(0.3, 0.6), self.dice.uniform(50, 150)
        )

    def stone(self) -> int:
        """Marble or granite."""
        dice, first = self.dice, self.colour(0.08, 0.8, 0.25)
        second = self.colour(0.05, 0.7, 0.35)
        if dice.chance(0.6):
            return self.add("marble", first, second, (0.5, 0.5), dice.uniform(0.4, 0.9), 0.35, 70)
        return self.add("plaster", first, second, (0.1, 0.1), dice.uniform(0.3, 0.7), 0.3, 60)

    def fabric(self, saturation: float = 0.8) -> int:
        """Cloth: plain, striped, checked, dotted or patterned."""
        dice = self.dice
        first, second = self.colour(0.04, 0.75, saturation), self.colour(0.04, 0.75, saturation)
        texture = dice.choice(("fabric", "fabric", "fabric", "stripes", "plaid", "checks", "dots", "blobs"))
        size = dice.uniform(0.06, 0.12) if texture == "fabric" else dice.uniform(0.06, 0.28)
        return self.add(texture, first, second, (size, size), dice.uniform(0.4, 1.0) if texture != "fabric" else 0.35)

    def paint(self) -> int:
        """A wall: paint, wallpaper, panelling or brick."""
        dice = self.dice
        light = self.colour(0.28, 0.85, 0.55) if dice.chance(0.8) else self.colour(0.06, 0.4, 0.7)
        draw = dice.uniform(0, 1)
        if draw < 0.58:
            return self.add("plaster", light, self.near(light, 0.15), (0.35, 0.35), dice.uniform(0.04, 0.2))
        other = self.near(light, 0.45) if dice.chance(0.6) else self.colour(0.2, 0.8)
        if draw < 0.82:
            size = dice.uniform(0.08, 0.4)
            texture = dice.choice(("stripes", "stripes", "dots", "blobs", "plaid", "checks"))
            return self.add(texture, light, other, (size, size), dice.uniform(0.3, 0.9), upright=True)
        if draw < 0.92:
            body = self.colour(0.2, 0.7, 0.5) if dice.chance(0.5) else self.near((0.4, 0.16, 0.1))
            joint, size = self.near((0.55, 0.53, 0.5), 0.3), dice.uniform(0.2, 0.3)
            return self.add("bricks", body, joint, (size, size), dice.uniform(0.2, 0.5), upright=True)
        return self.wood("planks")

    def tiles(self) -> int:
        """Glazed tiles with joints."""
        dice = self.dice
        size = dice.uniform(0.1, 0.42)
        body = self.colour(0.12, 0.85, 0.6)
        joint = self.near((0.7, 0.7, 0.68), 0.2) if dice.chance(0.6) else self.colour(0.04, 0.3, 0.2)
        tall = dice.choice((1.0, 1.0, 0.5, 2.0))
        return self.add("tiles", body, joint, (size, size * tall), dice.uniform(0.1, 0.8), 0.25, 60)

    def flooring(self, hard: bool) -> int:
        """A floor; ``hard`` ones are never carpets."""
        dice, draw = self.dice, self.dice.uniform(0, 1)
        if not hard and draw < 0.35:
            size = dice.uniform(0.08, 0.2)
            return self.add("fabric", self.colour(0.06, 0.6, 0.6), self.colour(0.06, 0.6, 0.5), (size, size), 0.4)
        if draw < 0.65:
            return self.wood("planks")
        if draw < 0.85:
            return self.tiles()
        if draw < 0.93:
            size = dice.uniform(0.4, 0.8)
            pair = self.colour(0.3, 0.8, 0.4), self.colour(0.03, 0.3, 0.4)
            return self.add("checks", *pair, (size, size), dice.uniform(0.6, 1.0), 0.25, 50)
        return self.stone()

    def doors(self, width: float, height: float, columns: int = 1, rows: int = 1) -> int:
        """Panelled fronts: ``columns`` by ``rows`` panels on a face of the given size."""
        dice = self.dice
        first = self.near(dice.choice(_WOODS)) if dice.chance(0.5) else self.colour(0.1, 0.85, 0.5)
        second: Colour = tuple(channel * 0.75 for channel in first)  # type: ignore[assignment]
        scale, offset = (width / columns, height / rows), (0.5 * (columns % 2), 0.5 * (rows % 2))
        contrast, shine = dice.uniform(0.1, 0.6), dice.uniform(0, 0.2)
        return self.add("panels", first, second, scale, contrast, shine, upright=True, offset=offset)

    def art(self, height: float) -> int:
        """The canvas of a painting."""
        dice = self.dice
        texture = dice.choice(("landscape", "blobs", "blobs", "checks", "stripes", "marble", "dots", "print"))
        first, second = self.colour(0.05, 0.8, 1.0), self.colour(0.02, 0.8, 1.0)
        size = height if texture == "landscape" else height * dice.uniform(0.15, 0.5)
        return self.add(
            texture, first, second, (size, size), dice.uniform(0.7, 1.0), 0.1, 60, upright=True, offset=(0.3, 0.0)
        )

    def screen(self) -> int:
        """A display, switched off or showing something."""
        dice = self.dice
        if dice.chance(0.5):
            return self.add("plain", (0.012, 0.012, 0.015), None, (0.5, 0.5), 0.1, 0.6, 90)
        size = dice.uniform(0.04, 0.25)
        texture = dice.choice(("print", "blobs", "landscape"))
        colours = self.colour(0.2, 0.9, 0.9), self.colour(0.05, 0.9, 0.9)
        return self.add(
            texture, *colours, (size, size), 1.0, 0.2, 60, dice.uniform(0.3, 0.9), upright=True, offset=(0.3, 0.1)
        )

    def outdoors(self, height: float, brightness: float) -> int:
        """A window pane of the given height with a view outside."""
        shift = self.dice.uniform(0, 97)
        sky = self.near(self.dice.choice(((0.55, 0.72, 1.0), (0.8, 0.85, 0.9), (0.9, 0.75, 0.6), (0.3, 0.4, 0.6))))
        trees = self.near(self.dice.choice(((0.1, 0.22, 0.06), (0.3, 0.26, 0.22), (0.25, 0.3, 0.2))))
        return self.add(
            "outdoors", sky, trees, (height, height), 1.0, 0.3, 90, glow=brightness, upright=True, offset=(shift, 0.0)
        )

    def glowing(self, brightness: float) -> int:
        """A lamp shade that is lit."""
        colour = self.near((0.95, 0.85, 0.65), 0.1) if self.dice.chance(0.7) else self.colour(0.4, 0.95)
        return self.add("plain", colour, None, (0.3, 0.3), 0.05, 0.1, 30, glow=brightness)

    def leaves(self) -> int:
        """Foliage."""
        first = self.near((0.07, 0.2, 0.05), 0.4)
        return self.add("blobs", first, self.near((0.2, 0.34, 0.1), 0.3), (0.05, 0.05), 0.9, 0.1, 30)
