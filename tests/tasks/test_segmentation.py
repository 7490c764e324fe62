"""mIoU by hand, absent classes, and agreement with torchmetrics."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mgm.tasks import ClassScore, Confusion, tasks_for
from mgm.tasks.pictures import INVALID_COLOUR, palette
from mgm.tasks.segmentation import SemanticSegmentation
from mgm.types import IGNORE_INDEX, DatasetInfo
from task_cases import make_task, random_prediction, random_target


def scores(predicted: Tensor, target: Tensor) -> dict[str, float]:
    metrics = make_task("semantic").metrics()
    metrics.update(F.one_hot(predicted, 5).movedim(-1, 1).float(), target)
    return metrics.compute()


def iou_by_loops(predicted: Tensor, target: Tensor) -> float:
    per_class = []
    pixels = [(p, t) for p, t in zip(predicted.flatten().tolist(), target.flatten().tolist(), strict=True) if t != 255]
    for c in range(5):
        either = sum(c in pair for pair in pixels)
        if either:
            per_class.append(sum(pair == (c, c) for pair in pixels) / either)
    return sum(per_class) / len(per_class)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("num_used", [2, 5])
def test_miou_equals_loops(seed: int, num_used: int) -> None:
    task = make_task("semantic")
    target = random_target(task, seed)
    target = torch.where(target == IGNORE_INDEX, target, target % num_used)
    predicted = random_prediction(task, seed + 1).argmax(1) % (num_used + 1) % 5
    result = scores(predicted, target)
    valid = target != IGNORE_INDEX
    assert result["miou"] == pytest.approx(iou_by_loops(predicted, target))
    assert result["pixel_accuracy"] == pytest.approx(float((predicted == target)[valid].float().mean()))
    reference = pytest.importorskip("torchmetrics.classification").MulticlassJaccardIndex(5, ignore_index=IGNORE_INDEX)
    assert result["miou"] == pytest.approx(float(reference(predicted, target)))


def test_scores_of_classes_equal_loops_and_are_what_miou_is_the_mean_over() -> None:
    task = make_task("semantic")
    target = torch.where(random_target(task) == IGNORE_INDEX, IGNORE_INDEX, random_target(task) % 3)
    prediction = random_prediction(task)
    prediction[:, 4] = -9.0
    metrics = task.metrics()
    metrics.update(prediction[:1], target[:1])
    metrics.update(prediction[1:], target[1:])
    found, predicted = metrics.classes(), prediction.argmax(1)
    assert set(found) == set(task.classes[:4])  # the fourth is predicted, but never there
    pixels = [score.pixels for score in found.values()]
    assert pixels == sorted(pixels, reverse=True)
    assert sum(pixels) == pytest.approx(1)
    absent = found[task.classes[3]]
    assert (absent.iou, absent.precision, absent.pixels) == (0.0, 0.0, 0.0)
    assert math.isnan(absent.recall)
    for index in range(3):
        score, valid = found[task.classes[index]], target != IGNORE_INDEX
        ours, true = (predicted == index) & valid, target == index
        assert score.iou == pytest.approx(int((ours & true).sum()) / int((ours | true).sum()))
        assert score.precision == pytest.approx(int((ours & true).sum()) / int(ours.sum()))
        assert score.recall == pytest.approx(int((ours & true).sum()) / int(true.sum()))
        assert score.pixels == pytest.approx(int(true.sum()) / int(valid.sum()))
    ious = [score.iou for score in found.values()]
    assert metrics.compute()["miou"] == pytest.approx(sum(ious) / len(ious))


def test_a_confusion_matrix_counts_pixels_and_names_the_largest_mistakes() -> None:
    metrics = SemanticSegmentation(("wall", "never", "chair", "sofa")).metrics()
    target = torch.tensor([[[0, 0, 0, 0, 2, 2, 2, 255]]])
    predicted = torch.tensor([[[0, 0, 0, 3, 0, 0, 2, 2]]])
    metrics.update(F.one_hot(predicted, 4).movedim(-1, 1).float(), target)
    found = metrics.confusion()
    assert found == Confusion(["wall", "chair", "sofa"], [[3, 0, 1], [2, 1, 0], [0, 0, 0]])
    approx = pytest.approx
    assert found.mistakes(5) == [("chair", "wall", approx(2 / 3), approx(2 / 7)), ("wall", "sofa", 0.25, approx(1 / 7))]
    assert len(found.mistakes(1)) == 1
    assert make_task("depth").metrics().confusion() is None


def test_no_label_no_class_and_classes_of_the_same_name() -> None:
    assert make_task("semantic").metrics().classes() == {}
    assert make_task("semantic").metrics().confusion() == Confusion([], [])
    metrics = SemanticSegmentation(("thing", "thing")).metrics()
    metrics.update(torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]]), torch.tensor([[[0, 1]]]))
    assert metrics.classes() == {
        "thing (0)": ClassScore(1.0, 1.0, 1.0, 0.5),
        "thing (1)": ClassScore(1.0, 1.0, 1.0, 0.5),
    }


def test_confidence_is_the_probability_of_the_class_that_is_shown() -> None:
    task = SemanticSegmentation(tuple(map(str, range(20))))
    logits = torch.randn(2, 20, 6, 7) * 3
    for size in ((6, 7), (13, 20), (3, 4)):
        probability = task.resize(logits, size).softmax(dim=1)
        shown = probability.gather(1, task.decode_at(logits, size).unsqueeze(1)).squeeze(1)
        torch.testing.assert_close(task.confidence_at(logits, logits, size), shown)


def test_absent_classes() -> None:
    # class 0: 1 of 2 pixels; class 1: predicted, never there; classes 2 to 4: nowhere
    predicted, target = torch.tensor([[[0, 1]]]), torch.tensor([[[0, 0]]])
    assert scores(predicted, target)["miou"] == pytest.approx((0.5 + 0.0) / 2)
    assert scores(target, target)["miou"] == 1.0


def test_scores_are_of_the_data_set_not_of_images() -> None:
    predicted = torch.tensor([[[0, 0, 0, 0]], [[0, 1, 1, 1]]])
    target = torch.tensor([[[0, 0, 0, 0]], [[1, 1, 1, 0]]])
    # the mean over images would be ((1) + (0 + .5) / 2) / 2
    assert scores(predicted, target)["miou"] == pytest.approx((4 / 6 + 2 / 4) / 2)


def test_constant_is_the_mode_and_the_log_frequencies() -> None:
    task = make_task("semantic")
    target = torch.tensor([[[2, 2, 2, 1, 1, 0, 255, 255, 255, 255]]])
    constant = task.constant([target])
    assert constant.argmax() == 2
    expected = torch.tensor([1 / 6, 2 / 6, 3 / 6, 0, 0])
    torch.testing.assert_close(constant.softmax(0), expected, atol=1e-6, rtol=0)


def test_loss_at_chance() -> None:
    task = make_task("semantic")
    assert task.loss(torch.zeros(2, 5, 5, 6), random_target(task)).item() == pytest.approx(math.log(5))


def test_divergence_is_that_of_the_estimate_from_the_prediction() -> None:
    task = make_task("semantic")
    prediction, estimate = random_prediction(task, 0), random_prediction(task, 1)
    p, q = prediction.double().softmax(1), estimate.double().softmax(1)
    expected = (q * (q / p).log()).sum(1).mean()
    assert task.divergence(prediction, estimate).item() == pytest.approx(float(expected), rel=1e-5)


def test_divergence_stands_extreme_logits() -> None:
    task = make_task("semantic")
    sure = torch.zeros(1, 5, 1, 1)
    sure[:, 0] = 1e4
    assert task.divergence(sure, sure).item() == 0.0
    assert task.divergence(sure.roll(1, 1), sure).isfinite()


def test_refinement_sees_probabilities() -> None:
    task = make_task("semantic")
    seen = task.refinement_input(random_prediction(task))
    torch.testing.assert_close(seen.sum(dim=1), torch.ones(2, 5, 6))
    assert seen.min() >= 0


def test_pictures_and_legends_have_the_colours_of_the_data_set() -> None:
    own = ((0, 0, 0), (255, 255, 255))
    task = tasks_for(DatasetInfo("x", ("semantic",), ("wall", "floor"), colours=own))["semantic"]
    value = torch.tensor([[[0, 1, 1, 255]]])
    assert task.colour(value)[0, :, 0].T.tolist() == [[0, 0, 0], [255, 255, 255], [255, 255, 255], list(INVALID_COLOUR)]
    legend = task.legend([value])
    assert [(entry.name, entry.colour) for entry in legend.classes] == [("floor", own[1]), ("wall", own[0])]
    assert legend.unlabelled == 0.25
    usual = tasks_for(DatasetInfo("x", ("semantic",), ("wall", "floor"), colours=own[:1]))[
        "semantic"
    ]  # one for each class, or none
    assert usual.colour(value)[0, :, 0, 0].tolist() == palette(2)[0].tolist()
