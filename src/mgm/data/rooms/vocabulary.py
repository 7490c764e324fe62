"""Names of the classes and scene types, spelled as in NYUv2 if they exist there."""

from __future__ import annotations

CLASSES = (
    "wall", "floor", "ceiling", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture",
    "counter", "curtain", "pillow", "mirror", "floor mat", "books", "refridgerator", "television", "box", "toilet",
    "sink", "lamp", "bathtub", "otherprop",
)  # fmt: skip
SCENES = (
    "bathroom", "bedroom", "classroom", "dining_room", "foyer", "kitchen", "laundry_room", "living_room", "office",
    "playroom",
)  # fmt: skip
LABEL = {name: index for index, name in enumerate(CLASSES)}
"""Class name -> index."""
