"""Models on the Hugging Face Hub, or a server that speaks its language; local folders need none of this."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from mgm.errors import ConfigError, RunError

FILES = ("config.json", "model.safetensors", "README.md")
"""What is fetched; a repository may hold much more."""
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


def is_repository(name: str | Path) -> bool:
    """Whether this can be the name of a repository (``user/model``) and is no local path."""
    return isinstance(name, str) and not Path(name).exists() and _NAME.fullmatch(name) is not None


def fetch(
    name: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
) -> Path:
    """Fetch the model folder of a repository into the Hub's cache; arguments as of `huggingface_hub.snapshot_download`.

    Raises:
        ConfigError: If the extra ``hub`` is not installed.
        RunError: If it cannot be fetched.
    """
    hub = _library()
    try:
        folder = hub.snapshot_download(
            name,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            allow_patterns=list(FILES),
        )
    except Exception as error:  # the library raises its own, those of its HTTP client, and OSError
        raise RunError(
            f"{name}: cannot be fetched from the Hub ({_first_line(error)}); check name, network and token"
        ) from None
    return Path(folder)


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
    """Create the repository unless it is there, and upload a model folder in one commit.

    Returns:
        The address of the commit.

    Raises:
        ConfigError: If the extra ``hub`` is not installed.
        RunError: If it cannot be uploaded.
    """
    hub = _library()
    try:
        api = hub.HfApi(token=token)
        repository = api.create_repo(repo_id=name, private=private, exist_ok=True).repo_id
        commit = api.upload_folder(
            repo_id=repository,
            repo_type="model",
            folder_path=str(folder),
            commit_message=commit_message,
            revision=branch,
            create_pr=create_pr,
        )
    except Exception as error:  # as above
        raise RunError(
            f"{name}: cannot be pushed to the Hub ({_first_line(error)}); check name, network and token"
        ) from None
    return str(commit)


def _library() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError:
        raise ConfigError("the Hub needs a package that is not installed: pip install 'mgm[hub]'") from None
    return huggingface_hub


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
