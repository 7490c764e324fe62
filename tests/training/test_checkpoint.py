"""Checkpoints that are no checkpoints, and writing that fails."""

from __future__ import annotations

import pickle

import pytest
import torch

from mgm.data.files import write_atomically
from mgm.errors import RunError
from mgm.training.checkpoint import load_checkpoint, save_checkpoint


def test_checkpoint_with_code_is_refused(tmp_path):
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps({"a": print}))
    with pytest.raises(RunError, match="damaged or no checkpoint"):
        load_checkpoint(path)
    torch.save({"a": RunError}, path)
    with pytest.raises(RunError, match="damaged or no checkpoint"):
        load_checkpoint(path)


def test_truncated_checkpoint_is_refused(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"weights": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(path)


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"step": 1})

    def fail(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(RunError, match="disk full"):
        write_atomically(path, fail)
    assert load_checkpoint(path) == {"step": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.pt"]
