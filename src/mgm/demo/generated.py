"""Images from a run's generator, and the predictions of its network for them."""

from __future__ import annotations

from collections.abc import Sequence

from mgm.demo.html import html
from mgm.demo.runs import ServedRun
from mgm.errors import ConfigError, RunError, choose
from mgm.functional.levels import shown_as_rgb
from mgm.report.figures.images import fitted_size, image_pixels, value_pixels
from mgm.tasks.legend import Legend

MOST_IMAGES = 8
SIDE = 180
LARGEST_SEED = 2**31 - 1


def generated_html(run: ServedRun, stage: str, scenes: Sequence[str], num: int, seed: int) -> str:
    """Generate images with one label and show the predictions of the run's network below them.

    Args:
        run: The run.
        stage: Key of `ServedRun.generators`.
        scenes: One scene, or with multi-hot labels any number of objects.
        num: Number of images, 1 to `MOST_IMAGES`.
        seed: Seed of the noise, 0 to `LARGEST_SEED`.

    Raises:
        RunError: If the run has no generator.
        ConfigError: If another argument is invalid.
    """
    if not run.generators:
        raise RunError(no_generator(run))
    generator = choose("stage", stage, run.generators)
    info = generator.info
    for scene in scenes:
        choose("scene", scene, dict.fromkeys(info.scenes))
    if info.scenes and not info.multi_hot and len(scenes) != 1:
        raise ConfigError("choose one scene to generate images of")
    if not 1 <= num <= MOST_IMAGES:
        raise ConfigError(f"the number of images is {num}; choose 1 to {MOST_IMAGES}")
    if not 0 <= seed <= LARGEST_SEED:
        raise ConfigError(f"the seed is {seed}; choose a number from 0 to {LARGEST_SEED}")
    kind = ", ".join(name for name in info.scenes if name in scenes) or "any"
    images = generator.sample(kind, generator.label_of(list(scenes)), num, seed)
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
