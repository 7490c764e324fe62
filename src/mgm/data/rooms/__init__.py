"""The embedded data set: procedural indoor scenes, ray cast, with exact labels."""

from __future__ import annotations

from mgm.data.rooms.source import RoomsSource
from mgm.data.rooms.vocabulary import CLASSES, SCENES

__all__ = ["CLASSES", "SCENES", "RoomsSource"]
