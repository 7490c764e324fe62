"""Multi-task visual learning with generative modelling (MGM; Bao, Hebert, Wang, ICML 2022).

    import mgm

    result = mgm.train(mgm.make_experiment("mgm", preset="quick"), "runs/first")
    model = mgm.load("runs/first")
    values = model.predict("photo.jpg")  # {"semantic": [H, W], "depth": [1, H, W] in metres, "normal": [3, H, W], ...}

Names are loaded on first use, because torch takes a second to import and `mgm --help` does not need it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mgm.version import __version__

if TYPE_CHECKING:
    from mgm.api import train_and_draw as train
    from mgm.config import Experiment
    from mgm.errors import MgmError
    from mgm.inference.autolabel import autolabel
    from mgm.inference.evaluate import evaluate
    from mgm.inference.generate import generate
    from mgm.inference.model import load
    from mgm.method.recipes import make_experiment

_PLACES = {
    "train": "mgm.api.train_and_draw",
    "load": "mgm.inference.model.load",
    "evaluate": "mgm.inference.evaluate.evaluate",
    "autolabel": "mgm.inference.autolabel.autolabel",
    "generate": "mgm.inference.generate.generate",
    "Experiment": "mgm.config.Experiment",
    "make_experiment": "mgm.method.recipes.make_experiment",
    "MgmError": "mgm.errors.MgmError",
}
"""Public name -> its module and name there."""

__all__ = [
    "Experiment",
    "MgmError",
    "__version__",
    "autolabel",
    "evaluate",
    "generate",
    "load",
    "make_experiment",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        module, _, attribute = _PLACES[name].rpartition(".")
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'mgm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
