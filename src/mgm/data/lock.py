"""A lock between processes that dies with its holder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from mgm.errors import DataError

if sys.platform != "win32":
    import fcntl

POLL_SECONDS = 0.1


class FileLock:
    """Context in which one process at a time is inside.

    The operating system holds the lock on an open file and frees it when the holder ends, however it ends: no lock is
    ever stale. The file names the holder's process for messages, and goes away with the lock. On Windows, which has no
    such locks, nothing is guarded.

    Args:
        path: The lock file; its folder exists.
        on_wait: Called once with the process that holds the lock, when there is one to wait for.
        timeout_seconds: How long to wait.
    """

    def __init__(self, path: Path, on_wait: Callable[[int], None], timeout_seconds: float = 6 * 3600) -> None:
        self._path = path
        self._on_wait = on_wait
        self._timeout_seconds = timeout_seconds
        self._descriptor = -1

    def __enter__(self) -> FileLock:
        """Wait for the lock.

        Raises:
            DataError: If it is not free in time, cannot be made here, or is held by the process that started this one
                (which may well wait for this one in turn).
        """
        deadline = time.monotonic() + self._timeout_seconds
        waited = False
        while not self._acquire():
            holder = self._holder()
            if holder == os.getppid():
                raise DataError(
                    f"{self._path}: held by the process that started this one; "
                    'put the main part of the script under `if __name__ == "__main__":`'
                )
            if time.monotonic() > deadline:
                raise DataError(f"{self._path}: process {holder} still holds the lock; wait for it or end it")
            if not waited:
                self._on_wait(holder)
                waited = True
            time.sleep(POLL_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the lock."""
        if self._descriptor >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def _acquire(self) -> bool:
        """Try once. The file may have been removed between opening and locking it: then it counts for nothing."""
        if sys.platform == "win32":
            return True
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise DataError(
                f"{self._path}: cannot be created ({error.strerror}); set $MGM_CACHE to another folder"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(self._path)):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
                self._descriptor = descriptor
                return True
        except (BlockingIOError, FileNotFoundError):
            pass
        except OSError as error:
            os.close(descriptor)
            raise DataError(
                f"{self._path}: this disk knows no locks ({error.strerror}); set $MGM_CACHE to a local one"
            ) from error
        os.close(descriptor)
        return False

    def _holder(self) -> int:
        """Process number in the lock file; 0 if it is not (yet) there."""
        try:
            return int(self._path.read_text(encoding="ascii") or 0)
        except (OSError, ValueError):
            return 0
