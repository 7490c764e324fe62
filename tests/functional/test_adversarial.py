"""Hinge losses against closed forms."""

import pytest
import torch

from mgm.functional.adversarial import discriminator_hinge_loss, generator_hinge_loss


@pytest.mark.parametrize(
    ("real", "fake", "expected"),
    [
        ([0.0, 0.0], [0.0, 0.0], 2.0),  # chance
        ([1.0, 5.0], [-1.0, -9.0], 0.0),  # beyond the margin
        ([-1.0, 3.0], [0.5, -2.0], 1.0 + 0.75),
    ],
)
def test_discriminator(real: list[float], fake: list[float], expected: float) -> None:
    assert discriminator_hinge_loss(torch.tensor(real), torch.tensor(fake)).item() == pytest.approx(expected)


def test_numbers_of_real_and_fake_may_differ() -> None:
    assert discriminator_hinge_loss(torch.zeros(3, 1), torch.zeros(7, 1)).item() == 2.0


def test_discriminator_gradient_vanishes_beyond_the_margin() -> None:
    real = torch.tensor([2.0, 0.5], requires_grad=True)
    fake = torch.tensor([-2.0, 0.5], requires_grad=True)
    discriminator_hinge_loss(real, fake).backward()
    assert real.grad.tolist() == [0.0, -0.5]
    assert fake.grad.tolist() == [0.0, 0.5]


def test_generator_raises_the_scores_everywhere() -> None:
    fake = torch.tensor([-3.0, 5.0], requires_grad=True)
    loss = generator_hinge_loss(fake)
    loss.backward()
    assert loss.item() == -1.0
    assert fake.grad.tolist() == [-0.5, -0.5]


def test_half_precision_scores_are_averaged_in_float32() -> None:
    scores = torch.full((3,), 1.5, dtype=torch.bfloat16)
    assert discriminator_hinge_loss(scores, scores).dtype == torch.float32
    assert generator_hinge_loss(scores).dtype == torch.float32
