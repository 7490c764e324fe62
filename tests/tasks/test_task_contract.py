"""What holds for every entry of the registry, and for what data sets define, without exception; losses: test_losses.py."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mgm.errors import ConfigError
from mgm.functional.vectors import encode_normals
from mgm.tasks import TASKS, Task, make_tasks
from mgm.tasks.regression import RegressionTask
from mgm.types import IGNORE_INDEX
from task_cases import (
    CLASSES,
    OWN,
    flip_prediction,
    loss_by_loops,
    make_task,
    missing,
    perfect_prediction,
    random_prediction,
    random_target,
)

SEEDS = st.integers(0, 10**6)
SHARES = st.sampled_from([0.0, 0.3, 0.9])
few = settings(max_examples=15, deadline=None)


@pytest.fixture(params=[*TASKS, *OWN])
def task(request: pytest.FixtureRequest) -> Task:
    return make_task(request.param)


every_task = pytest.mark.parametrize("name", [*TASKS, *OWN])


def test_registry_is_in_the_order_of_the_paper() -> None:
    assert list(TASKS) == ["semantic", "depth", "normal", "edge_texture", "reshading", "principal_curvature"]
    assert all(task.name == name for name, task in TASKS.items())


def test_make_tasks_keeps_the_order_asked_for() -> None:
    tasks = make_tasks(["depth", "semantic"], CLASSES)
    assert list(tasks) == ["depth", "semantic"]
    assert tasks["semantic"].channels == 5


@pytest.mark.parametrize(
    ("names", "classes", "message"),
    [
        (["dpeth"], CLASSES, "Did you mean 'depth'"),
        (["colour"], CLASSES, "principal_curvature, reshading, semantic"),
        (["depth", "normal", "depth"], CLASSES, "'depth' is chosen more than once"),
        ([], CLASSES, "no task chosen. Choices: semantic, depth"),
        (["semantic"], (), "needs classes"),
        (["semantic"], tuple(map(str, range(256))), "up to 255 classes, not 256"),
    ],
)
def test_wrong_choices_name_the_remedy(names: list[str], classes: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_tasks(names, classes)


def test_metrics_are_those_announced(task: Task) -> None:
    metrics = task.metrics()
    metrics.update(random_prediction(task), random_target(task))
    assert list(metrics.compute()) == list(task.metrics_info)
    assert task.primary == next(iter(task.metrics_info))
    assert task.title
    assert all(info.title for info in task.metrics_info.values())
    assert all(isinstance(value, float) for value in metrics.compute().values())


def test_shapes_and_types(task: Task) -> None:
    prediction, target = random_prediction(task), random_target(task)
    value = task.decode(prediction)
    assert prediction.shape == (2, task.channels, 5, 6)
    assert value.shape == target.shape
    assert value.dtype == target.dtype
    assert task.valid(target).shape == (2, 5, 6)
    assert task.valid(target).dtype == torch.bool
    assert task.refinement_input(prediction).shape == prediction.shape
    for size in ((10, 12), (3, 4), (5, 6)):
        assert task.resize(prediction, size).shape == (2, task.channels, *size)
        assert task.decode(task.resize(prediction, size)).shape[-2:] == size
    assert task.colour(value).shape == (2, 3, 5, 6)
    assert task.colour(value).dtype == torch.uint8
    assert task.error(value, target).shape == (2, 5, 6)
    assert task.constant([target, target]).shape == (task.channels,)
    assert task.constant([target]).dtype == torch.float32
    for changed in (task.flip(target), task.zoom(target, torch.tensor([1.5, 0.5])), missing(task)):
        assert changed.shape == target.shape
        assert changed.dtype == target.dtype


def test_half_precision_predictions_are_welcome(task: Task) -> None:
    prediction, target = random_prediction(task).bfloat16(), random_target(task)
    value = task.decode(prediction)
    assert task.divergence(prediction, prediction).dtype == torch.float32
    assert value.dtype == target.dtype
    metrics = task.metrics()
    metrics.update(prediction, target)
    rounded = task.metrics()
    rounded.update(prediction.float(), target)
    assert metrics.compute() == rounded.compute()


def test_missing_is_invalid_and_holes_are_holes(task: Task) -> None:
    assert not task.valid(missing(task)).any()
    target = random_target(task)
    holes = target == IGNORE_INDEX if task.categorical else target.isnan().any(dim=1)
    assert holes.any()
    assert torch.equal(task.valid(target), ~holes)


@every_task
@given(seed=SEEDS, invalid=SHARES)
@few
def test_loss_equals_loops(name: str, seed: int, invalid: float) -> None:
    task = make_task(name)
    prediction = random_prediction(task, seed + 1, size=(2, 3))
    target = random_target(task, seed, size=(2, 3), invalid=invalid)
    expected = loss_by_loops(task, prediction, target) if task.valid(target).any() else 0.0
    assert task.loss(prediction, target).item() == pytest.approx(expected, rel=1e-5)


def test_no_label_scores_nothing(task: Task) -> None:
    untouched, empty = task.metrics(), task.metrics()
    empty.update(random_prediction(task), missing(task))
    for metrics in (untouched, empty):
        assert all(math.isnan(value) for value in metrics.compute().values())


@every_task
@given(seed=SEEDS)
@few
def test_invalid_pixels_change_no_score(name: str, seed: int) -> None:
    task = make_task(name)
    target = random_target(task, seed)
    prediction = random_prediction(task, seed + 1)
    hole = ~task.valid(target).unsqueeze(1)
    other = torch.where(hole, random_prediction(task, seed + 2) * 100 - 50, prediction)
    scores = []
    for candidate in (prediction, other):
        metrics = task.metrics()
        metrics.update(candidate, target)
        scores.append(metrics.compute())
    torch.testing.assert_close(*scores, rtol=0, atol=0, equal_nan=True)


@every_task
@given(seed=SEEDS, invalid=SHARES)
@few
def test_mirroring_twice_is_nothing_and_predictions_mirror_alike(name: str, seed: int, invalid: float) -> None:
    task = make_task(name)
    prediction, target = random_prediction(task, seed + 1), random_target(task, seed, invalid=invalid)
    torch.testing.assert_close(task.flip(task.flip(target)), target, equal_nan=True)
    assert torch.equal(task.valid(task.flip(target)), task.valid(target).flip(-1))
    torch.testing.assert_close(task.decode(flip_prediction(task, prediction)), task.flip(task.decode(prediction)))


@every_task
@given(seed=SEEDS, cuts=st.lists(st.integers(0, 7), max_size=3))
@few
def test_streamed_metrics_are_those_of_all_at_once(name: str, seed: int, cuts: list[int]) -> None:
    task = make_task(name)
    prediction, target = random_prediction(task, seed + 1, batch=7), random_target(task, seed, batch=7)
    at_once, streamed = task.metrics(), task.metrics()
    at_once.update(prediction, target)
    edges = [0, *sorted(cuts), 7]
    for start, stop in pairwise(edges):
        streamed.update(prediction[start:stop], target[start:stop])
    assert streamed.compute() == pytest.approx(at_once.compute(), nan_ok=True)


def test_metrics_can_be_read_between_batches(task: Task) -> None:
    prediction, target = random_prediction(task, batch=4), random_target(task, batch=4)
    metrics = task.metrics()
    metrics.update(prediction[:2], target[:2])
    first = metrics.compute()
    metrics.update(prediction[2:], target[2:])
    at_once = task.metrics()
    at_once.update(prediction, target)
    assert metrics.compute() == pytest.approx(at_once.compute())
    assert metrics.compute() != first


def test_no_score_beats_that_of_a_perfect_prediction(task: Task) -> None:
    target = random_target(task)
    best = task.metrics()
    best.update(perfect_prediction(task, target), target)
    other = task.metrics()
    other.update(random_prediction(task), target)
    for name, info in task.metrics_info.items():
        value, worse = best.compute()[name], other.compute()[name]
        assert value == pytest.approx(1.0 if info.higher_is_better else 0.0, abs=0.006), name
        assert value > worse if info.higher_is_better else value < worse, name


def test_errors_are_0_where_right_and_nan_where_unknown(task: Task) -> None:
    target = random_target(task)
    right = task.error(task.decode(perfect_prediction(task, target)), target)
    wrong = task.error(task.decode(random_prediction(task)), target)
    valid = task.valid(target)
    for error in (right, wrong):
        assert torch.equal(error.isnan(), ~valid)
        assert error[valid].min() >= 0
        assert error[valid].max() <= 1
    torch.testing.assert_close(right[valid], torch.zeros_like(right[valid]), atol=1e-5, rtol=0)
    assert wrong[valid].mean() > 0.1


def test_pictures_show_holes_in_dark_grey_alone(task: Task) -> None:
    target = random_target(task)
    dark = (task.colour(target) == 40).all(dim=1)
    assert torch.equal(dark, ~task.valid(target))
    assert not (task.colour(task.decode(perfect_prediction(task, target))) == 40).all(dim=1).any()


def test_pictures_tell_values_apart(task: Task) -> None:
    target = random_target(task, invalid=0.0)
    colours = task.colour(target).movedim(1, -1).reshape(-1, 3).unique(dim=0)
    assert len(colours) >= (5 if task.categorical else 25)


def perturbed(constant: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    spread = 10.0 ** (torch.rand(1, generator=generator) * 3 - 3)
    return constant + torch.randn(len(constant), generator=generator) * spread


@every_task
@given(seed=SEEDS)
@few
def test_no_other_constant_is_better(name: str, seed: int) -> None:
    task = make_task(name)
    target = random_target(task, seed % 7, batch=4)
    best = task.constant([target[:1], target[1:]])

    def cost(constant: Tensor) -> float:
        prediction = constant.view(1, -1, 1, 1).expand(4, -1, 5, 6)
        if name == "normal":  # the mean direction is best for the cosine, not for the L1 loss
            valid = task.valid(target)
            return float(-(task.decode(prediction) * target).sum(dim=1)[valid].mean())
        if name == "flow":  # trained by the squared error, judged by the absolute one
            assert isinstance(task, RegressionTask)
            return float((prediction - task.encode(target)).abs()[target.isfinite()].mean())
        return float(task.loss(prediction, target))

    assert cost(best) <= cost(perturbed(best, seed)) + 1e-6


def test_constants_do_not_depend_on_batches_or_holes(task: Task) -> None:
    target = random_target(task, batch=4)
    torch.testing.assert_close(task.constant(target.split(1)), task.constant([target]))
    with_holes = [target, missing(task, 3)]
    torch.testing.assert_close(task.constant(with_holes), task.constant([target]))
    assert task.constant([missing(task, 1)]).isfinite().all()
    assert task.constant([]).shape == (task.channels,)


@every_task
@given(seed=SEEDS)
@few
def test_divergence_is_least_at_the_prediction(name: str, seed: int) -> None:
    task = make_task(name)
    prediction, estimate = random_prediction(task, seed), random_prediction(task, seed + 1)
    assert task.divergence(prediction, prediction).item() == pytest.approx(0.0, abs=1e-6)
    assert task.divergence(prediction, estimate).item() > 1e-3


def test_gradients_of_divergence_and_refinement(task: Task) -> None:
    prediction = random_prediction(task, batch=1, size=(2, 2)).double().requires_grad_()
    estimate = random_prediction(task, seed=5, batch=1, size=(2, 2)).double().requires_grad_()
    assert torch.autograd.gradcheck(task.divergence, (prediction, estimate))
    assert torch.autograd.gradcheck(task.refinement_input, prediction)


def test_confidence_is_1_where_sure_and_has_no_left_and_right(task: Task) -> None:
    prediction, other = random_prediction(task, 5), random_prediction(task, 6)
    unsure = task.confidence(prediction, other)
    assert unsure.shape == (2, 5, 6)
    assert unsure.min() >= 0
    assert unsure.max() <= 1
    assert unsure.unique().numel() > 5
    sure = task.confidence(prediction * 1e5, prediction * 1e5) if task.categorical else None
    sure = task.confidence(prediction, prediction) if sure is None else sure
    torch.testing.assert_close(sure, torch.ones(2, 5, 6), atol=2e-3, rtol=0)
    mirrored = task.confidence(task.mirror(prediction), task.mirror(other))
    torch.testing.assert_close(mirrored, unsure.flip(-1), atol=2e-3, rtol=0)
    small = task.confidence_at(prediction, other, (3, 9))
    torch.testing.assert_close(
        small, task.confidence(task.resize(prediction, (3, 9)), task.resize(other, (3, 9))), atol=2e-3, rtol=0
    )


def test_confidence_counts_in_the_units_of_error_maps() -> None:
    depth, normal = make_task("depth"), make_task("normal")
    metres = torch.tensor([2.0, 2.0, 2.0]).view(1, 1, 1, 3)
    others = torch.tensor([2.2, 1.5, 9.0]).view(1, 1, 1, 3)
    assert depth.confidence(metres, others).flatten().tolist() == pytest.approx([0.8, 0.5, 0.0])
    angle = torch.tensor([0.0, 12.0, 90.0]).deg2rad()
    turned = torch.stack((angle.sin(), torch.zeros(3), -angle.cos())).view(1, 3, 1, 3)
    ahead = torch.tensor([0.0, 0.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 1, 3)
    found = normal.confidence(encode_normals(ahead), encode_normals(turned)).flatten().tolist()
    assert found == pytest.approx([1.0, 0.8, 0.0], abs=1e-3)


def test_a_zoom_by_1_changes_nothing_and_none_changes_what_is_valid(task: Task) -> None:
    target = random_target(task)
    torch.testing.assert_close(task.zoom(target, torch.ones(2)), target, equal_nan=True)
    assert torch.equal(task.valid(task.zoom(target, torch.tensor([0.5, 2.0]))), task.valid(target))


@pytest.mark.parametrize(
    "name", ["semantic", "depth", "normal", "edge_texture", "reshading", "principal_curvature", *OWN]
)
def test_a_zoom_changes_distances_alone(name: str) -> None:
    target = random_target(make_task(name))
    zoomed = make_task(name).zoom(target, torch.tensor([0.5, 2.0]))
    assert target.allclose(zoomed, equal_nan=True) == (name not in ("depth", "height"))
