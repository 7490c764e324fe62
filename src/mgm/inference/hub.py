"""Download and upload of models on the Hugging Face Hub; not needed for local folders."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from mgm.errors import ConfigError, RunError

FILES = ("config.json", "model.safetensors", "README.md")
"""Files to download; a repository may hold others."""
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


def is_repository(name: str | Path) -> bool:
    """Whether ``name`` has the form of a repository name (``user/model``) and is not a local path."""
    return isinstance(name, str) and not Path(name).exists() and _NAME.fullmatch(name) is not None


def fetch(name: str, **options: Any) -> Path:
    """Download a model folder into the Hub's cache; options as for `huggingface_hub.snapshot_download`.

    Raises:
        ConfigError: If the extra ``hub`` is not installed.
        RunError: If it cannot be downloaded.
    """
    with _explained(name, "fetched from"):
        return Path(_library().snapshot_download(name, allow_patterns=list(FILES), **options))


def push(
    folder: Path,
    name: str,
    *,
    commit_message: str,
    private: bool | None = None,
    token: str | None = None,
    branch: str | None = None,
    create_pr: bool | None = None,
) -> str:
    """Create the repository unless it exists, and upload a model folder in one commit.

    Args:
        folder: Folder to upload.
        name: ``user/model``.
        commit_message: Message of the commit.
        private: Whether a new repository is private; None: the default of the account.
        token: Access token; None: that of ``hf auth login``.
        branch: Branch to commit to; None: main.
        create_pr: Whether to open a pull request.

    Returns:
        The URL of the commit.

    Raises:
        ConfigError: If the extra ``hub`` is not installed.
        RunError: If it cannot be uploaded.
    """
    with _explained(name, "pushed to"):
        api = _library().HfApi(token=token)
        repository = api.create_repo(repo_id=name, private=private, exist_ok=True).repo_id
        commit = api.upload_folder(
            repo_id=repository,
            repo_type="model",
            folder_path=folder,
            commit_message=commit_message,
            revision=branch,
            create_pr=create_pr,
        )
    return str(commit)


def _library() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError:
        raise ConfigError("the Hub needs a package that is not installed: pip install 'mgm[hub]'") from None
    return huggingface_hub


@contextmanager
def _explained(name: str, verb: str) -> Generator[None]:
    """Turn any failure into a `RunError` of one line: the library raises its own errors, its HTTP client's, and OSError."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RunError(f"{name}: cannot be {verb} the Hub ({reason}); check name, network and token") from None
