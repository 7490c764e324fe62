from dataclasses import replace

import torch

from mgm.report.comparison import Comparison
from mgm.report.figures.images import error_pixels, value_pixels
from mgm.report.generation import AnnotatedImages
from mgm.report.html.pictures import LARGEST_SIDE, MOST_SCENES, annotation_table, generated_table, prediction_tables
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
    return Comparison(images, targets, {"MT": outputs, "MGM": dict(outputs)}, known, ["kitchen", ""])


def test_a_table_per_task_with_a_row_per_image():
    shown = comparison()
    tables = prediction_tables(shown)
    assert [table.title for table in tables] == ["Semantic segmentation", "Depth"]
    table, task = tables[0], shown.tasks["semantic"]
    assert table.models == ["MT", "MGM"]
    image, predictions, label = table.rows[1]
    prediction, errors = predictions[0]
    output, target = shown.predictions["MT"]["semantic"][1], shown.targets["semantic"][1]
    # interpolated before decoding, so that borders are not blocks of enlarged pixels
    own = task.decode_at(output[None], (LARGEST_SIDE, LARGEST_SIDE))[0]
    assert (prediction.pixels == value_pixels(task, own)).all()
    assert prediction.smooth
    assert not errors.smooth
    assert (errors.pixels == error_pixels(task, task.decode(output[None])[0], target)).all()
    assert prediction.text.startswith("mIoU 0.")
    assert prediction.text in prediction.alt
    assert (image.text, table.rows[0][0].text) == ("", "kitchen")
    assert label.alt == "Truth, semantic segmentation, test image 2"


def test_what_is_missing_is_said():
    shown = comparison()
    del shown.predictions["MT"]["depth"]
    shown.targets["semantic"][:] = shown.tasks["semantic"].missing(2, SIZE, SIZE)
    semantic, depth = prediction_tables(shown)
    assert depth.rows[0][1][0][0].alt == "not predicted"
    assert depth.rows[0][1][0][0].pixels is None
    assert semantic.rows[0][2].alt == "no label"
    prediction, errors = semantic.rows[0][1][1]
    assert prediction.pixels is not None
    assert not prediction.text
    assert errors.alt == "no label"


def test_large_pictures_are_made_smaller():
    image, _, label = prediction_tables(comparison(size=2 * LARGEST_SIDE, tasks=("depth",)))[0].rows[0]
    assert image.pixels.shape[:2] == label.pixels.shape[:2] == (LARGEST_SIDE, LARGEST_SIDE)


def test_fewer_images_of_many_tasks_and_models():
    shown = comparison(tasks=tuple(TASKS))
    models = {f"model {number}": shown.predictions["MT"] for number in range(20)}
    many = replace(
        shown,
        images=shown.images.repeat(3, 1, 1, 1),
        names=[str(number) for number in range(6)],
        targets={},
        predictions={
            title: {name: p.repeat(3, 1, 1, 1) for name, p in outputs.items()} for title, outputs in models.items()
        },
    )
    rows = prediction_tables(many)[0].rows
    assert [image.text for image, _, _ in rows] == ["0", "5"]
    assert len(prediction_tables(replace(many, tasks={"depth": many.tasks["depth"]}))[0].rows) == 3


def test_generated_images_of_many_scenes():
    scenes = [f"scene_{number}" for number in range(MOST_SCENES + 8)]
    groups = {
        "before": {name: torch.zeros(3, 3, SIZE, SIZE) for name in scenes},
        "after": {name: torch.ones(3, 3, SIZE, SIZE) for name in scenes},
    }
    table = generated_table(groups)
    assert table.groups == ["before", "after"]
    assert table.omitted == 8
    assert len(table.rows) == MOST_SCENES
    assert (table.rows[0][0], table.rows[-1][0]) == ("scene 0", f"scene {MOST_SCENES + 7}")
    before, after = table.rows[0][1]
    assert len(before) == 3
    assert (before[0] == 128).all()
    assert (after[2] == 255).all()


def test_annotations_of_several_annotators():
    tasks = make_tasks(("semantic", "depth"), CLASSES)
    maps = {"semantic": torch.ones(2, SIZE, SIZE, dtype=torch.int64), "depth": torch.ones(2, 1, SIZE, SIZE)}
    annotated = AnnotatedImages(
        torch.zeros(2, 3, SIZE, SIZE),
        ["kitchen", "office"],
        {"mgm": maps, "annotator": {"depth": maps["depth"] + 3}},
        tasks,
    )
    table = annotation_table(annotated)
    assert [(legend.title, by) for legend, by in table.tasks] == [
        ("Semantic segmentation", ["mgm"]),
        ("Depth", ["mgm", "annotator"]),
    ]
    image, annotations = table.rows[1]
    assert image.text == "office"
    assert [picture.alt for picture in annotations] == [
        "Semantic segmentation by mgm, generated office",
        "Depth by mgm, generated office",
        "Depth by annotator, generated office",
    ]
    assert (annotations[1].pixels != annotations[2].pixels).any()
    assert table.tasks[0][0].classes[0].name == "floor"
