import torch

from mgm.models import MultiTaskNetwork
from small_models import small


def test_every_task_trains_the_shared_encoder():
    model = MultiTaskNetwork({"depth": 1, "normals": 3}, small())
    for task in ("depth", "normals"):
        model.zero_grad()
        model(torch.randn(2, 3, 32, 32))[task].square().sum().backward()
        assert all(parameter.grad.any() for parameter in model.encoder.parameters())


def test_paper_sizes():
    with torch.device("meta"):
        model = MultiTaskNetwork({"semantic": 40, "depth": 1})
    assert model.feature_channels == 360
    assert sum(parameter.numel() for parameter in model.encoder.parameters()) == 5_761_920
