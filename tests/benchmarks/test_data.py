"""The benchmark of reading runs, and a very large store costs no memory to open."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "data.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("data_benchmark", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_four_hundred_thousand_samples_cost_no_memory(benchmark, tmp_path):
    small, large = (benchmark.opening(benchmark.made_store(tmp_path / str(n), n, 128)) for n in (1000, 400_000))
    assert large["open_mib"] < small["open_mib"] + 4
    assert large["last"] > 0


def test_every_way_of_reading_is_measured(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "SECONDS", 0.001)
    monkeypatch.setattr(benchmark, "BATCH", 2)
    rates = benchmark.measure(tmp_path, "", 32, 3)
    assert {"files in their own size", "store, memory-mapped", "store, resident on the CPU"} <= rates.keys()
    assert all(rate > 0 for rate in rates.values())
