from dataclasses import replace

import torch

from mgm.report.comparison import Comparison
from mgm.report.figures.images import error_pixels, value_pixels
from mgm.report.pictures import LARGEST_SIDE, prediction_table
from mgm.tasks import TASKS, make_tasks

CLASSES = ("wall", "floor", "<b>bed</b>")
SIZE = 16


def comparison(size=SIZE, tasks=("semantic", "depth")):
    known = make_tasks(tasks, CLASSES)
    generator = torch.Generator().manual_seed(0)
    outputs = {name: torch.rand(2, task.channels, size, size, generator=generator) for name, task in known.items()}
    targets = {
        name: task.decode(torch.rand(2, task.channels, size, size, generator=generator)) for name, task in known.items()
    }
    images = torch.rand(2, 3, size, size, generator=generator) * 2 - 1
    return Comparison(
        images, targets, {"MT": outputs, "MGM": dict(outputs)}, known, ["kitchen", ""], ["IMG_1", "IMG_2"]
    )


def test_a_table_per_task_with_a_row_per_image():
    shown = comparison()
    table = prediction_table(shown)
    assert [task.title for task in table.tasks] == ["Semantic segmentation", "Depth"]
    semantic, task = table.tasks[0], shown.tasks["semantic"]
    assert semantic.metric == "mIoU"
    assert semantic.groups == [("truth", ("",)), ("MT", ("prediction", "error")), ("MGM", ("prediction", "error"))]
    (label,), (prediction, errors), _ = semantic.rows[1]
    output, target = shown.predictions["MT"]["semantic"][1], shown.targets["semantic"][1]
    # interpolated before decoding, so that borders are not blocks of enlarged pixels
    own = task.decode_at(output[None], (LARGEST_SIDE, LARGEST_SIDE))[0]
    assert (prediction.pixels == value_pixels(task, own)).all()
    assert prediction.smooth
    assert not errors.smooth
    assert (errors.pixels == error_pixels(task, task.decode(output[None])[0], target)).all()
    assert errors.text.startswith("0.")
    assert f"mIoU {errors.text}" in errors.alt
    assert [image.text for image in table.images] == ["kitchen", ""]
    assert [image.name for image in table.images] == ["IMG_1", "IMG_2"]
    assert table.images[0].alt == "Test image 1, IMG_1, kitchen"
    assert label.alt == "Truth, semantic segmentation, test image 2, IMG_2"


def test_what_is_missing_is_said():
    shown = comparison()
    del shown.predictions["MT"]["depth"]
    shown.targets["semantic"][:] = shown.tasks["semantic"].missing_value
    semantic, depth = prediction_table(shown).tasks
    assert depth.rows[0][1][0].alt == "not predicted"
    assert depth.rows[0][1][0].pixels is None
    assert semantic.rows[0][0][0].alt == "no label"
    prediction, errors = semantic.rows[0][2]
    assert prediction.pixels is not None
    assert errors.alt == "no label"
    assert not errors.text


def test_large_pictures_are_made_smaller():
    table = prediction_table(comparison(size=2 * LARGEST_SIDE, tasks=("depth",)))
    (label,), _, _ = table.tasks[0].rows[0]
    assert table.images[0].pixels.shape[:2] == label.pixels.shape[:2] == (LARGEST_SIDE, LARGEST_SIDE)


def test_fewer_images_of_many_tasks_and_models():
    shown = comparison(tasks=tuple(TASKS))
    models = {f"model {number}": shown.predictions["MT"] for number in range(20)}
    many = replace(
        shown,
        images=shown.images.repeat(3, 1, 1, 1),
        scenes=[str(number) for number in range(6)],
        targets={},
        predictions={
            title: {name: p.repeat(3, 1, 1, 1) for name, p in outputs.items()} for title, outputs in models.items()
        },
    )
    assert [image.text for image in prediction_table(many, most=130).images] == ["0", "5"]
    single = replace(many, tasks={"depth": many.tasks["depth"]})
    assert len(prediction_table(single, most=130).tasks[0].rows) == 3
    assert len(prediction_table(single).images) == 6
