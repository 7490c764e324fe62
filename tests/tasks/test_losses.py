"""Every loss of every task: what holds for all, formulas of depth and normals by loops, and how they are chosen."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm.config import RECOMMENDED
from mgm.errors import ConfigError
from mgm.functional.log_depth import log_depth
from mgm.functional.vectors import angle_degrees, encode_normals
from mgm.tasks import TASKS, Task, make_tasks
from task_cases import CLASSES, flip_prediction, missing, perfect_prediction, random_prediction, random_target

CHOICES = [f"{name}:{loss}" for name, task in TASKS.items() for loss in task.losses]
every_loss = pytest.mark.parametrize("choice", CHOICES)
few = settings(max_examples=10, deadline=None)
SEEDS = st.integers(0, 10**6)


def make(choice: str) -> Task:
    name = choice.partition(":")[0]
    return make_tasks([name], CLASSES, [choice])[name]


def test_the_papers_loss_is_the_first_and_the_default() -> None:
    first = {name: next(iter(task.losses)) for name, task in TASKS.items()}
    assert {name: task.loss_name for name, task in make_tasks(list(TASKS), CLASSES).items()} == first
    assert first.pop("semantic") == "cross_entropy"
    assert set(first.values()) == {"l1"}


def test_every_task_trains_by_its_own_choice() -> None:
    tasks = make_tasks(["depth", "semantic", "normal"], CLASSES, ["semantic:dice", "depth:log"])
    assert {name: task.loss_name for name, task in tasks.items()} == {
        "depth": "log",
        "semantic": "dice",
        "normal": "l1",
    }


def test_recommended_losses_are_those_of_each_task_unless_it_is_named() -> None:
    tasks = make_tasks(["reshading", "normal", "depth", "semantic"], CLASSES, [RECOMMENDED, "normal:angle"])
    assert {name: task.loss_name for name, task in tasks.items()} == {
        "reshading": "l1",
        "normal": "angle",
        "depth": "l1_log",
        "semantic": "lovasz",
    }


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (["depth"], "losses has 'depth'; write TASK:LOSS, for example depth:log"),
        ([":log"], "write TASK:LOSS"),
        (["dpeth:log"], "unknown task 'dpeth'. Did you mean 'depth'"),
        (["depth:lag"], "unknown loss of depth 'lag'. Did you mean 'log'.*Choices: l1, l1_log, log, log_gradient"),
        (["depth:log", "depth:l1"], "losses has depth:log and depth:l1; give one loss per task"),
        (["normal:cosine"], "normal is not learned; the tasks are depth, semantic"),
    ],
)
def test_wrong_choices_name_the_remedy(losses: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_tasks(["depth", "semantic"], CLASSES, losses)


@every_loss
@given(seed=SEEDS, invalid=st.sampled_from([0.0, 0.3, 0.9]))
@few
def test_mirrored_images_cost_the_same(choice: str, seed: int, invalid: float) -> None:
    task = make(choice)
    prediction, target = random_prediction(task, seed + 1), random_target(task, seed, invalid=invalid)
    mirrored = task.loss(flip_prediction(task, prediction), task.flip(target))
    torch.testing.assert_close(mirrored, task.loss(prediction, target), atol=2e-6, rtol=1e-5)


@every_loss
@given(seed=SEEDS)
@few
def test_invalid_pixels_change_nothing(choice: str, seed: int) -> None:
    task = make(choice)
    target, prediction = random_target(task, seed), random_prediction(task, seed + 1)
    hole = ~task.valid(target).unsqueeze(1)
    outcomes = []
    for values in (prediction, torch.where(hole, random_prediction(task, seed + 2) * 100 - 50, prediction)):
        values = values.clone().requires_grad_()
        loss = task.loss(values, target)
        (gradient,) = torch.autograd.grad(loss, values)
        assert gradient.isfinite().all()
        assert not gradient.masked_select(hole).any()
        outcomes.append((loss.detach(), gradient))
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=0, atol=0)


@every_loss
def test_no_label_trains_nothing(choice: str) -> None:
    task = make(choice)
    prediction = random_prediction(task).requires_grad_()
    loss = task.loss(prediction, missing(task))
    loss.backward()
    assert loss.item() == 0.0
    assert not prediction.grad.any()


@every_loss
def test_nothing_beats_a_perfect_prediction(choice: str) -> None:
    task, target = make(choice), random_target(make(choice))
    assert task.loss(perfect_prediction(task, target), target).item() == pytest.approx(0.0, abs=1e-6)
    assert task.loss(random_prediction(task), target).item() > 0.05


@every_loss
def test_half_precision_is_float32_inside(choice: str) -> None:
    task, target = make(choice), random_target(make(choice))
    prediction = random_prediction(task).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = task.loss(prediction, target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, task.loss(prediction.float(), target), rtol=1e-5, atol=0)


@every_loss
def test_gradients(choice: str) -> None:
    task = make(choice)
    prediction = random_prediction(task, batch=1, size=(3, 2)).double().requires_grad_()
    target = random_target(task, batch=1, size=(3, 2))
    assert torch.autograd.gradcheck(lambda values: task.loss(values, target), prediction)


@every_loss
def test_descent_leads_to_the_target(choice: str) -> None:
    """From anywhere, negative depths and normals without direction included."""
    task, target = make(choice), random_target(make(choice), invalid=0.1)
    values = torch.full_like(random_prediction(task), 0.5 if task.name == "normal" else -2.0)
    values = (values + 0.01 * torch.randn(values.shape, generator=torch.Generator().manual_seed(0))).requires_grad_()
    optimizer = torch.optim.Adam([values], lr=0.2, betas=(0.9, 0.9))
    before = task.metrics()
    before.update(values.detach(), target)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.2 * (1 - step / 400)
        optimizer.zero_grad()
        task.loss(values, target).backward()
        optimizer.step()
    after = task.metrics()
    after.update(values.detach(), target)
    sign = 1 if task.metrics_info[task.primary].higher_is_better else -1
    assert sign * after.compute()[task.primary] > sign * before.compute()[task.primary] + 0.03
    if task.name in ("depth", "normal"):
        assert after.compute()[task.primary] < 0.6  # metres, degrees


# depth


def test_log_loss_is_of_ratios() -> None:
    target = torch.tensor([[[[1.0, 2.0], [4.0, float("nan")]]]])
    assert make("depth:log").loss(target * 1.5, target).item() == pytest.approx(math.log(1.5))
    assert make("depth:l1_log").loss(target * 1.5, target).item() == pytest.approx(math.log(1.5) + 3.5 / 3)


@pytest.mark.parametrize("size", [(11, 13), (3, 20), (1, 1)])
def test_gradient_matching_equals_loops(size: tuple[int, int]) -> None:
    task = make("depth:log_gradient")
    prediction, target = random_prediction(task, size=size), random_target(task, size=size)
    prediction[0, 0, 0, 0] = -1.0
    error = (log_depth(prediction) - log_depth(target)).double()
    valid = task.valid(target)
    expected = float(error[valid.unsqueeze(1)].abs().mean())
    for distance, (down, right) in itertools.product((1, 2, 4, 8), ((1, 0), (0, 1))):
        terms = [
            float((error[b, 0, i + down * distance, j + right * distance] - error[b, 0, i, j]).abs())
            for b, i, j in itertools.product(
                range(2), range(size[0] - down * distance), range(size[1] - right * distance)
            )
            if valid[b, i, j] and valid[b, i + down * distance, j + right * distance]
        ]
        expected += 0.5 * sum(terms) / max(1, len(terms))
    assert task.loss(prediction, target).item() == pytest.approx(expected, rel=1e-5)


def test_gradient_matching_does_not_see_a_common_scale() -> None:
    target = random_target(make("depth:log"), size=(12, 12))
    both = [make(choice).loss(target * 1.5, target).item() for choice in ("depth:log", "depth:log_gradient")]
    assert both[0] == pytest.approx(both[1], rel=1e-4)


# normals


@given(seed=SEEDS)
@few
def test_losses_of_normals_are_of_the_angle(seed: int) -> None:
    task = make("normal:angle")
    prediction, target = random_prediction(task, seed + 1), random_target(task, seed)
    prediction = encode_normals(task.decode(prediction))
    angle = angle_degrees(task.decode(prediction), target)[task.valid(target)].deg2rad()
    torch.testing.assert_close(task.loss(prediction, target), angle.mean())
    torch.testing.assert_close(make("normal:cosine").loss(prediction, target), (1 - angle.cos()).mean())
    both = make("normal:l1").loss(prediction, target) + make("normal:cosine").loss(prediction, target)
    torch.testing.assert_close(make("normal:l1_cosine").loss(prediction, target), both)


@pytest.mark.parametrize("loss", ["cosine", "angle"])
def test_length_of_a_normal_does_not_count_until_it_has_no_direction(loss: str) -> None:
    task, target = make(f"normal:{loss}"), random_target(make("normal:l1"))
    direction = random_prediction(task) * 2 - 1
    direction = direction / direction.norm(dim=1, keepdim=True)
    costs = [task.loss(encode_normals(direction * length), target) for length in (0.11, 1.0, 3.0)]
    torch.testing.assert_close(costs[0], costs[1])
    torch.testing.assert_close(costs[0], costs[2])
    nothing = torch.full_like(direction, 0.5, requires_grad=True)
    cost = task.loss(nothing, target)
    (gradient,) = torch.autograd.grad(cost, nothing)
    assert cost.item() == pytest.approx(1.0 if loss == "cosine" else math.pi / 2, abs=1e-5)
    # a slope of 1 for the cosine and 2 for the angle, 1 / 0.1, a coding that doubles, three components
    assert 1 < gradient.abs().sum() < (1 if loss == "cosine" else 2) * 10 * 2 * math.sqrt(3)
