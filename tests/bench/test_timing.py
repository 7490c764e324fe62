from __future__ import annotations

import torch

from mgm.bench.timing import interleaved

CPU = torch.device("cpu")


def test_variants_take_turns_and_the_order_is_turned():
    calls = []
    runs = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    heard = []
    interleaved(runs, CPU, 3, warm_up=2, told=heard.append)
    assert calls == [*"aabbcc", *"abc", *"bca", *"cab"]
    assert heard[-1] == "round 3 of 3: b"


def test_ratios_are_to_the_first_in_the_same_round(monkeypatch):
    now = 0.0

    def takes(*seconds):
        remaining = list(seconds)

        def run():
            nonlocal now
            now += remaining.pop(0)

        return run

    monkeypatch.setattr("mgm.bench.timing.clock", lambda device: now)
    monkeypatch.setattr("mgm.bench.timing.time.process_time", lambda: now / 2)
    timings = interleaved({"slow": takes(9, 4, 8, 2), "fast": takes(9, 1, 4, 1)}, CPU, 3)
    assert timings["slow"].seconds == 4
    assert timings["slow"].ratio == 1
    assert timings["fast"].seconds == 1
    assert timings["fast"].ratio == 0.5
    assert timings["fast"].spread == (0.25, 0.5)
    assert timings["fast"].cpu_seconds == 0.5
    assert timings["fast"].cpu_ratio == 0.5
