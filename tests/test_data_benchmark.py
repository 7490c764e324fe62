"""The benchmark of reading runs, and what it claims about very large stores holds."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "benchmarks" / "data.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("data_benchmark", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_four_hundred_thousand_samples_open_at_once_and_cost_no_memory(benchmark, tmp_path):
    small, large = (benchmark.opening(benchmark.made_store(tmp_path / str(n), n, 128)) for n in (1000, 400_000))
    assert large["seconds"] < 1
    assert large["open_mib"] < small["open_mib"] + 4


@pytest.mark.slow
def test_store_is_twenty_times_as_fast_as_the_files(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "SECONDS", 0.5)
    rates = benchmark.measure(tmp_path, "", 128, 32)
    files = max(rate for way, rate in rates.items() if "files" in way and "128 x" not in way)
    assert rates["store, memory-mapped"] > 20 * files
    assert rates["store, resident on the CPU"] > 20 * files
