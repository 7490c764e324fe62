import torch

import step
from step import time_in_turn

CPU = torch.device("cpu")


def test_variants_take_turns_and_the_order_rotates():
    calls = []
    time_in_turn({name: (lambda number, name=name: calls.append(name)) for name in "abc"}, CPU, 3)
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab"


def test_ratios_are_to_the_first_in_the_same_round(monkeypatch):
    now = 0.0

    def takes(*seconds):
        remaining = list(seconds)

        def run(number):
            nonlocal now
            now += remaining.pop(0)

        return run

    monkeypatch.setattr(step, "clock", lambda device: now)
    monkeypatch.setattr(step.time, "process_time", lambda: now / 2)
    slow, fast = time_in_turn({"slow": takes(9, 4, 8, 2), "fast": takes(9, 1, 4, 1)}, CPU, 3)
    assert slow == {"variant": "slow", "seconds": 4, "ratio": 1, "cpu_seconds": 2, "cpu_ratio": 1}
    assert fast == {"variant": "fast", "seconds": 1, "ratio": 0.5, "cpu_seconds": 0.5, "cpu_ratio": 0.5}
