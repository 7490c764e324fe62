"""Losses of segmentation against loops and set functions."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mgm.functional.segmentation_losses import LEVELS
from mgm.tasks import TASKS, Task, make_tasks
from task_cases import CLASSES, random_prediction


def make(choice: str) -> Task:
    return make_tasks(["semantic"], CLASSES, [choice])["semantic"]


def blobs(seed: int, num_classes: int, spread: float = 2.0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits that are mostly right, labels with holes, and the mask; the last class never occurs."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(num_classes - 1, (2, 4, 5), generator=generator)
    logits = torch.randn(2, num_classes, 4, 5, generator=generator, dtype=torch.float64) * spread
    logits += F.one_hot(labels, num_classes).movedim(-1, 1)
    holes = torch.rand(labels.shape, generator=generator) < 0.2
    return logits, labels.masked_fill(holes, 255), ~holes


def jaccard_loss(wrong: set[int], own: set[int]) -> float:
    """Of a class, when the pixels ``wrong`` are and all others are right: 1 - intersection / union."""
    return 1 - len(own - wrong) / len(own | wrong) if own | wrong else 0.0


@pytest.mark.parametrize("seed", range(8))
def test_lovasz_is_the_extension_of_the_set_function(seed: int) -> None:
    """The integral over thresholds of the Jaccard loss of the pixels with larger errors, which is the extension's definition."""
    task = make("semantic:lovasz")
    logits, labels, valid = blobs(seed, 5)
    chances, true = logits.softmax(1).movedim(1, -1)[valid], labels[valid].tolist()
    terms = []
    for c in set(true):
        own = {i for i, label in enumerate(true) if label == c}
        errors = [float(1 - chances[i, c] if i in own else chances[i, c]) for i in range(len(true))]
        levels = sorted({0.0, *errors})
        terms.append(
            sum(
                (upper - lower) * jaccard_loss({i for i, error in enumerate(errors) if error >= upper}, own)
                for lower, upper in itertools.pairwise(levels)
            )
        )
    exact = sum(terms) / len(terms) + make("semantic:cross_entropy").loss(logits, labels).item()
    loss = task.loss(logits, labels).item()
    assert exact - 1 / LEVELS <= loss <= exact + 1e-9


def test_lovasz_of_hard_errors_is_one_minus_iou() -> None:
    """At 0 and 1, the corners of the cube, the extension is the set function itself."""
    labels = torch.tensor([[[0, 0, 0, 1, 1, 2, 255]]])
    predicted = torch.tensor([[[0, 0, 1, 1, 0, 0, 2]]])
    logits = F.one_hot(predicted, 5).movedim(-1, 1).double() * 80
    iou = (2 / 5 + 1 / 3 + 0) / 3
    overlap = make("semantic:lovasz").loss(logits, labels) - make("semantic:cross_entropy").loss(logits, labels)
    assert overlap.item() == pytest.approx(1 - iou, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_dice_equals_loops(seed: int) -> None:
    logits, labels, valid = blobs(seed, 5)
    chances, true = logits.softmax(1).movedim(1, -1)[valid], labels[valid]
    terms = []
    for c in set(true.tolist()):
        own = (true == c).double()
        terms.append(float(1 - 2 * (own * chances[:, c]).sum() / (own.sum() + chances[:, c].sum())))
    expected = sum(terms) / len(terms) + make("semantic:cross_entropy").loss(logits, labels).item()
    assert make("semantic:dice").loss(logits, labels).item() == pytest.approx(expected)


def test_balanced_weighs_by_the_root_of_the_frequency() -> None:
    # shares of 3/4, 1/4 and 0, and a third of the image without a label
    labels = torch.tensor([[[0, 0, 0, 1, 255, 255]]])
    logits = torch.randn(1, 5, 1, 6, generator=torch.Generator().manual_seed(0)).double()
    costs = F.cross_entropy(logits[..., :4], labels[..., :4], reduction="none").flatten()
    weights = torch.tensor([0.75**-0.5] * 3 + [0.25**-0.5]).double()
    expected = float((weights * costs).sum() / weights.sum())
    assert make("semantic:balanced").loss(logits, labels).item() == pytest.approx(expected)


def test_balanced_weights_end_at_one_percent() -> None:
    labels = torch.zeros(1, 100, 100, dtype=torch.int64)
    labels[0, 0, 0] = 1
    logits = torch.zeros(1, 5, 100, 100, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(make("semantic:balanced").loss(logits, labels), logits)
    rare, common = gradient[0, 1, 0, 0].abs(), gradient[0, 0, 0, 1].abs()
    assert float(rare / common) == pytest.approx(10 * 0.9999**0.5)


def test_balanced_is_cross_entropy_where_classes_are_equally_frequent() -> None:
    labels = torch.arange(20).view(1, 4, 5) % 5
    logits = random_prediction(make("semantic:balanced"), batch=1, size=(4, 5))
    expected = make("semantic:cross_entropy").loss(logits, labels)
    torch.testing.assert_close(make("semantic:balanced").loss(logits, labels), expected)


@pytest.mark.parametrize("loss", ["lovasz", "dice"])
def test_overlap_counts_classes_not_pixels(loss: str) -> None:
    """A class of one pixel that is wrong costs as much as one of many that are all wrong."""
    task = make(f"semantic:{loss}")

    def overlap(labels: Tensor, predicted: Tensor) -> float:
        logits = F.one_hot(predicted, 5).movedim(-1, 1).double() * 80
        return (task.loss(logits, labels) - make("semantic:cross_entropy").loss(logits, labels)).item()

    small = torch.tensor([[[0] * 99 + [1]]])
    large = torch.tensor([[[0] * 50 + [1] * 50]])
    assert overlap(small, torch.where(small == 1, 2, small)) == pytest.approx(0.5, abs=1e-6)
    assert overlap(large, torch.where(large == 1, 2, large)) == pytest.approx(0.5, abs=1e-6)


def test_not_a_number_is_passed_on() -> None:
    logits = random_prediction(make("semantic:lovasz"))
    logits[0, 0, 0, 0] = float("nan")
    labels = torch.zeros(2, 5, 6, dtype=torch.int64)
    assert all(make(f"semantic:{loss}").loss(logits, labels).isnan() for loss in TASKS["semantic"].losses)
