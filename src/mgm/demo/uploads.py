"""The folder for the files of the page: uploads of visitors, and files for download."""

from __future__ import annotations

import hashlib
import shutil
import stat
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

SWEEP_EVERY, KEEP_FOR = 600.0, 3600.0
"""Seconds between sweeps, and the age in seconds at which files are removed."""


class Uploads:
    """Files of visitors, removed when their owner leaves, and in any case after `KEEP_FOR` seconds.

    Gradio's own ``delete_cache`` misses uploads that were interrupted.

    Args:
        folder: Folder that holds only these files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()  # the system's temporary folder may be a symbolic link
        self._lasting: frozenset[Path] = frozenset()
        self._used: dict[str | None, set[Path]] = defaultdict(set)
        self._lock = threading.Lock()

    def holds(self, path: str | Path) -> bool:
        """Whether a visitor may access this file: a regular file inside this folder after resolving symbolic links."""
        try:
            place = Path(path).resolve(strict=True)
            return place.is_relative_to(self.folder) and stat.S_ISREG(place.stat().st_mode)
        except (OSError, ValueError, RuntimeError):  # missing file, invalid name, symbolic link loop
            return False

    def keep_present(self) -> None:
        """Never remove the files that exist now: they belong to the page."""
        self._lasting = frozenset(self.folder.rglob("*"))

    def used(self, path: Path, session: str | None) -> None:
        """Record that a visitor uses a file. Equal uploads with equal names are one file, which several visitors may share."""
        with self._lock:
            self._used[session].add(path.resolve())

    def downloads(self, session: str | None) -> Path:
        """Create an empty download folder for one visitor; earlier downloads of the visitor are removed."""
        folder = self._downloads_of(session)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def forget(self, session: str | None) -> None:
        """Remove the files of a visitor who has left, except for uploads that others use as well."""
        shutil.rmtree(self._downloads_of(session), ignore_errors=True)
        with self._lock:
            for path in self._used.pop(session, set[Path]()).difference(self._lasting, *self._used.values()):
                path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove files older than `KEEP_FOR`, including uploads that were never used, and folders that have been empty as long."""
        eldest = time.time() - KEEP_FOR
        for path in sorted(self.folder.rglob("*"), reverse=True):  # what is in a folder comes before it
            with suppress(OSError):  # it vanished meanwhile, or is a folder that is not empty
                state = path.lstat()
                if path in self._lasting or max(state.st_mtime, state.st_ctime) >= eldest:
                    continue
                if stat.S_ISDIR(state.st_mode):
                    path.rmdir()
                else:
                    path.unlink()
        with self._lock:
            for session in [name for name, paths in self._used.items() if not any(map(Path.exists, paths))]:
                del self._used[session]

    def sweep_until(self, ended: Callable[[float], bool]) -> None:
        """Sweep every `SWEEP_EVERY` seconds until ``ended``, which waits for so long, says that the page is closed."""
        while not ended(SWEEP_EVERY):
            with suppress(OSError):  # a folder vanished meanwhile; the next sweep removes the rest
                self.sweep()

    def _downloads_of(self, session: str | None) -> Path:
        """The session id is sent by the browser, hence untrusted, and hashed before it enters a path."""
        return self.folder / "downloads" / hashlib.sha256((session or "").encode()).hexdigest()
