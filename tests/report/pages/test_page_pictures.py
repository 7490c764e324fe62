from dataclasses import replace

import pytest
import torch

from mgm.report.comparison import Comparison
from mgm.report.pages.keys import MOST_CLASSES, key
from mgm.report.pages.pictures import LARGEST_SIDE, MOST_SCENES, generated_table, pairs_table, prediction_tables
from mgm.report.synthesis import AnnotatedImages
from mgm.report.tiles import coloured, error_map
from mgm.tasks import TASKS, make_tasks
from pages import pixels

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
    for (name, task), table in zip(shown.tasks.items(), tables, strict=True):
        assert table.models == ["MT", "MGM"]
        assert len(table.rows) == 2
        prediction, errors = table.rows[1].predictions[0]
        value = task.decode(shown.predictions["MT"][name][1:])[0]
        if name == "semantic":  # few colours, so no loss
            shown_at = (LARGEST_SIDE, LARGEST_SIDE)  # borders are not blocks of enlarged pixels
            own = task.decode_at(shown.predictions["MT"][name][1:], shown_at)[0]
            assert (pixels(prediction.uri) == coloured(task, own, shown_at)).all()
            assert prediction.smooth
            assert not errors.smooth
            assert (pixels(errors.uri) == error_map(task, value, shown.targets[name][1], (SIZE, SIZE))).all()
            assert prediction.text.startswith("mIoU 0.")
        assert table.rows[0].photograph.text == "kitchen"
        assert prediction.text in prediction.alt
        assert table.rows[0].truth.alt.startswith("Truth")
        assert "test image 1, kitchen" in table.rows[0].truth.alt


def test_what_is_missing_is_said():
    shown = comparison()
    del shown.predictions["MT"]["depth"]
    shown.targets["semantic"][:] = shown.tasks["semantic"].missing(2, SIZE, SIZE)
    semantic, depth = prediction_tables(shown)
    assert depth.rows[0].predictions[0][0].alt == "not predicted"
    assert not depth.rows[0].predictions[0][0].uri
    assert semantic.rows[0].truth.alt == "no label"
    prediction, errors = semantic.rows[0].predictions[1]
    assert prediction.uri
    assert not prediction.text
    assert errors.alt == "no label"
    without = replace(shown, targets={})
    assert prediction_tables(without)[1].rows[0].truth.alt == "no label"


def test_large_pictures_are_made_smaller():
    table = prediction_tables(comparison(size=2 * LARGEST_SIDE, tasks=("depth",)))[0]
    assert pixels(table.rows[0].truth.uri).shape[:2] == (LARGEST_SIDE, LARGEST_SIDE)
    assert pixels(table.rows[0].photograph.uri).shape[:2] == (LARGEST_SIDE, LARGEST_SIDE)


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
    assert [row.photograph.text for row in rows] == ["0", "5"]
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
    assert (pixels(before[0]) == 128).all()
    assert (pixels(after[2]) == 255).all()


def test_pairs_of_several_annotators():
    tasks = make_tasks(("semantic", "depth"), CLASSES)
    maps = {"semantic": torch.ones(2, SIZE, SIZE, dtype=torch.int64), "depth": torch.ones(2, 1, SIZE, SIZE)}
    annotated = AnnotatedImages(
        torch.zeros(2, 3, SIZE, SIZE),
        ["kitchen", "office"],
        {"mgm": maps, "annotator": {"depth": maps["depth"] + 3}},
        tasks,
    )
    table = pairs_table(annotated)
    assert [(title, by) for title, _, by in table.tasks] == [
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
    assert annotations[1].uri != annotations[2].uri
    assert table.tasks[0][1].classes[0][1] == "floor"


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_has_a_key(name):
    task = make_tasks((name,), CLASSES)[name]
    value = task.decode(torch.rand(1, task.channels, SIZE, SIZE))
    explained = key(task, list(value), errors=True)
    assert explained.classes or explained.scale or explained.picture
    assert explained.errors is not None
    assert key(task, list(value), errors=False).errors is None


def test_key_counts_the_classes_that_it_does_not_name():
    names = tuple(f"class {number}" for number in range(MOST_CLASSES + 5))
    task = make_tasks(("semantic",), names)["semantic"]
    explained = key(task, [torch.arange(len(names)).view(1, -1)], errors=False)
    assert len(explained.classes) == MOST_CLASSES
    assert explained.unnamed == 5
    colour = tuple(task.colour(torch.tensor([[[0]]]))[0, :, 0, 0].tolist())
    assert explained.classes[0] == (f"rgb({colour[0]} {colour[1]} {colour[2]})", "class 0")
