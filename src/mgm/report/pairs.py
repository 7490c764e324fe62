"""Generated images beside what networks make of them (paper Figure 8)."""

from __future__ import annotations

import math
from pathlib import Path

from mgm.report.canvas import FAINT_INK, Canvas, Caption, shorten, text_width
from mgm.report.generated import FONT, LABEL_GAP, LABEL_WIDTH, LINE
from mgm.report.legends import classes_seen, draw_legend, legend_height
from mgm.report.synthesis import AnnotatedImages
from mgm.report.tiles import GAP, coloured, photograph, tile_size

HEADER = 46
GROUP_GAP = 18


def pairs_sheet(path: Path, annotated: AnnotatedImages) -> None:
    """Draw a row per image: the image, then every task as each annotator sees it; legends at the foot.

    Args:
        path: The file, PNG or PDF by its suffix.
        annotated: Images and annotations.
    """
    canvas = Canvas()
    size = tile_size(*annotated.images.shape[-2:])
    scenes = [shorten(scene, LABEL_WIDTH, FONT) for scene in annotated.scenes]
    left = math.ceil(max((text_width(scene, FONT) for scene in scenes), default=0)) + LABEL_GAP
    for row, (scene, image) in enumerate(zip(scenes, annotated.images, strict=True)):
        top = HEADER + row * (size[0] + GAP)
        canvas.caption(Caption(scene, left - LABEL_GAP, top + (size[0] - LINE) / 2, FONT, align="right"))
        canvas.picture(photograph(image, size), left, top, frame=True)
    canvas.caption(Caption("Generated", left, 0, 16, bold=True))
    left += size[1] + GROUP_GAP
    foot = HEADER + len(scenes) * (size[0] + GAP) + 12
    for name, task in annotated.tasks.items():
        known = {title: values[name] for title, values in annotated.values.items() if name in values}
        width = max(len(known) * (size[1] + GAP) - GAP, math.ceil(text_width(task.title, 16, bold=True)))
        canvas.caption(Caption(task.title, left, 0, 16, bold=True))
        seen = classes_seen(task, known.values())
        draw_legend(canvas, task, seen, (left, foot, width, legend_height(task, seen, width)), errors=False)
        for column, (title, values) in enumerate(known.items()):
            x = left + column * (size[1] + GAP)
            canvas.caption(Caption(shorten(title, size[1], 13), x, 25, 13, colour=FAINT_INK))
            for row, value in enumerate(values):
                canvas.picture(coloured(task, value, size), x, HEADER + row * (size[0] + GAP), frame=True)
        left += width + GROUP_GAP
    canvas.write(path)
