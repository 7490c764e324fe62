"""Definition of a study (one experiment of the paper): its rows, settings and questions. Plain data; imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mgm.config import Experiment

Options = tuple[tuple[str, object], ...]
"""Pairs of field and value: the settings changed by a row or a setting of a table."""

Tasks = tuple[str, ...]


def options(**fields: object) -> Options:
    """Changes of settings by field name, in whichever group of `Experiment` the field is."""
    return tuple(fields.items())


@dataclass(frozen=True)
class Need:
    """Runs that a trial depends on: those of other rows with the same seed and setting."""

    rows: tuple[Row, ...]
    resolve: Callable[[Sequence[Path]], Mapping[str, object]]
    """Maps the folders of the finished runs to settings of the trial, for example their paths."""


@dataclass(frozen=True)
class Row:
    """A model in a table."""

    title: str
    """Name of the model in the paper."""
    recipe: str
    options: Options = ()
    """Changed settings; they take precedence over those of `Setting.options`."""
    settings: tuple[str, ...] = ()
    """Titles of the settings that it appears in; empty: all."""
    seed_shift: int = 0
    """Added to the seed but not to the seed of the split: different weights and batches on the same images."""
    needs: tuple[Need, ...] = ()
    in_paper: bool = True
    """Whether the row is also in the paper's table."""


@dataclass(frozen=True)
class Setting:
    """A block of a table, such as a share of labels or a ratio of extra images."""

    title: str
    options: Options = ()


@dataclass(frozen=True)
class Asks:
    """A pair of rows to compare."""

    row: str
    reference: str
    about: str = ""
    primary: bool = False
    """Whether it is one of the table's primary questions; if a table has none, all its questions are primary."""
    expected: Literal["", "found", "nothing"] = ""
    """Expected outcome of a positive control (a difference) or of a null comparison (none)."""


ST = Row("ST", "st")
MT = Row("MT", "mt")
MGM = Row("MGM", "mgm")
MGM_G = Row("MGM/G", "mgm_no_generator")
MGM_J = Row("MGM/j", "mgm_not_joint")
MGM_R = Row("MGM_r", "mgm_real")
CONTROL = Row("control", "mgm_control", in_paper=False)

OWN_SHARE = (
    Asks("MGM", "MT", primary=True),
    Asks("MGM", "MGM/G", "what the generator adds", primary=True),
    Asks("MGM", "control", "generator vs. more updates on labelled images", primary=True),
)
"""Primary questions of every table that contains MGM."""

MAIN_TASKS: Tasks = ("semantic", "depth", "normal")
SETTINGS_100, SETTINGS_50, SETTINGS_25, SETTINGS_10 = (
    # MGM_r adds as many weakly labelled images as there are labelled ones (paper, Table 2)
    Setting(f"{share} %", options(fraction=share / 100, weak_fraction=share / 100))
    for share in (100, 50, 25, 10)
)
ALL_LABELS = options(fraction=1.0)


@dataclass(frozen=True)
class Study:
    """One experiment of the paper."""

    paper: str
    """Table or figure of the paper, or ``Beyond the paper``."""
    title: str
    rows: Callable[[Tasks], tuple[Row, ...]]
    """Maps the tasks of the plan to the models of the table."""
    settings: tuple[Setting, ...] = (SETTINGS_50,)
    asks: tuple[Asks, ...] = ()
    """Comparisons in addition to `OWN_SHARE`."""
    tasks: Tasks = MAIN_TASKS
    """Tasks of the study; tasks that the data set lacks are left out. Empty: all tasks of the data set."""
    required: Tasks = ()
    """Tasks that the data set must have."""
    adapt: Callable[[Experiment, str], Options] = field(default=lambda _experiment, _data: ())
    """Changes for all rows that depend on the scale or on the data set."""
    figure: Literal["dots", "curve", "predictions", "generated"] = "dots"
    primary_setting: str = ""
    """Title of the setting of the primary questions; empty, or if it is not run: the one with the fewest labels."""
    across: bool = False
    """Whether the paper's table has metrics as rows and models as columns."""
    repeats: str = "seeds"
    """What the runs of a row differ in."""
    all_metrics: bool = False
    """Whether the table has all metrics, one per row, instead of the paper's."""
    notes: tuple[str, ...] = ()
    """Notes printed below the table."""

    @property
    def from_paper(self) -> bool:
        """Whether it is one of the paper's experiments."""
        return self.paper.startswith(("Table", "Figure"))

    def rows_with_controls(self, tasks: Tasks) -> tuple[Row, ...]:
        """The rows, with MGM/G and the control of equal cost added before MGM."""
        rows = self.rows(tasks)
        titles = {row.title for row in rows}
        complete: list[Row] = []
        for row in rows:
            if row.recipe == "mgm" and row.title == "MGM":
                complete += [
                    replace(extra, options=row.options, settings=row.settings, in_paper=False)
                    for extra in (MGM_G, CONTROL)
                    if extra.title not in titles
                ]
            complete.append(row)
        return tuple(complete)

    def all_asks(self, rows: Sequence[Row]) -> tuple[Asks, ...]:
        """Every question whose two rows are present, each once."""
        titles = {row.title for row in rows}
        wanted = dict.fromkeys((*OWN_SHARE, *self.asks))
        asked = [ask for ask in wanted if {ask.row, ask.reference} <= titles]
        few = any(ask.primary for ask in asked)
        return tuple(ask if few else replace(ask, primary=True) for ask in asked)
