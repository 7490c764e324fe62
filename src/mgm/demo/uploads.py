"""The folder for the files of the page: uploads of visitors, and files for download."""

from __future__ import annotations

import hashlib
import shutil
import stat
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

SWEEP_EVERY, KEEP_FOR = 600.0, 3600.0
"""Seconds between sweeps, and the age in seconds at which files are removed."""


class Uploads:
    """Files of visitors, removed when their owner leaves, and in any case after `KEEP_FOR` seconds.

    Args:
        folder: Folder that holds only these files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()  # the system's temporary folder may be a symbolic link
        self._lasting: frozenset[Path] = frozenset()
        self._owners: dict[Path, set[str | None]] = defaultdict(set)
        self._lock = threading.Lock()

    def holds(self, path: str | Path) -> bool:
        """Whether a visitor may access this file: a regular file inside this folder after resolving symbolic links."""
        try:
            place = Path(path).resolve(strict=True)
            return place.is_relative_to(self.folder) and stat.S_ISREG(place.stat().st_mode)
        except (OSError, ValueError, RuntimeError):  # missing file, invalid name, symbolic link loop
            return False

    def keep_present(self) -> None:
        """Exempt the files that exist now from sweeping: they belong to the page."""
        self._lasting = frozenset(self._files())

    def used(self, path: Path, session: str | None) -> None:
        """Record that a visitor uses a file. Equal uploads with equal names are one file, which several visitors may share."""
        with self._lock:
            self._owners[path.resolve()].add(session)

    def downloads(self, session: str | None) -> Path:
        """Create an empty download folder for one visitor; earlier downloads of the visitor are removed.

        Args:
            session: The session id sent by the browser. It is untrusted and therefore hashed before it enters a path.
        """
        folder = self._downloads_of(session)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def forget(self, session: str | None) -> None:
        """Remove the files of a visitor who has left, except for uploads that others use as well."""
        shutil.rmtree(self._downloads_of(session), ignore_errors=True)
        with self._lock:
            for path in [path for path, owners in self._owners.items() if session in owners]:
                self._owners[path].discard(session)
                if not self._owners[path]:
                    del self._owners[path]
                    if path not in self._lasting:
                        path.unlink(missing_ok=True)

    def sweep(self, now: float | None = None) -> None:
        """Remove files older than `KEEP_FOR`, including uploads that were never used, and folders that have been empty as long.

        Args:
            now: Current time in seconds since the epoch; None: the system time.
        """
        eldest = (time.time() if now is None else now) - KEEP_FOR
        for path in [path for path in self._files() if path not in self._lasting and _changed(path) < eldest]:
            path.unlink(missing_ok=True)
        for folder in sorted((path for path in self.folder.rglob("*") if path.is_dir()), reverse=True):
            if _changed(folder) < eldest and not any(folder.iterdir()):
                folder.rmdir()
        with self._lock:
            for path in [path for path in self._owners if not path.exists()]:
                del self._owners[path]

    @contextmanager
    def swept(self) -> Generator[None]:
        """Sweep every `SWEEP_EVERY` seconds until the block ends."""
        ended = threading.Event()
        thread = threading.Thread(target=self.sweep_until, args=(ended.wait,), name="mgm-sweep", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def sweep_until(self, ended: Callable[[float], bool]) -> None:
        """Sweep until the page is closed.

        Args:
            ended: Waits for at most the given seconds; True: the page is closed.
        """
        while not ended(SWEEP_EVERY):
            try:
                self.sweep()
            except OSError:  # a file appeared or vanished meanwhile; the next sweep removes the rest
                continue

    def _files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if not path.is_dir() or path.is_symlink()]

    def _downloads_of(self, session: str | None) -> Path:
        return self.folder / "downloads" / hashlib.sha256((session or "").encode()).hexdigest()


def _changed(path: Path) -> float:
    """Time of the last change to a file; infinity if it no longer exists."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return float("inf")
    return max(found.st_mtime, found.st_ctime)
