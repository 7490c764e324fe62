"""Images from a run's generator, and the predictions of its network for them."""

from __future__ import annotations

from mgm.demo.html import html
from mgm.demo.runs import ServedRun
from mgm.errors import ConfigError
from mgm.functional.levels import shown_as_rgb
from mgm.report.figures.images import fitted_size, image_pixels, value_pixels
from mgm.tasks.legend import Legend

MOST_IMAGES = 8
SIDE = 180
LARGEST_SEED = 2**31 - 1


def generated_html(run: ServedRun, scenes: str | list[str] | None, num: int, seed: int, stage: str) -> str:
    """Generate images with one label and show the predictions of the run's network below them.

    The label is one scene, with multi-hot labels any number of objects, or None for a run without scenes.

    Raises:
        ConfigError: If there are scenes, but none is chosen.
    """
    generator, chosen = run.generators[stage], [scenes] if isinstance(scenes, str) else scenes or []
    info = generator.info
    if info.scenes and not info.multi_hot and not chosen:
        raise ConfigError("choose one scene to generate images of")
    kind = ", ".join(name for name in info.scenes if name in chosen) or "any"
    images = generator.sample(kind, generator.label_of(chosen), num, seed)
    predictions = run.model.predict_batch(images)
    height, width = images.shape[-2:]
    size = fitted_size(height, width, SIDE)
    shown = shown_as_rgb(images, run.model.info.image)
    rows, legends = [("generated", [image_pixels(image, size) for image in shown])], list[Legend]()
    for name, task in run.model.tasks.items():
        values = task.decode_at(predictions[name], size).cpu()
        span = task.span([values])
        rows.append((task.title, [value_pixels(task, value, span) for value in values]))
        legends.append(task.legend([values], span))
    return html("strip", kind.replace("_", " "), rows) + html("legends", legends)


def no_generator(run: ServedRun) -> str:
    """Message that a run has no generator."""
    return (
        f"{run.title} has no generator: its recipe trains none, or the training has not reached that stage. "
        "Recipes with a generator: mgm, mgm_not_joint; mgm --help lists all."
    )
