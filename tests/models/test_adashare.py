from dataclasses import replace
from typing import Any

import pytest
import torch

from mgm.models import AdaShareNetwork, MultiTaskNetwork
from mgm.models.adashare import AdaShareEncoder, Policy, PolicySchedule
from mgm.networks.decoders import DECODERS
from mgm.training.optimizer_steps import OPTIMIZER_STEPS
from mgm.training.step import StepInputs
from small_models import CHANNELS, same, small
from toys import assert_resumed_is_bitwise_uninterrupted, run_single, toy_batch, toy_experiment, toy_trainer

LEARNING = PolicySchedule(warm_up=0.0, curriculum=0.0, fixed=2.0)


def pair(depth=18, **settings):
    """AdaShare and the multi-task network with the same weights."""
    models = []
    for build in (AdaShareNetwork, MultiTaskNetwork):
        torch.manual_seed(5)
        models.append(build(CHANNELS, small(depth, **settings)))
    return models


def learning_policy(blocks=4, tasks=3, logits=None):
    policy = Policy(blocks, tasks, LEARNING)
    if logits is not None:
        with torch.no_grad():
            policy.logits.copy_(logits)
    policy.begin_step(seed=1, progress=0.5)
    return policy


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("depth", [10, 18])
def test_everything_selected_is_the_multi_task_network_bitwise(depth, training):
    adashare, multi_task = pair(depth)
    images = torch.randn(3, 3, 32, 32)
    predictions, expected = adashare.train(training)(images), multi_task.train(training)(images)
    for task in CHANNELS:
        assert torch.equal(predictions[task], expected[task])
    for (name, own), other in zip(adashare.encoder.trunk.named_buffers(), multi_task.encoder.buffers(), strict=True):
        assert torch.equal(own, other), name


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("training", [True, False])
def test_everything_selected_is_per_task_the_network_of_that_task_alone(training, decoder):
    """With every kind of decoders; layers that tasks share in a pyramid are each task's own, as its path may be."""
    adashare, _ = pair(decoder=decoder)
    adashare.train(training)
    images = torch.randn(3, 3, 32, 32)
    alone = {}
    for own, (task, channels) in zip(adashare.decoders, CHANNELS.items(), strict=True):
        alone[task] = MultiTaskNetwork({task: channels}, small(18, decoder=decoder)).train(training)
        alone[task].encoder.load_state_dict(adashare.encoder.trunk.state_dict())
        alone[task].decoders.load_state_dict(own.state_dict())
    predictions = adashare(images)
    for task, network in alone.items():
        same(network(images)[task], predictions[task], decoder)


def test_gates_of_one_are_the_multi_task_network_too():
    """The pass that the policy learns from computes each path on its own, and the same."""
    adashare, multi_task = pair()
    gates = [[torch.ones(()) for _ in CHANNELS] for _ in adashare.encoder.blocks]
    images = torch.randn(3, 3, 32, 32)
    levels, expected = adashare.encoder.take(images, gates), multi_task.encoder(images)
    for level, own in zip(levels, expected, strict=True):
        assert torch.equal(level, own.repeat(1, 3, 1, 1))


def test_skipped_blocks_leave_their_shortcuts():
    torch.manual_seed(0)
    encoder = AdaShareEncoder(1, small(18)).eval()
    images = torch.randn(2, 3, 32, 32)
    fine, features = encoder.trunk.stem(images)
    expected = [fine]
    for number, block in enumerate(encoder.blocks, 1):
        features = torch.relu(block.shortcut(features))
        if number % 2 == 0:  # the end of a stage
            expected.append(features)
    for level, own in zip(encoder.take(images, [[0.0]] * 8), expected, strict=True):
        assert torch.equal(level, own)


