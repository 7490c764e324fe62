"""Tasks that a data set defines; what they share with all others: test_task_contract.py."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from mgm.errors import ConfigError, DataError
from mgm.tasks import TASKS, make_tasks, task_kinds, tasks_for
from mgm.tasks.own import OwnNumbers, define, split_entry
from mgm.tasks.pictures import palette
from mgm.types import DatasetInfo
from task_cases import make_task

HEIGHT: dict[str, Any] = {"range": [0, 40], "unit": "m"}


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)


def test_networks_put_out_shares_of_the_range() -> None:
    height, growth = make_task("height"), make_task("growth")
    torch.testing.assert_close(height.decode(row(0, 0.5, 1, 2)), row(-5, 17.5, 40, 85))
    torch.testing.assert_close(growth.decode(row(0, 0.5, 1)), row(0.1, math.sqrt(30), 300))
    assert growth.valid(row(0.0, -1.0, 5.0)).tolist() == [[[False, False, True]]]  # no logarithm, no label


def test_scores_are_in_the_unit() -> None:
    task = make_tasks(["height"], own={"height": {"range": [10, 50], "unit": "kg/m²"}})["height"]
    assert list(task.metrics_info) == ["abs_error_kg_m²", "relative_error", "rmse_kg_m²", "r2"]
    assert task.metrics_info[task.primary].heading == "absolute error [kg/m²] ↓"
    metrics = task.metrics()
    metrics.update(row(0.25, 0.5, 0.5), row(20, 24, math.nan))  # 20 and 30
    found = metrics.compute()
    scores = {"abs_error_kg_m²": 3, "relative_error": 0.125, "rmse_kg_m²": math.sqrt(18), "r2": 1 - 36 / 8}
    assert found == pytest.approx(scores)
    sums = {name: value.numpy()[None] for name, value in metrics.image_sums().items()}
    assert type(metrics).from_sums(sums)["abs_error_kg_m²"] == pytest.approx([3])
    assert (
        not {"relative_error", "endpoint_error_m"} & make_task("height").metrics_info.keys()
    )  # no vector, from below 0


def test_the_coefficient_of_determination_is_that_over_all_batches_and_channels() -> None:
    task = make_tasks(["height"], own={"height": {"range": [-5, 40], "channels": 2}})["height"]
    assert isinstance(task, OwnNumbers)
    generator = torch.Generator().manual_seed(0)
    target = 30 + 5 * torch.randn(6, 2, 4, 5, generator=generator, dtype=torch.float64)
    value = target + torch.randn(target.shape, generator=generator, dtype=torch.float64)
    target[0, :, 0, 0] = math.nan
    metrics = task.metrics()
    for start in (0, 2):
        part = slice(start, start + 2 + start)
        metrics.update(task.encode(value[part]).float(), target[part].float())
    known = target.isfinite().all(1, keepdim=True).expand_as(target)
    varying = sum(((channel - channel.nanmean()).square().nansum() for channel in target.unbind(1)), torch.tensor(0.0))
    assert metrics.compute()["r2"] == pytest.approx(
        1 - float((value - target)[known].square().sum() / varying), abs=1e-4
    )
    nothing = task.metrics()
    nothing.update(torch.zeros(1, 2, 1, 1), torch.ones(1, 2, 1, 1))
    assert math.isnan(nothing.compute()["r2"])  # targets without variance


def test_scores_are_those_that_are_asked_for() -> None:
    definition = {"range": [10, 50], "unit": "m", "metrics": ["rmse", "relative_error"]}
    task = make_tasks(["height"], own={"height": definition})["height"]
    assert (list(task.metrics_info), task.primary) == (["rmse_m", "relative_error"], "relative_error")
    metrics = task.metrics()
    metrics.update(row(0.25, 0.5), row(20, 24))  # 20 and 30
    assert metrics.compute() == pytest.approx({"rmse_m": math.sqrt(18), "relative_error": 0.125})
    sums = {name: value.numpy()[None] for name, value in metrics.image_sums().items()}
    assert type(metrics).from_sums(sums).keys() == {"relative_error"}


@pytest.mark.parametrize(("width", "shown"), [(4000, "12.3 m"), (40, "12.346 m"), (0.04, "12.345680 m")])
def test_digits_follow_the_range(width: float, shown: str) -> None:
    task = make_tasks(["height"], own={"height": {"range": [0, width], "unit": "m"}})["height"]
    assert task.metrics_info[task.primary].text(12.34568) == shown


def test_errors_are_large_at_a_quarter_of_the_range() -> None:
    task = make_tasks(["height"], own={"height": HEIGHT})["height"]
    assert task.error(row(5, 10, 30), row(10, 20, 10)).flatten().tolist() == [0.5, 1, 1]
    assert (task.error_end, task.error_size) == ("10 m", 10)


def test_legends_are_about_the_range_whatever_is_shown() -> None:
    height, flow = make_task("height"), make_task("flow")
    scale = height.legend([row(1, 2)]).scale
    assert scale is not None
    assert (scale.low, scale.high) == ("-5.0 m", "40.0 m")
    assert "rim: 8\N{NO-BREAK SPACE}px or more" in flow.legend([torch.zeros(1, 2, 3, 3)]).text
    assert height.describe(torch.tensor([3.0])) == "3.0 m"
    assert flow.describe(torch.tensor([3.0, -1.0])) == "(3.00, −1.00) px"


def test_vectors_of_two_channels_are_coloured_by_direction_and_length() -> None:
    flow = make_task("flow")
    right, down, left, half, beyond = ((8.0, 0.0), (0.0, 8.0), (-8.0, 0.0), (4.0, 0.0), (80.0, 0.0))
    values = torch.tensor([right, down, left, half, beyond, (0.0, 0.0), (math.nan, 1.0)]).T.view(1, 2, 1, -1)
    red, green, cyan, pale, same, white, hole = flow.colour(values)[0, :, 0].T.tolist()
    assert (red, cyan, white) == ([255, 0, 0], [0, 255, 255], [255, 255, 255])
    assert green == [128, 255, 0]
    assert (pale, same, hole) == ([255, 128, 128], red, [40, 40, 40])
    disc = flow.legend([values]).picture
    assert disc is not None
    middle = len(disc) // 2
    assert disc[middle, -3, :3].tolist() == pytest.approx(red, abs=20)  # to the right
    assert disc[-3, middle, :3].tolist() == pytest.approx(green, abs=20)  # y goes down
    assert disc[0, 0, 3] == 0


def test_vectors_are_scored_by_the_length_of_the_difference() -> None:
    definition = {"range": [-8, 8], "unit": "px", "channels": 2, "flips": "vector"}
    flow: Any = make_tasks(["flow"], own={"flow": definition})["flow"]
    assert (next(iter(flow.metrics_info)), flow.primary) == ("endpoint_error_px", "endpoint_error_px")
    truth = torch.tensor([(0.0, 0.0), (1.0, 1.0), (math.nan, 0.0)]).T.view(1, 2, 1, -1)
    value = torch.tensor([(3.0, 4.0), (1.0, 2.0), (0.0, 0.0)]).T.view(1, 2, 1, -1)
    metrics = flow.metrics()
    metrics.update(flow.encode(value), truth)
    assert metrics.compute() == pytest.approx({"endpoint_error_px": 3, "abs_error_px": 2, "rmse_px": math.sqrt(26 / 4)})
    sums = {name: part.numpy()[None] for name, part in metrics.image_sums().items()}
    assert type(metrics).from_sums(sums)["endpoint_error_px"] == pytest.approx([3])
    assert flow.error(value, truth)[0, 0, :2].tolist() == [1, 0.25]  # of a quarter of the range, 4 px
    assert flow.value_format.endswith("vector: x right, y down")


def test_a_zoom_divides_where_that_is_said() -> None:
    assert make_task("height").zoom(row(10), torch.tensor([2.0])).item() == 5
    assert make_task("growth").zoom(row(10), torch.tensor([2.0])).item() == 10
    assert [make_task(name).calibratable for name in ("height", "growth", "flow")] == [True, False, False]


def test_classes_have_their_own_colours_everywhere() -> None:
    crop = make_task("crop")
    assert crop.classes == ("soil", "wheat", "maize", "weed", "road")
    colours = crop.colour(torch.tensor([[[0, 1]]]))[0, :, 0].T.tolist()
    assert colours == [palette(1)[0].tolist(), [220, 190, 60]]
    legend = crop.legend([torch.tensor([[[1, 1, 0]]])])
    assert [(entry.name, entry.colour) for entry in legend.classes] == [
        ("wheat", (220, 190, 60)), ("soil", tuple(palette(1)[0].tolist())),
    ]  # fmt: skip


def test_classes_of_two_segmentations_do_not_mix() -> None:
    tasks = make_tasks(["semantic", "crop"], ("a", "b"), own={"crop": {"classes": ["x", "y", "z"]}})
    assert (tasks["semantic"].channels, tasks["crop"].channels) == (2, 3)
    kind = task_kinds({"crop": {"classes": ["x", "y", "z"]}})["crop"]
    kind.check_target(np.array([[2]], np.uint8), num_classes=2, where="here")
    with pytest.raises(DataError, match=r"label 3 is neither a class \(0..2\)"):
        kind.check_target(np.array([[3]], np.uint8), num_classes=9, where="here")


def test_the_same_name_may_mean_two_things_in_one_process() -> None:
    metres = DatasetInfo("a", ("height",), own_tasks={"height": HEIGHT})
    feet = DatasetInfo("b", ("height",), own_tasks={"height": {"range": [0, 130], "unit": "ft"}})
    one, other = tasks_for(metres)["height"], tasks_for(feet)["height"]
    assert (one.values, other.values) == ("0 to 40 m", "0 to 130 ft")
    assert not one.comparable(other)
    assert "height" not in TASKS
    with pytest.raises(ConfigError, match="unknown task 'height'.*dataset.yaml"):
        make_tasks(["height"])


def test_the_same_definition_is_the_same_task_however_much_is_written_out() -> None:
    written = {**HEIGHT, "channels": 1, "loss": "l1"}
    assert define("height", HEIGHT) is define("height", written)
    assert define("height", define("height", HEIGHT).definition) is define("height", HEIGHT)
    wider = define("height", {**HEIGHT, "range": [0, 50]})
    assert wider is not define("height", HEIGHT)
    assert wider().comparable(define("height", HEIGHT)())


def test_the_chosen_loss_comes_first_and_wins_over_the_recommended() -> None:
    own = {
        "crop": {"classes": ["a", "b"], "loss": "dice"},
        "weeds": {"classes": ["a", "b"]},
        "flow": {"range": [0, 1], "loss": "l2"},
    }
    tasks = make_tasks(["crop", "weeds", "flow"], (), ["recommended"], own)
    assert [task.loss_name for task in tasks.values()] == ["dice", "lovasz", "l2"]
    assert make_tasks(["flow"], (), ["flow:l1"], own)["flow"].loss_name == "l1"
    with pytest.raises(ConfigError, match="unknown loss of flow 'log'"):
        make_tasks(["flow"], (), ["flow:log"], own)


def test_what_looks_wrong_is_said_with_the_range() -> None:
    task = make_tasks(["height"], own={"height": HEIGHT})["height"]
    assert task.suspicions(row(1, 41)) == ["height leaves its range, 0 to 40 m"]
    assert task.suspicions(row(1, 39)) == []
    assert "median height is 2e+03, outside its range" in task.doubt_about(2000)
    assert task.doubt_about(20) == ""
    with pytest.raises(DataError, match="height is infinite"):
        task.check_target(np.array([[np.inf]], np.float32), 0, "here")


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("height", {"rnage": [0, 1]}, "unknown key 'rnage'. Did you mean 'range'"),
        ("height", {"unit": "m"}, r"give the range of its numbers, range: \[LOW, HIGH\], or classes"),
        ("height", {"range": [40, 0]}, r"range is \[40, 0\]; write the lowest value"),
        ("height", {"range": [0]}, "range"),
        ("height", {"range": [0, math.inf]}, "range is"),
        ("height", {"range": [0, 1], "channels": 0}, "channels is 0; it must be 1 to 16"),
        ("height", {"range": [0, 1], "channels": 100}, "channels is 100"),
        ("height", {"range": [0, 1], "loss": "log"}, "includes values without a logarithm"),
        ("height", {"range": [0, 1], "loss": "l3"}, "loss: .*'l1', 'l2' or 'log'"),
        ("height", {"range": [0, 1], "metrics": ["rmse"]}, "metrics is rmse alone; add abs_error"),
        ("height", {"range": [0, 1], "metrics": ["r2", "rmse"]}, "metrics is r2 and rmse alone; add abs_error"),
        ("height", {"range": [0, 1], "metrics": ["abs_error", "abs_error"]}, "metrics names a metric twice"),
        ("height", {"range": [0, 1], "metrics": ["relative_error"]}, "values that are not positive"),
        ("height", {"range": [0, 1], "channels": 2, "metrics": ["endpoint_error"]}, "the difference of vectors"),
        ("height", {"range": [1, 2], "metrics": ["iou"]}, "metrics.0: .*'abs_error', 'relative_error', 'rmse' or 'r2'"),
        ("height", {"range": [0, 1], "flips": "vector"}, "flips is vector, but channels is 1; vectors need 2 or 3"),
        ("height", {"range": [0, 1], "flips": "vector", "channels": 4}, "channels is 4"),
        ("height", {"range": [0, 1], "zoom": "divide", "flips": "vector", "channels": 2}, "distances, which are scalar"),
        ("height", {"range": [0, 1], "unit": "m\n"}, "one line of printable text"),
        ("my height", HEIGHT, "not a valid task name"),
        ("Height", HEIGHT, "lower-case"),
        ("depth", HEIGHT, "'depth' is a built-in task of mgm"),
        ("scene", HEIGHT, "'scene' is a reserved name"),
        ("items", HEIGHT, "'items' is a reserved name"),  # of nn.ModuleDict
        ("crop", {"classes": ["a"]}, "2 to 255 different names"),
        ("crop", {"classes": ["a", "a"]}, "different names"),
        ("crop", {"classes": "ab"}, r"write classes: \[soil, leaf\]"),
        ("crop", {"classes": ["a", "b\n"]}, "cannot be displayed"),
        ("crop", {"classes": {"a": [1, 2, 300], "b": [0, 0, 0]}}, "three numbers in 0..255"),
        ("crop", {"classes": {"a": [1, 2], "b": [0, 0, 0]}}, "colours.a"),
        ("crop", {"classes": ["a", "b"], "colours": {"a": [1, 2, 3]}}, "class 'b' is in only one of classes and colours"),
        ("crop", {"classes": ["a", "b"], "values": {"a": 0}}, "class 'b' is in only one of classes and values"),
        ("crop", {"classes": ["a", "b"], "loss": "log"}, "unknown loss 'log'"),
        ("crop", {"classes": ["a", "b"], "unit": "m"}, "'unit' is for tasks with numbers; remove it, or leave out classes"),
    ],
)  # fmt: skip
def test_bad_definitions_get_one_clear_error(name: str, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        task_kinds({name: split_entry(name, entry)[0]} if name not in TASKS else {name: entry})
    assert str(error.value).startswith("tasks: ")
    assert "\n" not in str(error.value)


def test_colours_of_files_are_those_of_pictures_and_name_the_classes() -> None:
    coded = {"colours": {"a": [1, 2, 3], "b": [4, 5, 6]}, "folder": "masks"}
    definition, files = split_entry("crop", coded)
    assert definition["classes"] == ["a", "b"]
    assert definition["colours"] == coded["colours"]
    assert files == coded
    numbered, files = split_entry("crop", {"values": {"a": 10, "b": 20}, "classes": {"a": [1, 2, 3], "b": None}})
    assert (numbered["colours"], files) == ({"a": [1, 2, 3]}, {"values": {"a": 10, "b": 20}})
