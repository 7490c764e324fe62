"""Scene losses against loops; missing labels leave no trace."""

import math

import pytest
import torch
from torch import Tensor

from mgm.functional.classification import labelled_rows, scene_log_likelihood, scene_loss

NAN = float("nan")
LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [2.0, 2.0, 2.0]], dtype=torch.float64)
ONE_HOT = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
MULTI_HOT = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])


def by_loops(logits: Tensor, scene: Tensor, multi_hot: bool) -> float:
    per_image = []
    for scores, label in zip(logits.tolist(), scene.tolist(), strict=True):
        if any(math.isnan(value) for value in label):
            continue
        if multi_hot:
            chances = [1 / (1 + math.exp(-score)) for score in scores]
            terms = [math.log(p) if c else math.log(1 - p) for p, c in zip(chances, label, strict=True)]
            per_image.append(-sum(terms) / len(terms))
        else:
            per_image.append(math.log(sum(math.exp(score) for score in scores)) - scores[label.index(1.0)])
    return sum(per_image) / len(per_image)


@pytest.mark.parametrize("multi_hot", [False, True])
@pytest.mark.parametrize("missing", [[], [1], [0, 2]])
def test_loss_equals_loops(multi_hot: bool, missing: list[int]) -> None:
    scene = (MULTI_HOT if multi_hot else ONE_HOT).clone()
    scene[missing] = NAN
    assert scene_loss(LOGITS, scene, multi_hot).item() == pytest.approx(by_loops(LOGITS, scene, multi_hot))


@pytest.mark.parametrize("multi_hot", [False, True])
def test_missing_labels_leave_no_trace(multi_hot: bool) -> None:
    scene = ONE_HOT.clone()
    scene[1] = NAN
    logits = LOGITS.clone()
    logits[1] = torch.tensor([NAN, float("inf"), 0.0])  # whatever the network says there
    logits.requires_grad_()
    scene_loss(logits, scene, multi_hot).backward()
    others = LOGITS[[0, 2]].clone().requires_grad_()
    scene_loss(others, ONE_HOT[[0, 2]], multi_hot).backward()
    torch.testing.assert_close(logits.grad[[0, 2]], others.grad)
    assert logits.grad[1].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("multi_hot", [False, True])
def test_no_label_at_all_is_zero_with_a_graph(multi_hot: bool) -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = scene_loss(logits, torch.full((3, 3), NAN), multi_hot)
    loss.backward()
    assert loss.item() == 0.0
    assert not logits.grad.any()


@pytest.mark.parametrize(("multi_hot", "chance"), [(False, math.log(3)), (True, math.log(2))])
def test_chance_level(multi_hot: bool, chance: float) -> None:
    assert scene_loss(torch.zeros(3, 3), ONE_HOT, multi_hot).item() == pytest.approx(chance)


@pytest.mark.parametrize("multi_hot", [False, True])
def test_log_likelihood_is_minus_the_loss_of_each_image(multi_hot: bool) -> None:
    scene = ONE_HOT.clone()
    scene[2] = NAN
    likelihood = scene_log_likelihood(LOGITS, scene, multi_hot)
    for image in (0, 1):
        alone = scene_loss(LOGITS[image : image + 1], scene[image : image + 1], multi_hot)
        torch.testing.assert_close(likelihood[image], -alone)
    assert likelihood[2].item() == 0.0


def test_one_missing_entry_makes_a_missing_row() -> None:
    assert labelled_rows(torch.tensor([[0.0, NAN], [0.0, 1.0]])).tolist() == [False, True]


@pytest.mark.parametrize("multi_hot", [False, True])
def test_gradient(multi_hot: bool) -> None:
    logits = LOGITS.clone().requires_grad_()
    scene = ONE_HOT.clone()
    scene[0] = NAN
    assert torch.autograd.gradcheck(lambda scores: scene_loss(scores, scene, multi_hot), logits)
