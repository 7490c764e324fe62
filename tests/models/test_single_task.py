import torch

from mgm.models import MultiTaskNetwork, SingleTaskNetworks

NARROW = (4, 6, 8, 10)
CHANNELS = {"depth": 1, "normals": 3}


def test_a_loss_reaches_its_own_network_alone():
    for task, other in (("depth", "normals"), ("normals", "depth")):
        model = SingleTaskNetworks(CHANNELS, 10, NARROW)
        model(torch.randn(2, 3, 32, 32))[task].square().sum().backward()
        assert all(p.grad.any() for p in model.encoder.encoders[task].parameters())
        assert all(p.grad.any() for p in model.decoders[task].parameters())
        assert not any(p.grad.any() for p in model.encoder.encoders[other].parameters())
        assert all(p.grad is None for p in model.decoders[other].parameters())


def test_equals_separate_networks():
    """Each part computes what a multi-task network with that single task does."""
    model = SingleTaskNetworks(CHANNELS, 10, NARROW)
    images = torch.randn(2, 3, 32, 32)
    together = model(images)
    for task, channels in CHANNELS.items():
        alone = MultiTaskNetwork({task: channels}, 10, NARROW)
        alone.encoder.load_state_dict(model.encoder.encoders[task].state_dict())
        alone.decoders[task].load_state_dict(model.decoders[task].decoder.state_dict())
        torch.testing.assert_close(alone(images)[task], together[task])


def test_one_task_is_the_multi_task_network():
    images = torch.randn(2, 3, 32, 32)
    predictions = []
    for architecture in (SingleTaskNetworks, MultiTaskNetwork):
        torch.manual_seed(4)
        predictions.append(architecture({"depth": 1}, 10, NARROW)(images)["depth"])
    assert torch.equal(*predictions)


def test_features_of_all_tasks_stand_side_by_side():
    model = SingleTaskNetworks(CHANNELS, 10, NARROW).eval()
    images = torch.randn(2, 3, 32, 32)
    parts = model.encoder(images).split(NARROW[-1], dim=1)
    assert model.feature_channels == 2 * NARROW[-1]
    for part, encoder in zip(parts, model.encoder.encoders.values(), strict=True):
        assert torch.equal(part, encoder(images))
