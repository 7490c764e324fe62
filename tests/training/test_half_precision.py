"""A few dozen steps of joint training in bfloat16 stay finite and near those in float32."""

import pytest
import torch
from lightning_fabric import Fabric

from mgm.networks.normalization import BatchNorm2d
from toys import toy_experiment, toy_trainer


def run(folder, precision, steps, **training):
    trainer = toy_trainer(toy_experiment(training={"precision": precision, **training}), folder)
    trainer.fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed" if precision == "bf16" else "32-true")
    trainer.networks.train()
    trainer.position.stage = len(trainer.stages) - 1
    return trainer, [trainer.train_step(trainer.stages[-1], index) for index in range(steps)]


@pytest.mark.parametrize(
    ("optimizer_step", "steps"), [("combined", 6), pytest.param("separate", 24, marks=pytest.mark.slow)]
)
def test_bf16_is_finite_and_near_fp32(tmp_path, optimizer_step, steps):
    _, single = run(tmp_path / "fp32", "fp32", steps, optimizer_step=optimizer_step)
    trainer, half = run(tmp_path / "bf16", "bf16", steps, optimizer_step=optimizer_step)
    for name in single[0]:
        exact, rough = (torch.stack([losses[name] for losses in found]) for found in (single, half))
        assert rough.dtype == torch.float32, f"{name} is no float32 loss"
        assert rough.isfinite().all()
        # Before the first update only rounding tells them apart. With an optimiser for every loss, all losses but the
        # first see weights that Adam has moved: its first step is the sign of the gradient, whatever its size, so that
        # rounding turns the sign of small ones. Later losses drift apart as any two roundings of a GAN's training do.
        before_any_update = optimizer_step == "combined" or name == next(iter(single[0]))
        tolerance = 0.05 if before_any_update else 0.25
        assert (rough[0] - exact[0]).abs() < tolerance * exact[0].abs().clamp(min=1), name
        assert (rough.mean() - exact.mean()).abs() < 0.1 * exact.mean().abs().clamp(min=1), name
    for name, value in trainer.networks.state_dict().items():
        assert value.isfinite().all(), name
        assert value.dtype in (torch.float32, torch.int64), f"{name}: weights and buffers stay in full precision"


def test_statistics_of_bf16_batches_are_added_up_in_float32():
    """A mean of bf16 numbers around 100 would be off by a tenth; the running mean takes a tenth of a batch's."""
    images = (torch.randn(8, 2, 16, 16, generator=torch.Generator().manual_seed(0)) + 100).bfloat16()
    norm = BatchNorm2d(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        norm(images)
    torch.testing.assert_close(norm.running_mean, 0.1 * images.float().mean(dim=(0, 2, 3)), rtol=1e-5, atol=1e-5)
