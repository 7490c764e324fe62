"""The lock: one inside at a time, free when the holder is gone."""

import os
import threading
import time

import pytest

from mgm.data.lock import FileLock
from mgm.errors import DataError


def test_one_at_a_time(tmp_path):
    inside, most, waits = [0], [0], []

    def work() -> None:
        for _ in range(5):
            with FileLock(tmp_path / "lock", waits.append):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.002)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert set(waits) <= {os.getpid(), 0}
    assert not (tmp_path / "lock").exists()


def test_file_of_a_dead_process_locks_nothing(tmp_path):
    (tmp_path / "lock").write_text("999999")
    with FileLock(tmp_path / "lock", lambda holder: pytest.fail("waited")):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_patience_ends(tmp_path):
    with (
        FileLock(tmp_path / "lock", lambda holder: None),
        pytest.raises(DataError, match=f"process {os.getpid()} still holds"),
        FileLock(tmp_path / "lock", lambda holder: None, timeout_seconds=0.01),
    ):
        pytest.fail("both were inside")


def test_does_not_wait_for_its_own_parent(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getppid", os.getpid)  # as in a worker that runs a script without a guarded main part
    with (
        FileLock(tmp_path / "lock", lambda holder: None),
        pytest.raises(DataError, match="__main__"),
        FileLock(tmp_path / "lock", lambda holder: None),
    ):
        pytest.fail("both were inside")


def test_folder_that_cannot_be_written(tmp_path):
    with pytest.raises(DataError, match="MGM_CACHE"), FileLock(tmp_path / "no" / "lock", lambda holder: None):
        pass
