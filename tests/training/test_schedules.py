"""Learning rates over a training: their shape, whose they are, and that they depend on the step alone."""

import math
from itertools import pairwise

import pytest
import torch

from mgm.training.schedules import SCHEDULES
from toys import KilledError, kill_after, toy_experiment, toy_trainer

ENDS = {"constant": (1.0, 1.0), "linear": (1.0, 0.0), "one_cycle": (1.0, 1e-3)}
"""Factor after the warm-up and at the end."""
WARM_UPS = (0.0, 0.1, 0.3, 0.9)

schedule = pytest.fixture(params=list(SCHEDULES), name="schedule")(lambda request: request.param)


@pytest.mark.parametrize("warm_up", WARM_UPS)
def test_begin_top_and_end(schedule, warm_up):
    factor, (top, end) = SCHEDULES[schedule], ENDS[schedule]
    if warm_up:
        assert factor(0.0, warm_up) == pytest.approx(1 / 25)
    assert factor(warm_up, warm_up) == pytest.approx(top)
    assert factor(1.0, warm_up) == pytest.approx(end)


@pytest.mark.parametrize("warm_up", WARM_UPS)
def test_rises_to_the_end_of_the_warm_up_falls_from_there_and_never_jumps(schedule, warm_up):
    steps = 2000
    factors = [SCHEDULES[schedule](step / steps, warm_up) for step in range(steps + 1)]
    assert all(0 <= factor <= 1 for factor in factors)
    top = round(warm_up * steps)
    assert all(a < b for a, b in pairwise(factors[: top + 1])), "a rise"
    assert all(a >= b for a, b in pairwise(factors[top:])), "a fall, or none"
    steepest = math.pi / 2 / min(share for share in (warm_up, 1 - warm_up) if share) / steps
    assert all(abs(a - b) <= 1.01 * steepest for a, b in pairwise(factors))


def test_values_in_between():
    assert SCHEDULES["constant"](0.05, 0.2) == pytest.approx(0.25 + 0.75 / 25)
    assert SCHEDULES["constant"](0.9, 0.2) == 1
    assert SCHEDULES["linear"](0.05, 0.2) == pytest.approx(0.25 + 0.75 / 25)
    assert SCHEDULES["linear"](0.4, 0.2) == pytest.approx(0.75)
    middle_of_the_rise, middle_of_the_fall = SCHEDULES["one_cycle"](0.1, 0.2), SCHEDULES["one_cycle"](0.6, 0.2)
    assert middle_of_the_rise == pytest.approx((1 / 25 + 1) / 2)
    assert middle_of_the_fall == pytest.approx((1 + 1e-3) / 2)


def test_one_cycle_is_that_of_torch():
    """Of `OneCycleLR`, whose steps run from the first to the last rather than to the end, without its cycle of momenta."""
    total, warm_up, parameter = 50, 0.3, torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=1.0,
        total_steps=total,
        pct_start=(warm_up * (total - 1) + 1) / total,  # torch counts the warm-up in steps, less one
        div_factor=25,
        final_div_factor=1e3 / 25,
        cycle_momentum=False,
    )
    for step in range(total):
        ours = SCHEDULES["one_cycle"](step / (total - 1), warm_up)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-6), step
        optimizer.step()
        theirs.step()


RISING = {"schedule": "one_cycle", "warm_up": 0.25, "steps": 8, "generator_steps": 3, "joint_share": 0.5}
M = ("encoder", "decoders")


def rates_of_a_step(trainer):
    """Network -> its rates, over all optimisers."""
    owners = {id(p): name for name, network in trainer.networks.items() for p in network.parameters()}
    rates = {}
    for optimizer in trainer.optimizers.values():
        for group in optimizer.param_groups:
            rates.setdefault(owners[id(group["params"][0])], set()).add(group["lr"])
    return rates


def rates_of_a_run(trainer):
    """What `rates_of_a_step` is in every step, with the stage and its step."""
    found, step = [], trainer.train_step

    def watched(stage, index):
        losses = step(stage, index)
        found.append((stage.name, index, rates_of_a_step(trainer)))
        return losses

    trainer.train_step = watched
    trainer.run()
    return found


@pytest.mark.parametrize(
    "schedule, optimizer_step", [("constant", "combined"), ("linear", "separate"), ("one_cycle", "combined")]
)
def test_rates_of_the_model_follow_and_those_of_all_others_stay(tmp_path, schedule, optimizer_step):
    training = {**RISING, "schedule": schedule, "optimizer_step": optimizer_step, "encoder_rate_factor": 0.2}
    trainer = toy_trainer(toy_experiment(training=training), tmp_path)
    base = trainer.config.learning_rate
    run = rates_of_a_run(trainer)
    assert [name for name, _, _ in run] == ["multi_task"] * 4 + ["generator"] * 3 + ["joint"] * 4
    for _, _, rates in run:
        assert rates["generator"] == rates["embedding"] == {1e-4}
        assert rates["discriminator"] == {4e-4}
        assert rates["refinement"] == rates["projection"] == {base}
    of_the_model = [rates for name, _, rates in run if name != "generator"]
    for number, rates in enumerate(of_the_model):
        factor = SCHEDULES[schedule](number / 8, 0.25)
        assert max(rates["decoders"]) == pytest.approx(base * factor)
        assert max(rates["encoder"]) == pytest.approx(0.2 * base * factor)
        assert len(rates["decoders"]) == len(rates["encoder"]) == 1, "the same in all optimisers that step it"


def test_a_step_of_the_baseline_has_the_rates_of_the_same_step_of_the_method(tmp_path):
    baseline, method = (
        [
            [rates[network] for network in M]
            for stage, _, rates in rates_of_a_run(
                toy_trainer(toy_experiment(recipe, training=RISING), tmp_path / recipe)
            )
            if stage != "generator"
        ]
        for recipe in ("mt", "mgm")
    )
    assert baseline == method
    assert len({str(step) for step in method}) > 5, "they do change"


@pytest.mark.parametrize("recipe, killed_after", [("mt", 3), ("mgm", 9)])
def test_a_resumed_run_goes_on_with_the_rates_of_its_step(tmp_path, recipe, killed_after):
    experiment = toy_experiment(recipe, training={**RISING, "checkpoint_every": 1})
    whole = rates_of_a_run(toy_trainer(experiment, tmp_path / "whole"))
    killed = toy_trainer(experiment, tmp_path / "killed")
    kill_after(killed, killed_after)
    with pytest.raises(KilledError):
        killed.run()
    resumed = toy_trainer(experiment, tmp_path / "killed")
    assert resumed.restore()
    rest = rates_of_a_run(resumed)
    assert rest == whole[-len(rest) :]
    assert len(rest) == len(whole) - killed_after
