"""Files of a data set, in a folder or inside a zip archive (never unpacked); names of files; atomic writing."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import zipfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, TypeVar

import yaml

from mgm.errors import DataError, RunError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Decoded = TypeVar("Decoded")
Content = TypeVar("Content")
_LITTER = frozenset({"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini"})
MAX_FILE_BYTES = 1 << 30
"""Larger files are refused unread, and larger members of an archive before they are decompressed."""
MAX_YAML_BYTES = 1 << 18
"""Larger YAML files are refused: parsing takes ten seconds per megabyte."""


class FileTree(ABC):
    """Read access to the files of a data set by relative name, such as ``rgb/0001.jpg``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def names(self) -> list[str]:
        """Names of all files, sorted, with forward slashes."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Content of a file. Raises `DataError` if it is missing, unreadable, damaged or too large."""

    @abstractmethod
    def digest(self) -> str:
        """A short hash that changes when a file is added, removed or replaced; does not read contents."""

    def describe(self, name: str) -> str:
        """Name of a file for messages."""
        return f"{self.path}/{name}"

    def decode(self, name: str, decoder: Callable[[bytes, str], Decoded]) -> Decoded:
        """Read a file and decode it with ``decoder(content, name for messages)``, which may raise `DataError`."""
        return decoder(self.read(name), self.describe(name))

    def lines(self, name: str) -> list[str]:
        """Lines of a text file, without blank lines and comments (``#``). Raises `DataError` if it is missing or not UTF-8 text."""
        try:
            text = self.read(name).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.describe(name)}: is not UTF-8 text; save it as UTF-8, or download it again"
            ) from error
        lines = [line.strip() for line in text.splitlines()]
        return [line for line in lines if line and not line.startswith("#")]


class FolderTree(FileTree):
    """Files below a folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._names: list[str] | None = None

    def names(self) -> list[str]:
        """All files below the folder; listed once."""
        if self._names is None:
            self._names = sorted(file.relative_to(self.path).as_posix() for file in visible_files(self.path))
        return self._names

    def read(self, name: str) -> bytes:
        """Content of a file below the folder. Names that lead out of it are refused: a list of files may be malicious."""
        if Path(name).anchor or ".." in Path(name).parts:
            raise DataError(
                f"{self.path}: lists the file {name!r}, which is outside of the folder; correct the list of files"
            )
        try:
            return read_bounded(self.path / name)
        except FileNotFoundError as error:
            raise DataError(f"{self.describe(name)}: missing; the data set is incomplete, download it again") from error
        except (OSError, ValueError) as error:  # ValueError: NUL in the name
            reason = error.strerror if isinstance(error, OSError) else error
            raise DataError(f"{self.describe(name)}: cannot be read ({reason})") from error

    def digest(self) -> str:
        """Hash of names, sizes and modification times."""
        entries = []
        for name in self.names():
            file = self.path / name
            state = file.stat() if file.exists() else file.lstat()  # a broken link only raises an error when it is read
            entries.append(f"{name}\0{state.st_size}\0{state.st_mtime_ns}")
        return hashlib.sha256("\n".join(entries).encode(errors="surrogateescape")).hexdigest()[:16]


class ZipTree(FileTree):
    """Files inside a zip archive, without a common top folder. Can be pickled: each process opens the archive itself."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._archive: zipfile.ZipFile | None = None
        self._members: dict[str, zipfile.ZipInfo] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "_archive": None, "_members": None}

    def names(self) -> list[str]:
        """Names of all members, relative to the common top folder if there is one."""
        return sorted(self._index())

    def read(self, name: str) -> bytes:
        """Content of a member; its checksum is verified."""
        member = self._index().get(name)
        if member is None:
            raise DataError(f"{self.describe(name)}: missing in the archive; download the archive again")
        if member.file_size > MAX_FILE_BYTES:
            raise DataError(
                f"{self.describe(name)}: has {member.file_size} bytes, too many to read from an archive; unpack the archive"
            )
        try:
            return self._open().read(member)
        except Exception as error:  # zipfile raises many kinds of errors for a damaged member
            raise DataError(
                f"{self.describe(name)}: damaged in the archive ({error}); download the archive again"
            ) from error

    def digest(self) -> str:
        """Hash of names, sizes and checksums."""
        entries = [f"{name}\0{member.file_size}\0{member.CRC}" for name, member in sorted(self._index().items())]
        return hashlib.sha256("\n".join(entries).encode()).hexdigest()[:16]

    def _open(self) -> zipfile.ZipFile:
        if self._archive is None:
            try:
                self._archive = zipfile.ZipFile(self.path)
            except Exception as error:  # zipfile raises many kinds of errors for a damaged directory
                raise DataError(f"{self.path}: is not a readable zip archive ({error}); download it again") from error
        return self._archive

    def _index(self) -> dict[str, zipfile.ZipInfo]:
        if self._members is None:
            members = [member for member in self._open().infolist() if not member.is_dir()]
            for member in members:
                if _is_unsafe(member.filename):
                    raise DataError(
                        f"{self.path}: has a file with the unsafe path {member.filename!r}, which leads out of the archive; do "
                        "not use the archive, or create it again from your files"
                    )
            # some Windows programs separate folders by backslashes
            found = {member.filename.replace("\\", "/"): member for member in members}
            found = {name: member for name, member in found.items() if not _is_litter(name)}
            tops = {name.partition("/")[0] if "/" in name else "" for name in found}
            top = f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""
            self._members = {name.removeprefix(top): member for name, member in found.items()}
        return self._members


