"""The table of a study, built from the result files of its trials alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

import numpy as np

from mgm.experiments.bootstrap import read_sums, resampled
from mgm.experiments.comparisons import MEAN, Answer, Question, answer_questions
from mgm.experiments.paper_values import LOSSES, PRIMARY, PaperTable, paper_table
from mgm.experiments.plans import Plan, Trial
from mgm.experiments.statistics import spread
from mgm.experiments.studies import Row
from mgm.runs.folder import RunFolder, Scores, read_result
from mgm.runs.pretraining import footnotes, marked, pretraining
from mgm.tasks.base import MetricInfo, Task
from mgm.tasks.metrics import relative_gain

CONSTANT = Row("constant prediction", "", in_paper=False)
"""Lower bound for every model: the best constant prediction, fitted on the labelled images."""


@dataclass(frozen=True)
class Column:
    """A metric of a task."""

    task: str
    metric: str
    kind: type[Task]
    """Class of the task."""

    @property
    def key(self) -> str:
        """Name of the column in files."""
        return f"{self.task}.{self.metric}"

    @property
    def info(self) -> MetricInfo:
        """Unit and direction of the metric."""
        return self.kind.metrics_info[self.metric]

    @property
    def title(self) -> str:
        """Heading with unit and direction."""
        return self.info.heading


@dataclass(frozen=True)
class Value:
    """A cell: our values per seed, and the paper's value if there is one."""

    values: tuple[float, ...]
    """One per seed in the plan's order; NaN where the run is missing."""
    paper: float | None

    def text(self, column: Column) -> str:
        """Mean ± standard deviation of the known values."""
        return spread(self.values).text(column.info)


@dataclass(frozen=True)
class Line:
    """A row of the table in one setting."""

    setting: str
    row: Row
    values: Mapping[str, Value]
    """`Column.key` -> cell."""
    pretrained: str = ""
    """Data that the encoders of its runs were pre-trained on; empty: from scratch, or no run is finished."""
    runs: tuple[RunFolder, ...] = ()
    """One per seed, finished or not."""

    @property
    def title(self) -> str:
        """Title of the row, marked if the encoders were pre-trained."""
        return marked(self.row.title, self.pretrained)

    @property
    def count(self) -> int:
        """Number of seeds with a result."""
        return max((spread(value.values).count for value in self.values.values()), default=0)


@dataclass(frozen=True)
class Table:
    """The results of a study so far."""

    plan: Plan
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    paper: PaperTable | None
    data: str

    @property
    def models(self) -> list[Line]:
        """The lines of trained models, without the constant predictor."""
        return [line for line in self.lines if line.row != CONSTANT]

    @property
    def compared(self) -> dict[str, Column]:
        """Task -> the column that is compared: the loss on Taskonomy, elsewhere the task's primary metric."""
        return {c.task: c for c in self.columns if self.data == "taskonomy" or c.metric == c.kind.primary}

    def digits(self, task: str) -> int:
        """Decimal places of differences on a task, one more than its metric has; or of those in `MEAN`."""
        return 4 if task == MEAN else self.compared[task].info.decimals + 1

    @cached_property
    def answers(self) -> list[Answer]:
        """The study's questions, answered by paired tests; empty with fewer than two seeds."""
        return _answers(self)


def columns_for(kinds: Mapping[str, type[Task]], data: str) -> tuple[Column, ...]:
    """Columns for the paper's metrics: mean test losses on Taskonomy, elsewhere primary metrics, normals also in degrees."""
    if data == "taskonomy":
        return tuple(Column(task, LOSSES.get(task, kind.primary), kind) for task, kind in kinds.items())
    columns: list[Column] = []
    for task, kind in kinds.items():
        columns.append(Column(task, PRIMARY.get(task, kind.primary), kind))
        if kind.primary != columns[-1].metric:
            columns.append(Column(task, kind.primary, kind))
    return tuple(columns)


def make_table(plan: Plan, folder: Callable[[Trial], RunFolder], data: str) -> Table:
    """Collect the test scores of all finished trials, whose folders ``folder`` returns; ``data`` is `DatasetInfo.name`."""
    kinds = {task: plan.kinds[task] for task in plan.tasks}
    every = (Column(task, metric, kind) for task, kind in kinds.items() for metric in kind.metrics_info)
    columns = tuple(every) if plan.study.all_metrics else columns_for(kinds, data)
    paper = paper_table(plan.name, data)
    scores: dict[tuple[str, str, int], Scores] = {}
    for cell in plan.cells:
        run = folder(cell.trial)
        result = read_result(run.result) if run.finished else {}
        scores[cell.setting, cell.row.title, cell.seed] = result.get("test", {})
        # the same for all models with the labels of the setting, since it depends only on the labelled images
        if (constant := result.get("constant")) and "fraction" not in dict(cell.row.options):
            scores.setdefault((cell.setting, CONSTANT.title, cell.seed), {}).update(constant)
    lines: list[Line] = []
    for setting in plan.settings:
        for row in (CONSTANT, *plan.rows):
            by_seed = [scores.get((setting, row.title, seed), {}) for seed in plan.seeds]
            if not any((setting, row.title, seed) in scores for seed in plan.seeds):
                continue
            cells: dict[str, Value] = {}
            for column in columns:
                values = tuple(_number(found.get(column.task, {}).get(column.metric)) for found in by_seed)
                cells[column.key] = Value(values, _papers(paper, setting, row.title, column))
            place = (setting, row.title)
            runs = tuple(folder(cell.trial) for cell in plan.cells if (cell.setting, cell.row.title) == place)
            finished = (run for run in runs if run.finished)
            encoders = filter(None, (pretraining(run.experiment().model) for run in finished))
            lines.append(Line(setting, row, cells, next(encoders, ""), runs))
    return Table(plan, columns, tuple(lines), paper, data)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _papers(paper: PaperTable | None, setting: str, model: str, column: Column) -> float | None:
    """The paper's value for a cell, if it reports the same metric."""
    if not paper or column.metric != paper.metrics.get(column.task):
        return None
    return paper.value(setting, model, column.task)


