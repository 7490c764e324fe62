"""The built-in data set of procedural indoor scenes, rendered by ray casting, with exact labels."""

from __future__ import annotations

from mgm.data.rooms.source import RoomsSource
from mgm.data.rooms.vocabulary import CLASSES, SCENES

__all__ = ["CLASSES", "SCENES", "RoomsSource"]
