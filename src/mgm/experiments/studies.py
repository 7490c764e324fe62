"""A study, one experiment of the paper: its rows, settings and questions. Plain data; imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mgm.config import Experiment

Options = tuple[tuple[str, object], ...]
"""Field of the settings -> value, for what a row or a setting changes."""

Tasks = tuple[str, ...]


def options(**fields: object) -> Options:
    """Changes of settings by field name, wherever in `Experiment` the field lies."""
    return tuple(fields.items())


@dataclass(frozen=True)
class Need:
    """Runs that a trial builds upon: those of other rows with the same seed, and in the same setting."""

    rows: tuple[Row, ...]
    resolve: Callable[[Sequence[Path]], Mapping[str, object]]
    """Settings that follow from the finished runs' folders, e.g. their paths."""


@dataclass(frozen=True)
class Row:
    """A model of a table."""

    title: str
    """As the paper calls it."""
    recipe: str
    options: Options = ()
    """What it changes; wins over the setting's options."""
    settings: tuple[str, ...] = ()
    """Titles of the only settings that it appears in; empty: all."""
    seed_shift: int = 0
    """Added to the seed, not to that of the split: other weights and batches on the same images."""
    needs: tuple[Need, ...] = ()
    in_paper: bool = True
    """Whether the paper's table has it too."""


@dataclass(frozen=True)
class Setting:
    """A block of a table: a share of labels, a ratio of extra images."""

    title: str
    options: Options = ()


@dataclass(frozen=True)
class Asks:
    """A pair of rows whose difference matters."""

    row: str
    reference: str
    about: str = ""
    primary: bool = False
    """Whether it is one of the few questions that the table is made for; where none is, all are."""
    expected: Literal["", "found", "nothing"] = ""
    """What is known beforehand: of a positive control, of a null."""


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
    Asks("MGM", "control", "the generator against more updates on labelled images", primary=True),
)
"""What every table with MGM in it is asked: its primary questions."""

MAIN_TASKS: Tasks = ("semantic", "depth", "normal")
SETTINGS_100, SETTINGS_50, SETTINGS_25, SETTINGS_10 = (
    # MGM_r adds as many weakly labelled images as are labelled (paper, Table 2)
    Setting(f"{share} %", options(fraction=share / 100, weak_fraction=share / 100))
    for share in (100, 50, 25, 10)
)
ALL_LABELS = options(fraction=1.0)


@dataclass(frozen=True)
class Study:
    """One experiment of the paper."""

    paper: str
    """Where it stands in the paper, or that it goes beyond it."""
    title: str
    rows: Callable[[Tasks], tuple[Row, ...]]
    """Models by the tasks that the data offer."""
    settings: tuple[Setting, ...] = (SETTINGS_50,)
    asks: tuple[Asks, ...] = ()
    """What is compared beside `OWN_SHARE`."""
    tasks: Tasks = MAIN_TASKS
    """Tasks that it is about; those that the data lack are left out. Empty: all that the data offer."""
    required: Tasks = ()
    """Tasks without which it makes no sense."""
    adapt: Callable[[Experiment, str], Options] = field(default=lambda _experiment, _data: ())
    """Changes for all rows that depend on the scale or on the kind of data set."""
    figure: Literal["dots", "curve", "predictions", "generated"] = "dots"
    primary_setting: str = ""
    """Title of the setting that the primary questions are about; empty, or not carried out: the last one."""
    across: bool = False
    """Whether the paper's table has metrics down and models across."""
    repeats: str = "seeds"
    """What the runs of a row differ in."""
    all_metrics: bool = False
    """Whether the table has every metric, one below the other, instead of the paper's."""
    notes: tuple[str, ...] = ()
    """What else a reader has to know."""

    def rows_with_controls(self, tasks: Tasks) -> tuple[Row, ...]:
        """The rows, with MGM/G and the control of equal cost beside MGM wherever it appears."""
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
        """Every question that these rows can answer, each once."""
        titles = {row.title for row in rows}
        wanted = dict.fromkeys((*OWN_SHARE, *self.asks))
        asked = [ask for ask in wanted if {ask.row, ask.reference} <= titles]
        few = any(ask.primary for ask in asked)
        return tuple(ask if few else replace(ask, primary=True) for ask in asked)