def _answers(table: Table) -> list[Answer]:
    plan = table.plan
    results = {
        _named(line, plan): {task: line.values[column.key].values for task, column in table.compared.items()}
        for line in table.lines
    }
    lines = {(line.setting, line.row.title): line for line in table.lines if line.count}
    asked = [
        (ask, setting, lines[setting, ask.row], lines[setting, ask.reference])
        for ask in plan.study.all_asks(plan.rows)
        for setting in plan.settings
        if {(setting, ask.row), (setting, ask.reference)} <= lines.keys()
    ]
    if not asked or len(plan.seeds) < 2:
        return []
    questions = [
        Question(
            _named(ours, plan),
            _named(theirs, plan),
            ask.about,
            primary=ask.primary and setting == plan.primary_setting,
            expected=ask.expected,
            paper=_paper_gains(table, ours, theirs),
        )
        for ask, setting, ours, theirs in asked
    ]
    directions = {task: column.info.higher_is_better for task, column in table.compared.items()}
    return [
        _with_bootstrap(answer, ours, theirs, table.compared)
        for answer, (_, _, ours, theirs) in zip(answer_questions(results, questions, directions), asked, strict=True)
    ]


def _with_bootstrap(answer: Answer, ours: Line, theirs: Line, columns: Mapping[str, Column]) -> Answer:
    """Add the bootstrap over seeds and test images to the answer of a primary question."""
    if not answer.question.primary:
        return answer
    pairs = [(read_sums(one), read_sums(other)) for one, other in zip(ours.runs, theirs.runs, strict=True)]
    both = [(a, b) for a, b in pairs if a and b and np.array_equal(a["images"], b["images"])]
    if len(both) < 2:
        return answer
    metrics = {task: (column.kind, column.metric) for task, column in columns.items()}
    found = resampled(both, metrics, MEAN)
    tasks = {task: replace(test, bootstrap=found.get(task)) for task, test in answer.tasks.items()}
    return replace(answer, tasks=tasks, mean=replace(answer.mean, bootstrap=found.get(MEAN)))


def _paper_gains(table: Table, ours: Line, theirs: Line) -> dict[str, float]:
    """Task or `MEAN` -> relative gain between two lines according to the paper, in its metrics."""
    paper = table.paper
    gains: dict[str, float] = {}
    if paper is None:
        return gains
    for task in set(table.plan.tasks) & set(paper.tasks):
        one, other = (paper.value(line.setting, line.row.title, task) for line in (ours, theirs))
        if one is not None and other is not None:
            metric = table.plan.kinds[task].metrics_info[paper.metrics[task]]
            gains[task] = relative_gain(one, other, metric.higher_is_better)
    return {**gains, MEAN: fmean(gains.values())} if gains else {}


def _named(line: Line, plan: Plan) -> str:
    return line.row.title if len(plan.settings) == 1 else f"{line.row.title} ({line.setting})"


def notes(table: Table) -> list[str]:
    """Notes on the rows and columns."""
    found: list[str] = []
    if table.paper:
        found.append(
            f"Italics: values reported in the paper on {table.paper.data}, at its scale; for reference, not comparable with ours."
        )
    extra = [row.title for row in table.plan.rows if not row.in_paper]
    if extra and table.plan.study.from_paper:
        found.append(f"Not in the paper's table: {', '.join(extra)}.")
    found += footnotes(line.pretrained for line in table.lines)
    found += filter(None, map(_unbeaten, table.lines))
    counts = {line.count for line in table.lines}
    if counts != {len(table.plan.seeds)}:
        kind = table.plan.study.repeats
        found.append(f"Incomplete: some rows have fewer than {len(table.plan.seeds)} {kind} (column *{kind}*).")
    return found + list(table.plan.study.notes)


def _unbeaten(line: Line) -> str:
    """A note on the number of runs in which joint training did not improve on the stages before it; empty if there are none."""
    results = [read_result(run.result) if run.finished else {} for run in line.runs]
    count = sum("earlier" in result and result.get("best_stage") == "joint" for result in results)
    if not count:
        return ""
    where = f" ({line.setting})" if line.setting else ""
    return (
        f"{line.row.title}{where}: in {count} of {line.count} runs, joint training did not improve on the best earlier model on "
        "the validation set."
    )


def other_paper_values(table: Table, line: Line) -> dict[str, float | None]:
    """Task -> the paper's value, for tasks of which the paper reports a metric that is not among the columns."""
    paper, ours = table.paper, {(column.task, column.metric) for column in table.columns}
    return {
        task: paper.value(line.setting, line.row.title, task)
        for task in table.plan.tasks
        if paper and task in paper.tasks and (task, paper.metrics[task]) not in ours
    }
