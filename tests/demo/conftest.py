import gc
import socket
import warnings
from pathlib import Path

import numpy as np
import pytest

from fake_runs import write_run
from mgm.demo.runs import Served, open_runs


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "first", stages=("generator", "joint"))


@pytest.fixture(scope="session")
def other_run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "second", seed=1)


@pytest.fixture(scope="session")
def served(run, other_run) -> Served:
    return open_runs([run, other_run], "cpu")


@pytest.fixture
def photo() -> np.ndarray:
    """A picture of 40 x 56 pixels, no square, that is different everywhere."""
    rows, columns = np.mgrid[:40, :56]
    return np.stack([rows * 6, columns * 4, (rows + columns) * 2], axis=2).astype(np.uint8)


@pytest.fixture(scope="session")
def free_port():
    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    return find


@pytest.fixture(scope="module")
def tidy():
    """What the library has left unclosed is collected here, where its warnings are expected."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
