"""NT-Xent against a literal reading of eq. 6, and against closed forms."""

import math

import pytest
import torch
from torch import Tensor

from mgm.functional.contrastive import nt_xent


def by_loops(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Eq. 6 term by term, with the pairs interleaved as 2k, 2k + 1."""
    views = [view for pair in zip(first, second, strict=True) for view in pair]

    def similarity(i: int, j: int) -> Tensor:
        return views[i] @ views[j] / (views[i].norm() * views[j].norm())

    def term(i: int, j: int) -> Tensor:
        others = [(similarity(i, k) / temperature).exp() for k in range(len(views)) if k != i]
        return -((similarity(i, j) / temperature).exp() / torch.stack(others).sum()).log()

    pairs = range(0, len(views), 2)
    return torch.stack([term(i, i + 1) + term(i + 1, i) for i in pairs]).sum() / len(views)


def embeddings(count: int = 4, size: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, count, size, generator=generator, dtype=torch.float64)
    return first, second


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_equals_the_double_loop(count: int, temperature: float) -> None:
    first, second = embeddings(count)
    torch.testing.assert_close(nt_xent(first, second, temperature), by_loops(first, second, temperature))


def test_orthogonal_images_have_a_closed_form() -> None:
    # equal views, similarity 0 to the 2N - 2 others
    count, temperature = 4, 0.5
    axes = torch.eye(count)
    expected = math.log(1 + (2 * count - 2) * math.exp(-1 / temperature))
    torch.testing.assert_close(nt_xent(axes, axes, temperature), torch.tensor(expected))


def test_collapsed_embeddings_are_at_chance() -> None:
    same = torch.ones(4, 3)
    torch.testing.assert_close(nt_xent(same, same, 0.5), torch.tensor(math.log(7)))


def test_only_directions_count() -> None:
    first, second = embeddings()
    lengths = torch.tensor([[0.1], [1.0], [7.0], [100.0]], dtype=torch.float64)
    torch.testing.assert_close(nt_xent(first * lengths, second * 3, 0.5), nt_xent(first, second, 0.5))


def test_order_of_images_and_views_does_not_count() -> None:
    first, second = embeddings()
    order = torch.tensor([2, 0, 3, 1])
    expected = nt_xent(first, second, 0.5)
    torch.testing.assert_close(nt_xent(first[order], second[order], 0.5), expected)
    torch.testing.assert_close(nt_xent(second, first, 0.5), expected)
    assert not torch.isclose(nt_xent(first, second[order], 0.5), expected)


def test_gradient() -> None:
    first, second = (values.requires_grad_() for values in embeddings())
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.5), (first, second))


def test_one_image_has_no_negatives() -> None:
    first, second = (values.requires_grad_() for values in embeddings(1))
    loss = nt_xent(first, second, 0.5)
    loss.backward()
    assert loss.item() == 0.0
    assert not first.grad.any()


def test_float32_under_autocast() -> None:
    first, second = (values.float() for values in embeddings(8, 16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nt_xent(first, second, 0.1)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, nt_xent(first, second, 0.1), rtol=0, atol=0)


def test_zero_embedding_is_harmless() -> None:
    first = torch.zeros(2, 3, requires_grad=True)
    nt_xent(first, torch.randn(2, 3), 0.5).backward()
    assert first.grad.isfinite().all()


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"\[2, 3\] and \[3, 3\]"):
        nt_xent(torch.zeros(2, 3), torch.zeros(3, 3), 0.5)
    with pytest.raises(ValueError, match="temperature"):
        nt_xent(torch.zeros(2, 3), torch.zeros(2, 3), 0.0)
