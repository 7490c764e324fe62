"""A training that is asked to end saves the step that it is at, and goes on from there bitwise."""

import os
import signal
import threading

import pytest

from mgm.errors import ENDING_SIGNALS, Interrupted
from mgm.training.checkpoint import load_checkpoint
from mgm.training.signals import HeldSignals, held_signals
from toys import assert_same, toy_experiment, toy_trainer, validate

ORDER = [("multi_task", step) for step in range(1, 5)] + [("generator", step) for step in (1, 2, 3)]
ORDER += [("joint", step) for step in range(1, 5)]


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """Signals end a process, even where these tests were started so that they are ignored (a background job of a shell)."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in ENDING_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def end_in(trainer, steps: int, number: int) -> None:
    """Let a signal arrive in the middle of the trainer's `steps`-th step."""
    original, done = trainer.train_step, 0

    def step(stage, index):
        nonlocal done
        done += 1
        if done == steps:
            os.kill(os.getpid(), number)
        return original(stage, index)

    trainer.train_step = step


@pytest.mark.parametrize(
    "optimizer_step, steps, number",
    [("separate", 2, signal.SIGINT), ("separate", 9, ENDING_SIGNALS[-1]), ("combined", 6, signal.SIGTERM)],
)
def test_ended_by_a_signal_and_resumed_is_bitwise_uninterrupted(tmp_path, optimizer_step, steps, number):
    """Between checkpoints and looks at the losses, in each of the stages."""
    training = {"ema": 0.9, "steps": 8, "checkpoint_every": 50, "validate_every": 3, "optimizer_step": optimizer_step}
    experiment = toy_experiment(training=training)
    toy_trainer(experiment, tmp_path / "whole", validate=validate).run()
    before = [signal.getsignal(one) for one in ENDING_SIGNALS]
    first = toy_trainer(experiment, tmp_path / "ended", validate=validate)
    end_in(first, steps, number)
    stage, step = ORDER[steps - 1]
    with pytest.raises(Interrupted, match=rf"stopped; step {step} of stage '{stage}' is saved") as ended:
        first.run()
    assert ended.value.number == number
    assert [signal.getsignal(one) for one in ENDING_SIGNALS] == before
    second = toy_trainer(experiment, tmp_path / "ended", validate=validate)
    assert second.restore()
    assert second.position.step == step
    second.run()
    for name in ("last.pt", "best.pt", "generator_after_joint.pt"):
        assert_same(load_checkpoint(tmp_path / "whole" / name), load_checkpoint(tmp_path / "ended" / name))
    assert (tmp_path / "whole/metrics.jsonl").read_text() == (tmp_path / "ended/metrics.jsonl").read_text()


def test_at_the_end_of_a_stage_nothing_is_lost_either(tmp_path):
    experiment = toy_experiment(training={"steps": 8})
    trainer = toy_trainer(experiment, tmp_path)
    end_in(trainer, 4, signal.SIGTERM)
    with pytest.raises(Interrupted, match="all steps of stage 'multi_task' are saved"):
        trainer.run()
    assert load_checkpoint(tmp_path / "last.pt")["position"]["stage"] == 1


def test_a_second_signal_ends_at_once():
    held = HeldSignals()
    held(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        held(signal.SIGTERM, None)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_what_is_ignored_stays_ignored():
    """As ``nohup`` has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with held_signals() as held:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not held.number
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_train_too():
    seen = []

    def inside():
        with held_signals() as held:
            seen.append(held.number)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [0]
