"""A minibatch in parts: what equals the whole batch does so to rounding, and the rest is what the documents say."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from counting import SavedTensors
from mgm.networks.normalization import BatchNorm2d, SpectralNorm
from mgm.training.optimizer_steps import OPTIMIZER_STEPS
from mgm.training.step import StepInputs
from toys import assert_resumed_is_bitwise_uninterrupted, toy_batch, toy_experiment, toy_trainer

COUNT = 8


def uneven_batch(step: int, count: int):
    """Labels that the parts of a batch have very unequally many of."""
    batch = toy_batch(step, count)
    batch.targets["depth"][: count // 2, :, :30] = float("nan")
    batch.targets["semantic"][0] = 255
    batch.targets["normal"][-count // 4 :] = float("nan")
    batch.scene[: count // 4] = float("nan")
    return replace(
        batch,
        images=batch.images.double(),
        targets={k: v if k == "semantic" else v.double() for k, v in batch.targets.items()},
        scene=batch.scene.double(),
    )


def weights_after(folder, accumulate, *, batch_statistics=False, steps=1, method=None, **training):
    """All weights after some steps of joint training in float64."""
    chosen = {"batch_size": COUNT, "accumulate": accumulate, **training}
    trainer = toy_trainer(toy_experiment(method=method, training=chosen), folder)
    trainer.networks.double().train()
    if trainer.average:
        trainer.average.model.double()
    # synthesized images and views are float32
    trainer.networks["encoder"].register_forward_pre_hook(lambda module, images: (images[0].double(),))
    for name in trainer.loaders:
        trainer.loaders[name] = uneven_batch
    for module in trainer.networks.modules():
        if isinstance(module, BatchNorm2d) and not batch_statistics:
            module.eval()
    trainer.position.stage = len(trainer.stages) - 1
    losses = [trainer.train_step(trainer.stages[-1], index) for index in range(steps)]
    return dict(trainer.networks.state_dict()), losses


CASES = [
    ({"self_supervision": "none", "generator_updates": 1}, "separate", 4),
    ({"self_supervision": "none", "generator_updates": 1}, "combined", 4),
    ({"self_supervision": "none", "generator_updates": 2}, "separate", 2),
    ({"self_supervision": "none", "generator_updates": 2}, "combined", 2),
    ({"self_supervision": "none", "extra_images": "composites", "extra_uses": ("labels", "refinement")}, "combined", 4),
    (
        {"self_supervision": "none", "extra_images": "weak", "extra_uses": ("consistency",), "confidence": 0.5},
        "combined",
        4,
    ),
    ({"self_supervision": "none", "refinement": "peoe", "generator_updates": 1}, "separate", 4),
    ({"self_supervision": "reconstruction", "generator_updates": 1}, "combined", 4),
]
"""Methods without negatives, the way of a step, and the number of micro-batches."""
TOLERANCE: Any = {"rtol": 1e-6, "atol": 2e-6}
"""Adam's first steps have the size of the rate, 1e-3, whatever the gradient's, and synthesized images are float32."""


@pytest.mark.parametrize("method, optimizer_step, count", CASES)
def test_parts_give_the_step_of_the_whole_batch(tmp_path, method, optimizer_step, count):
    (whole, losses), (parts, part_losses) = (
        weights_after(tmp_path / str(number), number, method=method, optimizer_step=optimizer_step)
        for number in (1, count)
    )
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, **TOLERANCE, msg=name)
    for step, part_step in zip(losses, part_losses, strict=True):
        for name, loss in step.items():
            torch.testing.assert_close(part_step[name], loss, **TOLERANCE, msg=name)


def test_batch_statistics_and_negatives_are_those_of_a_part(tmp_path):
    for changes in ({"batch_statistics": True, "method": {"self_supervision": "none"}}, {"batch_statistics": False}):
        whole, _ = weights_after(tmp_path / "1", 1, **changes)
        parts, _ = weights_after(tmp_path / "2", 2, **changes)
        assert any(not torch.allclose(parts[name], value, rtol=1e-4) for name, value in whole.items())


def test_every_part_has_its_own_views_and_extra_images_are_loaded_once(tmp_path):
    trainer = toy_trainer(toy_experiment(method={"extra_images": "weak"}), tmp_path)
    loaded, load = [], trainer.loaders["extra"]
    steps: Any = trainer.make_step
    make_step = replace(steps, loaders={"extra": lambda *of: loaded.append(of) or load(*of)})
    for number in range(2):
        parts = [make_step(StepInputs(toy_batch(number, 4), number, number, 0, part, 2)) for part in range(2)]
        assert len({part.views_seed("labelled") for part in parts}) == 2
        assert len({part.stream_seed("strengthen") for part in parts}) == 2
        images = [part.images_of("extra").images for part in parts]
        assert torch.equal(torch.cat(images), load(number, 8).images)
    assert loaded == [(0, 8), (1, 8)]


def test_power_iteration_and_running_statistics_move_once_per_update(tmp_path):
    found = {}
    for parts in (1, 4):
        values, _ = weights_after(tmp_path / str(parts), parts, batch_statistics=True)
        found[parts] = {name: int(value) for name, value in values.items() if name.endswith("num_batches_tracked")}
    assert found[1] == found[4]
    assert max(found[1].values()) >= 1
    assert any(isinstance(m, SpectralNorm) for m in toy_trainer(toy_experiment(), tmp_path / "t").networks.modules())


@pytest.mark.parametrize("optimizer_step", OPTIMIZER_STEPS)
def test_every_stage_accumulates_and_a_resumed_run_is_bitwise_the_same(tmp_path, optimizer_step):
    training = {"accumulate": 2, "optimizer_step": optimizer_step, "checkpoint_every": 1, "steps": 4}
    experiment = toy_experiment(training={**training, "generator_steps": 2})
    assert_resumed_is_bitwise_uninterrupted(lambda place: toy_trainer(experiment, place), tmp_path, killed_after=5)


def test_one_part_at_a_time_is_in_memory(tmp_path):
    """The bytes that a backward pass keeps alive fall with the number of parts."""
    peaks = {}
    for parts in (1, 4):
        trainer = toy_trainer(
            toy_experiment(training={"batch_size": COUNT, "accumulate": parts}), tmp_path / str(parts)
        )
        trainer.networks.train()
        trainer.position.stage = len(trainer.stages) - 1
        with SavedTensors() as saved:
            trainer.train_step(trainer.stages[-1], 0)
        peaks[parts] = saved.peak_bytes
    assert peaks[4] < 0.45 * peaks[1]
