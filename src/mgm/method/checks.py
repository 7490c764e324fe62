"""Validation of `MethodConfig`."""

from __future__ import annotations

from mgm.config import MethodConfig
from mgm.errors import ConfigError, choose, unknown
from mgm.method.balancing import BALANCES
from mgm.method.extra_images import EXTRA_IMAGES, EXTRA_USES
from mgm.method.selfsup import SELF_SUPERVISION


def check_method(method: MethodConfig) -> None:
    """Check the method's settings.

    Raises:
        ConfigError: If a name is unknown or settings exclude each other.
    """
    choose("balance", method.balance, BALANCES)
    extra = choose("source of extra images", method.extra_images, EXTRA_IMAGES)
    choose("self-supervision", method.self_supervision, {**SELF_SUPERVISION, "none": None})
    for use in method.extra_uses:
        if use not in EXTRA_USES:
            raise ConfigError(unknown("use of extra images", use, EXTRA_USES))
    if "labels" in method.extra_uses and not (extra.labelled or method.annotator):
        labelled = ", ".join(name for name, source in EXTRA_IMAGES.items() if source.labelled)
        raise ConfigError(
            f"extra images from {method.extra_images!r} have no pixel labels, so extra_uses cannot be 'labels' unless a run "
            f"labels them: --annotator RUN. Sources with labels: {labelled}"
        )
    _check_runs(method)
    if method.extra_images != "none" and method.extra_ratio <= 0:
        raise ConfigError(f"extra_ratio is {method.extra_ratio}; it must be positive (or set extra_images to none)")


def _check_runs(method: MethodConfig) -> None:
    """Raise `ConfigError` if an earlier run is needed but not given, or given but not used."""
    if (method.extra_images == "saved_generators") != bool(method.generator_runs):
        raise ConfigError(
            "extra images from 'saved_generators' need runs that have trained one: --generator-runs RUN [RUN ...]"
            if not method.generator_runs
            else f"generator_runs are given but extra_images is {method.extra_images!r}; set it to saved_generators"
        )
    if method.annotator and (method.extra_images == "none" or "labels" not in method.extra_uses):
        raise ConfigError(
            "an annotator labels extra images for the use 'labels': give it with --extra-images SOURCE --extra-uses labels"
        )
