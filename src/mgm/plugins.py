"""Loading of plugins: users' modules that register tasks, data sets, generators, ... (docs/extending.md)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from mgm.errors import ConfigError

GROUP = "mgm.plugins"
"""Group of the entry points by which installed packages name their plugin modules."""
VARIABLE = "MGM_PLUGINS"
"""Environment variable with the plugins of this process and its children, separated as in PATH."""
_loaded: dict[str, ModuleType] = {}
"""Plugin -> its module."""


def plugin_files() -> list[Path]:
    """Files of the plugins loaded so far."""
    return [Path(module.__file__) for module in _loaded.values() if module.__file__]


def load_plugins(plugins: Iterable[str] = ()) -> None:
    """Import the given plugins, those of `VARIABLE`, and those of installed packages, each once.

    Args:
        plugins: Files (``my_tasks.py``) or module names. Their code is run.

    Raises:
        ConfigError: If a plugin does not exist or cannot be imported.
    """
    files = [os.path.abspath(name) if name.endswith(".py") else name for name in plugins]
    wanted = list(dict.fromkeys([*filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)), *files]))
    if wanted:
        os.environ[VARIABLE] = os.pathsep.join(wanted)
    for name in [*wanted, *(point.value for point in entry_points(group=GROUP))]:
        try:
            _loaded[name] = _load(name)
        except Exception as error:  # a plugin may raise anything
            raise ConfigError(f"the plugin {name} cannot be imported ({type(error).__name__}: {error})") from error


def _load(name: str) -> ModuleType:
    if not name.endswith(".py"):
        return import_module(name)
    path = Path(name)
    known = sys.modules.get(path.stem)
    if known is not None:
        if Path(getattr(known, "__file__", None) or "").resolve() != path.resolve():
            raise ImportError(f"there is a module {path.stem} already; give the file another name")
        return known
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    sys.path.append(str(path.parent))  # for worker processes, which unpickle the plugin's classes
    sys.modules[path.stem] = module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module