@pytest.mark.parametrize("carrying", [False, True])
def test_every_task_takes_its_own_path(carrying):
    """Tasks together get what each would get alone, whether or not they share computation."""
    encoder = AdaShareEncoder(3, small(18)).eval()
    images = torch.randn(2, 3, 32, 32)
    decisions = torch.randint(2, (8, 3), generator=torch.Generator().manual_seed(2)).float()
    gates = [list(row) for row in decisions] if carrying else decisions.tolist()
    together = encoder.take(images, gates)
    assert len(together) == len(encoder.channels) == 5
    alone = AdaShareEncoder(1, small(18)).eval()
    alone.load_state_dict(encoder.state_dict())
    for task in range(3):
        own = alone.take(images, decisions[:, task : task + 1].tolist())
        for level, expected in zip(together, own, strict=True):
            torch.testing.assert_close(level.chunk(3, dim=1)[task], expected)


def test_tasks_that_decide_alike_share_the_computation():
    encoder = AdaShareEncoder(3, small())
    calls = []
    for number, block in enumerate(encoder.blocks):
        block.register_forward_hook(lambda *_, number=number: calls.append(number))
    encoder.take(torch.randn(2, 3, 32, 32), [[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    assert calls == [0, 1, 2, 3, 3, 3]


def test_gate_gradient_is_the_inner_product_with_the_residual():
    encoder = AdaShareEncoder(1, small()).double().eval()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    values = torch.rand(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: encoder.take(images, [[gate] for gate in v])[-1].square().mean(), values)


def test_samples_follow_the_probabilities():
    logits = torch.tensor([[-2.0, 0.0, 1.5]])
    policy = learning_policy(1, 3, logits)
    total = torch.zeros(1, 3)
    for seed in range(4000):
        policy.begin_step(seed, 0.5)
        total += torch.tensor(policy.decisions())
    torch.testing.assert_close(total / 4000, torch.sigmoid(logits), atol=0.03, rtol=0)


def test_noise_is_a_function_of_the_step_alone():
    first, second = learning_policy(8, 3, torch.zeros(8, 3)), learning_policy(8, 3, torch.zeros(8, 3))
    state = torch.get_rng_state()
    draws = []
    for seed in (3, 4, 3):
        first.begin_step(seed, 0.5)
        draws.append(first.decisions())
    second.begin_step(3, 0.5)
    assert draws[0] == draws[2] == second.decisions()
    assert draws[0] != draws[1]
    assert torch.equal(torch.get_rng_state(), state)


def test_evaluation_takes_the_likelier_decision():
    logits = torch.tensor([[0.1, -0.1], [-3.0, 3.0]])
    policy = learning_policy(2, 2, logits).eval()
    for seed in range(5):
        policy.begin_step(seed, 0.5)
        assert policy.decisions() == [[1.0, 0.0], [0.0, 1.0]]


def test_gradient_is_that_of_the_relaxed_decision():
    policy = learning_policy(3, 2, torch.randn(3, 2))
    weights = torch.randn(3, 2)
    gates: list[Any] = [gate for row in policy.gates() for gate in row]
    torch.stack(gates).dot(weights.flatten()).backward()
    relaxed = torch.sigmoid((policy.logits.detach() + policy._noise) / policy.temperature)
    torch.testing.assert_close(policy.logits.grad, weights * relaxed * (1 - relaxed) / policy.temperature)
    assert all(gate.item() in (0.0, 1.0) for gate in gates)


def test_curriculum_opens_the_last_block_first_and_all_in_the_end():
    policy = Policy(4, 2, PolicySchedule(warm_up=0.2, curriculum=0.6, fixed=0.8))
    seen = {}
    for progress in (0.0, 0.19, 0.2, 0.31, 0.41, 0.51, 0.6, 0.79, 0.8, 1.0):
        policy.begin_step(1, progress)
        seen[progress] = policy.num_open
        carrying = [any(isinstance(gate, torch.Tensor) for gate in row) for row in policy.gates()]
        assert carrying == [False] * (4 - policy.num_open) + [True] * policy.num_open
    assert list(seen.values()) == [0, 0, 1, 2, 3, 4, 4, 4, 0, 0]


def test_temperature_falls_from_the_first_to_the_last():
    policy = Policy(4, 2, PolicySchedule(warm_up=0.2, curriculum=0.6, fixed=0.8))
    temperatures = []
    for progress in (0.0, 0.2, 0.5, 0.8, 1.0):
        policy.begin_step(1, progress)
        temperatures.append(policy.temperature)
    assert temperatures == pytest.approx([5, 5, (5 * 0.5) ** 0.5, 0.5, 0.5])


def test_losses_of_the_policy_equal_their_formulas():
    logits = torch.randn(4, 3)
    policy = learning_policy(4, 3, logits)
    alpha = torch.sigmoid(logits)
    torch.testing.assert_close(policy.sparsity(), alpha.log().sum())
    sharing = sum(
        (4 - block) / 4 * abs(alpha[block, j] - alpha[block, k])
        for block in range(4)
        for j, k in ((0, 1), (0, 2), (1, 2))
    )
    torch.testing.assert_close(policy.sharing(), sharing)
    policy.schedule = PolicySchedule(warm_up=0.0, curriculum=1.0, fixed=2.0)
    policy.begin_step(1, 0.3)
    torch.testing.assert_close(policy.sparsity(), alpha[2:].log().sum())
    later = sum(
        (4 - block) / 4 * abs(alpha[block, j] - alpha[block, k])
        for block in (2, 3)
        for j, k in ((0, 1), (0, 2), (1, 2))
    )
    torch.testing.assert_close(policy.sharing(), later)


def policy_of(trainer) -> Policy:
    return trainer.networks["policy"]


def scheduled_trainer(folder, schedule, recipe="adashare", **settings):
    trainer = toy_trainer(toy_experiment(recipe, **settings), folder)
    policy_of(trainer).schedule = schedule
    return trainer


def in_float64(trainer):
    """Weights and whatever a loss reads."""
    trainer.networks.double()
    feed = trainer.loaders["labelled"]

    def doubled(step, count):
        batch = feed(step, count)
        targets = {name: value if name == "semantic" else value.double() for name, value in batch.targets.items()}
        return replace(batch, images=batch.images.double(), targets=targets)

    trainer.loaders["labelled"] = doubled


@pytest.mark.parametrize("optimizer_step", OPTIMIZER_STEPS)
def test_training_in_warm_up_is_multi_task_training(tmp_path, optimizer_step):
    training = {"optimizer_step": optimizer_step}
    ours = scheduled_trainer(tmp_path / "a", PolicySchedule(warm_up=1.0), training=training)
    multi_task = toy_trainer(toy_experiment("mt", training=training), tmp_path / "b")
    for trainer in (ours, multi_task):
        in_float64(trainer)
    ours.run()
    multi_task.run()
    assert (policy_of(ours).logits == Policy.INITIAL_LOGIT).all()
    ours, multi_task = ours.networks.model, multi_task.networks.model
    for half in ("encoder", "decoders"):
        for a, b in zip(
            ours.parts[half].state_dict().values(), multi_task.parts[half].state_dict().values(), strict=True
        ):
            # the gradients of the three tasks are added in another order; in float32 Adam makes much of such differences
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("optimizer_step", OPTIMIZER_STEPS)
def test_policy_learns_and_then_stays(tmp_path, optimizer_step):
    schedule = PolicySchedule(warm_up=1 / 6, curriculum=1 / 3, fixed=0.5)
    training = {"optimizer_step": optimizer_step, "joint_share": 0.0}
    trainer = scheduled_trainer(tmp_path, schedule, training=training)
    stage, logits = trainer.stages[0], []
    trainer.networks.train()
    for index in range(stage.steps):
        trainer.position.step = index
        trainer.train_step(stage, index)
        logits.append(policy_of(trainer).logits.detach().clone())
    changes = [
        not torch.equal(a, b)
        for a, b in zip([torch.full_like(logits[0], Policy.INITIAL_LOGIT), *logits], logits, strict=False)
    ]
    assert changes == [False, True, True, False, False, False]
    assert torch.equal(logits[1][:-1], logits[0][:-1]), "the curriculum begins with the last block"


def test_all_processes_draw_the_same_decisions(tmp_path, monkeypatch):
    """Batch norm waits for the other processes: a path that one alone takes would stop them all."""
    noise = []
    for rank in (0, 1):
        monkeypatch.setattr("mgm.training.trainer.rank", lambda rank=rank: rank)
        trainer = scheduled_trainer(tmp_path / str(rank), LEARNING)
        trainer.networks.train()
        trainer.train_step(trainer.stages[0], 1)
        noise.append(policy_of(trainer)._noise)
    assert torch.equal(*noise)


def test_every_update_changes_exactly_what_it_names(tmp_path):
    trainer = scheduled_trainer(tmp_path, LEARNING, "mgm_adashare")
    assert [update.name for update in trainer.stages[-1].updates][:3] == ["task", "policy", "refinement"]
    for update in trainer.stages[-1].updates:
        trainer.position.stage = 2
        trainer.networks.train()
        trainer.networks.model.begin_step(seed=1, progress=0.5)
        parameters, buffers = run_single(trainer, trainer.stages[-1], update)
        assert parameters == set(update.trains), update.name
        assert buffers <= set(update.statistics), update.name


def test_a_step_forgets_what_an_older_policy_has_chosen(tmp_path):
    trainer = scheduled_trainer(tmp_path, LEARNING)
    trainer.networks.train()
    batch = toy_batch(3, 4)
    step = trainer.make_step(StepInputs(batch, 0, 1, 0))
    features, predictions = step.features("labelled"), step.predictions("labelled")
    step.forget(("refinement",))
    assert step.features("labelled") is features
    with torch.no_grad():
        policy_of(trainer).logits.fill_(-9.0)
    step.forget(("policy",))
    assert not torch.equal(step.features("labelled")[-1], features[-1])
    assert not torch.equal(step.predictions("labelled")["depth"], predictions["depth"])


def test_policy_trades_accuracy_for_sparsity(tmp_path):
    """With a heavy sparsity loss blocks are skipped, with a negative one all are kept: the weight has the last word."""
    probabilities = []
    for weight in (-100.0, 100.0):
        trainer = scheduled_trainer(
            tmp_path / str(weight), LEARNING, method={"sparsity_weight": weight}, training={"policy_rate": 0.5}
        )
        trainer.run()
        probabilities.append(torch.sigmoid(policy_of(trainer).logits.detach()))
    assert (probabilities[0] > 0.9).all()
    assert (probabilities[1] < 0.5).all()


def test_sharing_loss_draws_tasks_together():
    policy = learning_policy(3, 2, torch.tensor([[1.0, -1.0]] * 3))
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        policy.sharing().backward()
        optimizer.step()
    apart = (torch.sigmoid(policy.logits[:, 0]) - torch.sigmoid(policy.logits[:, 1])).tolist()
    assert apart[0] < apart[1] < apart[2] < 0.46, "early blocks first"


@pytest.mark.parametrize("recipe, killed_after", [("adashare", 2), ("mgm_adashare", 3)])
def test_killed_and_resumed_is_bitwise_uninterrupted(tmp_path, recipe, killed_after):
    schedule = PolicySchedule(warm_up=0.1, curriculum=0.2, fixed=0.8)
    settings = {"checkpoint_every": 1, "ema": 0.9, "steps": 4, "generator_steps": 2}
    assert_resumed_is_bitwise_uninterrupted(
        lambda folder: scheduled_trainer(folder, schedule, recipe, training=settings), tmp_path, killed_after
    )


def test_saved_decisions_are_those_of_a_loaded_model():
    """A model rebuilt from a state dictionary predicts along the learned paths."""
    model = AdaShareNetwork(CHANNELS, small()).eval()
    with torch.no_grad():
        model.policy.logits.copy_(torch.randn(4, 3))
    loaded = AdaShareNetwork(CHANNELS, small()).eval()
    loaded.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, 32, 32)
    for task, prediction in model(images).items():
        assert torch.equal(loaded(images)[task], prediction)
