"""Angles, exact where the arc cosine is not, and the coding of normals."""

import math

import pytest
import torch

from mgm.functional.vectors import angle_degrees, decode_normals, encode_normals, unit_vectors


@pytest.mark.parametrize("degrees", [0.0, 1e-3, 0.5, 45.0, 90.0, 135.0, 179.99, 180.0])
@pytest.mark.parametrize("length", [1e-3, 1.0, 40.0])
def test_angle_in_the_plane(degrees: float, length: float) -> None:
    radians = math.radians(degrees)
    first = torch.tensor([[1.0, 0.0, 0.0]])
    second = torch.tensor([[math.cos(radians), math.sin(radians), 0.0]]) * length
    assert angle_degrees(first, second).item() == pytest.approx(degrees, abs=2e-5)


def test_angle_to_the_zero_vector_is_a_right_one() -> None:
    assert angle_degrees(torch.zeros(1, 3), torch.ones(1, 3)).item() == pytest.approx(90.0)


def test_every_pixel_has_its_angle() -> None:
    first, second = torch.randn(2, 2, 3, 4, 5)
    pixels = (vectors.movedim(1, -1).reshape(-1, 3) for vectors in (first, second))
    torch.testing.assert_close(angle_degrees(first, second).flatten(), angle_degrees(*pixels))


def test_coding_and_back() -> None:
    normals = unit_vectors(torch.randn(2, 3, 4, 5))
    assert encode_normals(normals).min() >= 0
    assert encode_normals(normals).max() <= 1
    torch.testing.assert_close(decode_normals(encode_normals(normals)), normals)
    torch.testing.assert_close(decode_normals(encode_normals(normals * 0.2)), normals)


def test_no_direction_faces_the_viewer() -> None:
    decoded = decode_normals(torch.full((1, 3, 1, 1), 0.5))
    assert decoded.flatten().tolist() == [0.0, 0.0, -1.0]


def test_gradient_of_decoding_is_finite_even_without_a_direction() -> None:
    encoded = torch.full((1, 3, 1, 1), 0.5, requires_grad=True)
    decode_normals(encoded).sum().backward()
    assert encoded.grad.isfinite().all()
