"""The scores that tables print, and the sums of single images that make them."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from mgm.tasks import TASKS as ALL_TASKS
from mgm.tasks import make_tasks
from mgm.training.evaluate import (
    ImageSums,
    classes_of,
    constant_predictor,
    evaluate,
    evaluate_model,
    flip_averaged,
    image_scores,
    mean_gain,
    measure,
    scores_of,
    task_gain,
    worst_images,
)
from mgm.types import Batch
from task_cases import make_task, random_prediction, random_target

NAN = float("nan")
TASKS = make_tasks(("semantic", "depth"), ("wall", "floor"))
SCENE = torch.zeros(1, 0)


def batch(depth_m: list[float], labels: list[int] | None = None) -> Batch:
    """One image of one row; its first channel holds what `Copies` predicts."""
    depth = torch.tensor(depth_m).view(1, 1, 1, -1)
    targets = {"depth": depth} | ({"semantic": torch.tensor([[labels]])} if labels else {})
    return Batch(torch.zeros(1, 3, 1, len(depth_m)), targets, SCENE)


class Model(nn.Module):
    """Predicts 2 m and the first class everywhere, and more in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.depth_m = nn.Parameter(torch.tensor(2.0))

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        depth = self.depth_m.expand(len(images), 1, *images.shape[-2:]) + 10 * self.training
        return {"depth": depth, "semantic": torch.cat((depth, -depth), dim=1)}


BATCHES = [batch([2.0, 3.0], [0, 1]), batch([6.0, NAN], [0, 255])]


@pytest.mark.parametrize("training", [False, True])
def test_evaluate_model_scores_all_pixels_in_evaluation_mode_and_restores_the_mode(training):
    model = Model().train(training)
    scores = evaluate_model(model, BATCHES, TASKS)
    assert model.training == training
    assert scores["depth"]["abs_error_m"] == pytest.approx((0 + 1 + 4) / 3)
    assert scores["semantic"]["miou"] == pytest.approx((2 / 3 + 0) / 2)
    assert scores == evaluate(model.eval(), BATCHES, TASKS)


def test_a_task_without_labels_scores_nan_and_single_classes_are_told():
    meters = measure(Model().eval(), [batch([2.0])], TASKS)
    assert meters["depth"].compute()["abs_error_m"] == 0
    assert math.isnan(meters["semantic"].compute()["miou"])
    found = classes_of(measure(Model().eval(), BATCHES, TASKS))
    assert found == {
        "semantic": {
            "wall": {
                "iou": pytest.approx(2 / 3),
                "precision": pytest.approx(2 / 3),
                "recall": 1.0,
                "pixels": pytest.approx(2 / 3),
            },
            "floor": {
                "iou": 0.0,
                "precision": pytest.approx(NAN, nan_ok=True),
                "recall": 0.0,
                "pixels": pytest.approx(1 / 3),
            },
        }
    }


def test_constant_predictor_says_the_same_everywhere():
    predict = constant_predictor({"depth": torch.tensor([1.5]), "semantic": torch.tensor([0.25, -1.0])})
    predictions = predict(torch.rand(2, 3, 4, 5))
    assert torch.equal(predictions["depth"], torch.full((2, 1, 4, 5), 1.5))
    assert torch.equal(predictions["semantic"], torch.tensor([0.25, -1.0]).view(1, 2, 1, 1).expand(2, 2, 4, 5))
    assert evaluate(predict, BATCHES, TASKS)["depth"]["abs_error_m"] == pytest.approx((0.5 + 1.5 + 4.5) / 3)


def test_a_flip_average_is_of_the_image_and_of_its_mirror_image_mirrored_back():
    images = torch.rand(2, 3, 4, 6)
    tasks = make_tasks(("depth", "normal"))

    def predict(seen: torch.Tensor) -> dict[str, torch.Tensor]:
        ramp = torch.linspace(0, 1, 6) * seen  # knows left from right
        return {"depth": ramp[:, :1], "normal": ramp}

    found = flip_averaged(predict, tasks)(images)
    mirrored = predict(images.flip(-1))
    x, others = 1 - mirrored["normal"][:, :1].flip(-1), mirrored["normal"][:, 1:].flip(-1)
    torch.testing.assert_close(found["depth"], (predict(images)["depth"] + mirrored["depth"].flip(-1)) / 2)
    torch.testing.assert_close(found["normal"], (predict(images)["normal"] + torch.cat((x, others), dim=1)) / 2)


def scores(miou: float, depth_m: float) -> dict[str, dict[str, float]]:
    return {"semantic": {"miou": miou}, "depth": {"abs_error_m": depth_m}}


def test_gains_are_relative_to_the_reference_and_positive_where_better():
    ours, base = scores(0.3, 0.9), scores(0.2, 1.0)
    assert task_gain(ours["semantic"], base["semantic"], TASKS["semantic"]) == pytest.approx(0.5)
    assert task_gain(ours["depth"], base["depth"], TASKS["depth"]) == pytest.approx(0.1)
    assert mean_gain(ours, base, TASKS) == pytest.approx(0.3)
    assert mean_gain(scores(NAN, 0.9), scores(NAN, 1.0), TASKS) == pytest.approx(0.1)
    assert math.isnan(mean_gain(scores(NAN, 0.9), base, TASKS))


@pytest.mark.parametrize("name", ALL_TASKS)
def test_sums_of_images_add_up_to_the_scores(name):
    task = make_task(name)
    predictions = [{name: random_prediction(task, seed, 3)} for seed in (1, 2)]
    batches = [
        Batch(torch.zeros(3, 3, 5, 6), {name: random_target(task, seed, 3)}, torch.zeros(3, 0)) for seed in (3, 4)
    ]
    images = ImageSums({name: task}, 6)
    answers = iter(predictions)
    scores = scores_of(measure(lambda _: next(answers), batches, {name: task}, images=images))[name]
    sums = {key.partition(".")[2]: array for key, array in images.arrays(torch.device("cpu")).items()}
    assert all(array.shape[0] == 6 for array in sums.values())
    again = type(task.metrics()).from_sums({key: array.sum(0) for key, array in sums.items()})
    assert task.primary in again
    for metric, value in again.items():
        assert value == pytest.approx(scores[metric], rel=1e-5)
    # many resamples at once, and images without a label
    weights = np.array([[1, 1, 1, 1, 1, 1], [2, 0, 0, 0, 0, 0]], float)
    twice = type(task.metrics()).from_sums({key: weights @ array for key, array in sums.items()})
    assert twice[task.primary][0] == pytest.approx(scores[task.primary], rel=1e-5)
    assert twice[task.primary].shape == (2,)
    nothing = type(task.metrics()).from_sums({key: 0 * array.sum(0) for key, array in sums.items()})
    assert np.isnan(nothing[task.primary])


def test_scores_of_single_images_are_those_of_each_alone():
    images = ImageSums(TASKS, 2)
    measure(Model().eval(), BATCHES, TASKS, images=images)
    found = image_scores(images.arrays(torch.device("cpu")), TASKS)
    assert found["depth"] == pytest.approx([0.5, 4.0])
    assert found["semantic"] == pytest.approx([0.25, 1.0])


def test_the_worst_images_have_the_worst_mean_rank():
    scores = {"semantic": np.array([0.9, 0.1, 0.5, NAN]), "depth": np.array([1.0, 2.0, 9.0, 1.5])}
    assert worst_images(scores, TASKS).tolist() == [1, 2, 3, 0]  # no label: neither good nor bad
    assert worst_images(scores, TASKS, 2).tolist() == [1, 2]
    assert not len(worst_images({}, TASKS))