def walk(
    folder: Path, onerror: Callable[[OSError], object] | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """`os.walk` that also follows links to folders, except links to a folder above them."""
    root = Path(os.path.realpath(folder))
    above = {str(folder): {str(root), *map(str, root.parents)}}
    for place, folders, files in os.walk(folder, onerror=onerror, followlinks=True):
        seen, known = above.pop(place), folders.copy()
        folders.clear()
        for name in sorted(known):
            path = os.path.join(place, name)
            real = os.path.realpath(path)
            if real not in seen:
                folders.append(name)
                above[path] = seen | {real}
        yield place, folders, files


def visible_files(folder: Path) -> Iterator[Path]:
    """All files below a folder, following links, without hidden and system files (`_is_litter`).

    Raises:
        DataError: If a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror}); check its permissions")

    for place, folders, files in walk(folder, refuse):
        folders[:] = [name for name in folders if not _is_litter(name)]
        for path in (Path(place, name) for name in files if not _is_litter(name)):
            if path.is_file() or path.is_symlink():  # not a pipe or socket
                yield path


def open_tree(path: Path | str) -> FileTree:
    """Open a folder or zip archive as a `FileTree`. Raises `DataError` if the path is neither."""
    path = Path(os.path.expanduser(path))  # an unknown ~user stays, as a folder that may have this name
    if path.is_dir():
        return FolderTree(path)
    if path.is_file() and zipfile.is_zipfile(path):
        return ZipTree(path)
    what = "is neither a folder nor a zip archive" if path.exists() else "does not exist"
    raise DataError(f"{path}: {what}; give the folder or the zip file of a data set")


def list_endings(names: Iterable[str]) -> str:
    """Count files by ending, for messages: ``12 .heic, 1 .txt``."""
    counts = Counter(PurePosixPath(name).suffix.lower() or "without ending" for name in names)
    shown = [f"{count} {ending}" for ending, count in counts.most_common(5)]
    return ", ".join([*shown, "..."] if len(counts) > 5 else shown)


def _is_unsafe(name: str) -> bool:
    """Whether the path of an archive member is absolute or has ``..``."""
    parts = name.replace("\\", "/").split("/")
    return parts[0] == "" or parts[0].endswith(":") or ".." in parts


def _is_litter(name: str) -> bool:
    """Whether a file is hidden, or one that operating systems create, such as ``Thumbs.db``."""
    return any(part.startswith(".") or part in _LITTER for part in name.split("/"))


LONGEST_NAME = 48
"""Maximum length of `as_file_name` in characters: at up to four bytes each, with room to spare below the limit of 255 bytes."""


def as_file_name(name: str, otherwise: str = "unnamed") -> str:
    """Convert text to a file name of letters (any script), digits, ``-``, ``_`` and ``.``, of at most `LONGEST_NAME` characters.

    Everything else, including ``/`` and NUL, becomes ``-``; the name is never hidden. If nothing is left, it is ``otherwise``.
    Different names may give the same result.
    """
    plain = re.sub(r"[^\w.-]+", "-", name.encode(errors="replace").decode()).lstrip(".-")[:LONGEST_NAME]
    return plain.rstrip(".-") or otherwise


def check_bounded(path: Path, most: int = MAX_FILE_BYTES) -> None:
    """Raise `OSError` unless a path is a regular file of at most ``most`` bytes; reading a device or pipe may never end."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    if state.st_size > most:
        raise OSError(errno.EFBIG, f"it is larger than {most / (1 << 20):.4g} MB", str(path))


def read_bounded(path: Path, most: int = MAX_FILE_BYTES) -> bytes:
    """Content of a file, after `check_bounded`."""
    check_bounded(path, most)
    return path.read_bytes()


def schema(kind: type[Content]) -> TypeAdapter[Content]:
    """Pydantic adapter that validates values read from a file against a dataclass or `TypedDict`."""
    return _adapter(kind)


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # imported late: it is slow, and much of this module does not need it

    return TypeAdapter(kind)


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML loader without aliases, which can expand a small file to any size, and without duplicate keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases such as *name are not supported; write the values out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.YAMLError(
                    f"line {key.start_mark.line + 1}: the key {key.value!r} is repeated; write it once"
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def parse_yaml(content: bytes) -> Any:
    """Parse a YAML file of plain values without aliases.

    Raises:
        ValueError: If it is not such a file, or larger than `MAX_YAML_BYTES`.
    """
    if len(content) > MAX_YAML_BYTES:
        raise ValueError(f"it is larger than {MAX_YAML_BYTES >> 10} kB")
    try:
        return yaml.load(content.decode("utf-8-sig"), _PlainLoader)
    except Exception as error:  # constructors raise many kinds of errors for invalid values
        raise ValueError(" ".join(str(error).split())) from None


DRAFT = ".*.[0-9]*.tmp"
"""Glob pattern of the temporary files of `write_atomically`."""
LONGEST_RESULT = 230
"""Maximum length of a file name in bytes, so that its temporary file stays below 255, the limit of most file systems."""


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let ``write`` fill a temporary file, then rename it to ``path``.

    Raises:
        RunError: If that fails; an existing file at ``path`` is unchanged.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RunError(f"cannot write {path} ({error.strerror or error}); choose another path, or make room") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def remove_drafts(paths: Iterable[Path]) -> None:
    """Remove temporary files of these paths that were left when a process was killed in `write_atomically`.

    Those of another process that is still running stay: it may write the same results.
    """
    wanted = set(paths)
    for folder in {path.parent for path in wanted}:
        for draft in folder.glob(DRAFT):
            name, process, _ = draft.name[1:].rsplit(".", 2)
            if folder / name in wanted and not _runs_elsewhere(process):
                with suppress(OSError):
                    draft.unlink()


def _runs_elsewhere(process: str) -> bool:
    """Whether there is a process of this number, other than this one; unknown on systems without signals."""
    if not process.isdecimal() or int(process) == os.getpid() or os.name != "posix":
        return False
    try:
        os.kill(int(process), 0)
    except PermissionError:  # of another user
        return True
    except (OSError, OverflowError):
        return False
    return True


def write_text(path: Path, text: str) -> None:
    """Write text atomically as UTF-8. Characters that cannot be encoded (file names may have some) become ``?``."""
    write_atomically(path, lambda file: file.write(text.encode(errors="replace")))


def move_files(folder: Path, place: Path, last: str) -> None:
    """Move the files of a folder into another one on the same disk, ``last`` as the last file, and remove the folder."""
    for file in sorted(folder.iterdir(), key=lambda file: file.name == last):
        file.replace(place / file.name)
    folder.rmdir()
