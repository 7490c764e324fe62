import pytest
import torch

from mgm.models import MODELS, SingleTaskNetworks
from mgm.models.cross_stitch import CrossStitchUnit
from mgm.networks.decoders import DECODERS
from small_models import CHANNELS, same, small
from toys import toy_experiment, toy_trainer

architecture = pytest.fixture(params=["cross_stitch", "cross_stitch_channels"], name="architecture")(
    lambda request: MODELS[request.param]
)


def identity(model):
    with torch.no_grad():
        for unit in model.encoder.units:
            unit.weight.copy_(torch.eye(len(unit.weight))[:, :, None].expand_as(unit.weight))


def test_unit_mixes_feature_maps():
    unit = CrossStitchUnit(num_tasks=2)
    with torch.no_grad():
        unit.weight.copy_(torch.tensor([[2.0, 3.0], [-1.0, 0.5]])[:, :, None])
    a, b = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    mixed_a, mixed_b = unit([a, b])
    torch.testing.assert_close(mixed_a, 2 * a + 3 * b)
    torch.testing.assert_close(mixed_b, -a + 0.5 * b)


def test_unit_per_channel_mixes_each_channel_by_its_own_matrix():
    unit = CrossStitchUnit(num_tasks=3, channels=4)
    with torch.no_grad():
        unit.weight.normal_()
    columns = [torch.randn(2, 4, 5, 5) for _ in range(3)]
    mixed = unit(columns)
    for task in range(3):
        for channel in range(4):
            expected = sum(unit.weight[task, other, channel] * columns[other][:, channel] for other in range(3))
            torch.testing.assert_close(mixed[task][:, channel], expected)


@pytest.mark.parametrize("num_tasks", [1, 2, 6])
def test_initial_rows_are_convex_combinations_that_keep_most_of_the_own_map(num_tasks):
    weight = CrossStitchUnit(num_tasks, channels=2).weight[..., 1]
    torch.testing.assert_close(weight.sum(dim=1), torch.ones(num_tasks))
    torch.testing.assert_close(weight.diagonal(), torch.full((num_tasks,), 0.9 if num_tasks > 1 else 1.0))
    if num_tasks > 1:
        others = weight[~torch.eye(num_tasks, dtype=torch.bool)]
        torch.testing.assert_close(others, torch.full_like(others, 0.1 / (num_tasks - 1)))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("training", [True, False])
def test_identity_units_are_single_task_networks(architecture, training, decoder):
    models = []
    for build in (architecture, SingleTaskNetworks):
        torch.manual_seed(7)
        models.append(build(CHANNELS, small(18, decoder=decoder)).train(training))
    stitched, single = models
    identity(stitched)
    images = torch.randn(3, 3, 32, 32)
    predictions, expected = stitched(images), single(images)
    for task in CHANNELS:
        same(predictions[task], expected[task], decoder)


def test_a_loss_reaches_the_columns_of_the_other_tasks(architecture):
    model = architecture(CHANNELS, small())
    model(torch.randn(2, 3, 32, 32))["depth"].square().sum().backward()
    for column in model.encoder.columns:
        assert all(parameter.grad.any() for parameter in column.parameters())
    own = model.decoders[list(CHANNELS).index("normals")]
    assert all(parameter.grad is None for parameter in own.parameters())


def test_one_task_has_nothing_to_stitch():
    images, predictions = torch.randn(2, 3, 32, 32), []
    for name in ("cross_stitch", "multi_task"):
        torch.manual_seed(4)
        predictions.append(MODELS[name]({"depth": 1}, small())(images)["depth"])
    assert torch.equal(*predictions)


def test_units_learn_in_training(tmp_path):
    trainer = toy_trainer(toy_experiment("cross_stitch"), tmp_path)
    weights = list(trainer.networks.model.get_submodule("encoder.units").parameters())
    before = [weight.detach().clone() for weight in weights]
    trainer.run()
    assert all((weight != old).all() for weight, old in zip(weights, before, strict=True))


@pytest.mark.parametrize("held", [True, False])
def test_training_with_units_held_at_the_identity_is_single_task_training_bitwise(tmp_path, held):
    single = toy_trainer(toy_experiment("st"), tmp_path / "st")
    stitched = toy_trainer(toy_experiment("cross_stitch"), tmp_path / "cross_stitch")
    identity(stitched.networks.model)
    if held:
        step = stitched.train_step
        stitched.train_step = lambda stage, index: (step(stage, index), identity(stitched.networks.model))[0]
    single.run()
    stitched.run()
    columns = stitched.networks.model.get_submodule("encoder.columns").state_dict()
    same = all(torch.equal(columns[name], value) for name, value in single.networks.model.encoder.state_dict().items())
    assert same == held
