import torch

from mgm.method.selfsup.simclr import ProjectionHead


def test_pooling_hidden_layer_and_linear_output():
    torch.manual_seed(0)
    head = ProjectionHead(6, 20)
    features = torch.randn(3, 6, 2, 5)
    hidden = torch.relu(features.flatten(2).mean(2) @ head.hidden.weight.T + head.hidden.bias)
    torch.testing.assert_close(head(features), hidden @ head.output.weight.T + head.output.bias)
    assert head(features).min() < 0  # no activation on the embedding


def test_one_image_with_one_position():
    assert ProjectionHead(6)(torch.randn(1, 6, 1, 1)).shape == (1, 128)
