import pytest
import torch

from mgm.errors import ConfigError
from mgm.networks.decoder import Decoder

NARROW = (4, 6, 8, 10)


@pytest.mark.parametrize("depth", [10, 18, 34])
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 1, 1), (2, 3, 4)])
def test_full_resolution(depth, batch, height, width):
    decoder = Decoder(10, 5, NARROW, depth)
    output = decoder(torch.randn(batch, 10, height, width))
    assert output.shape == (batch, 5, 16 * height, 16 * width)
    assert output.isfinite().all()


def test_output_is_linear():
    decoder = Decoder(10, 2, NARROW)
    output = decoder(torch.randn(4, 10, 4, 4))
    assert output.min() < 0 < output.max()
    last = decoder.layers[-1]
    with torch.no_grad():
        last.bias += 1000
    assert decoder(torch.randn(4, 10, 4, 4)).max() > 500


def test_first_predictions_are_of_order_one():
    torch.manual_seed(0)
    assert Decoder(10, 1, NARROW)(torch.randn(4, 10, 4, 4)).std() < 2


def test_every_output_pixel_depends_on_the_features():
    """Evaluation mode: batch statistics would connect everything anyway."""
    decoder = Decoder(10, 1, NARROW).double().eval()
    features = torch.rand(1, 10, 2, 2, dtype=torch.float64)
    changed = decoder(features) != decoder(features + 1)
    assert changed.all()


def test_deeper_encoders_get_deeper_decoders():
    sizes = [sum(p.numel() for p in Decoder(10, 1, NARROW, depth).parameters()) for depth in (10, 18, 34)]
    assert sizes[0] == sizes[1] < sizes[2]


def test_unknown_depth_lists_choices():
    with pytest.raises(ConfigError, match=r"depth 50.*10, 18, 34"):
        Decoder(10, 1, NARROW, 50)
