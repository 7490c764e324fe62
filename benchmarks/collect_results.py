"""Gather finished runs into ``results/``: a JSON file with everything and a Markdown table made from it alone.

    python benchmarks/collect_results.py NAME RUN [RUN ...]

writes ``results/NAME.json`` and ``results/NAME.md``. Several runs of one recipe become one row, mean ± standard deviation
over seeds; ``LABEL=RUN`` puts a run in the row LABEL instead. The baseline that a run trained along is a row of its own.
Nothing in these files is edited by hand.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from mgm.experiments.comparisons import Question, answer_questions, summary
from mgm.runs.folder import RunFolder
from mgm.tasks import TASKS

RESULTS = Path(__file__).parents[1] / "results"


def gather(runs: list[str]) -> dict[str, Any]:
    """The results of runs and of their baselines."""
    found: list[dict[str, Any]] = []
    for run in runs:
        label, _, path = run.rpartition("=")
        folder = RunFolder(Path(path))
        if folder.baseline.finished:
            baseline = json.loads(folder.baseline.result.read_text())
            found.append({"row": baseline["recipe"], **baseline})
        result = json.loads(folder.result.read_text())
        found.append({"row": label or result["recipe"], **result})
    for result in found:
        result["command"] = portable(result["command"])
    return {"runs": [{key: value for key, value in result.items() if key != "baseline"} for result in found]}


def spread(values: list[float], digits: int) -> str:
    """Mean ± standard deviation; the value alone where there is but one."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(set(values)) < 2 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def table(runs: list[dict[str, Any]], split: str) -> str:
    """Markdown: a row per recipe or label, a column per metric."""
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        rows[run["row"]].append(run)
    metrics = [
        (task, metric, info)
        for task, kind in TASKS.items()
        if task in runs[0][split]
        for metric, info in kind.metrics_info.items()
    ]
    titles = [f"{info.title} {'↑' if info.higher_is_better else '↓'}" for _, _, info in metrics]
    lines = [["model", "seeds", *titles], [":--", "--:", *("--:" for _ in metrics)]]
    if split == "test":
        cells = [spread([run["constant"][task][metric] for run in runs], 3) for task, metric, _ in metrics]
        lines.append(["constant predictor", "", *cells])
    for title, members in rows.items():
        cells = [spread([run[split][task][metric] for run in members], 3) for task, metric, _ in metrics]
        lines.append([title, str(len({run["seed"] for run in members})), *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def in_words(runs: list[dict[str, Any]], split: str, pairs: list[tuple[str, str]]) -> str:
    """Paired tests over the seeds that all rows have; empty with fewer than two seeds.

    Args:
        runs: All runs.
        split: Whose scores.
        pairs: Which row against which; none: every row against the first.
    """
    by_row: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for run in runs:
        by_row[run["row"]][run["seed"]] = run
    seeds = sorted(set[int].intersection(*(set(members) for members in by_row.values())))
    first, *others = by_row
    if len(seeds) < 2 or not others:
        return ""
    primary = {task: kind.primary for task, kind in TASKS.items() if task in runs[0][split]}
    results = {
        row: {task: [members[seed][split][task][metric] for seed in seeds] for task, metric in primary.items()}
        for row, members in by_row.items()
    }
    directions = {task: TASKS[task].metrics_info[metric].higher_is_better for task, metric in primary.items()}
    questions = [Question(row, control) for row, control in pairs or [(row, first) for row in others]]
    answers = answer_questions(results, questions, directions)
    lines = "".join(f"- {line}\n" for line in summary(answers).splitlines())
    return f"\nOn the {split} set, paired by seed:\n\n{lines}"


def portable(command: str) -> str:
    """A command with its output under ``runs/``, wherever it went on this machine."""
    words = shlex.split(command)
    places = [number + 1 for number, word in enumerate(words[:-1]) if word == "--out"]
    for place in places:
        words[place] = f"runs/{Path(words[place]).name}"
    return shlex.join(words)


def page(name: str, runs: list[dict[str, Any]], pairs: list[tuple[str, str]]) -> str:
    """The Markdown file: setting, commands, tables on test and validation."""
    first = runs[0]
    commands = list(dict.fromkeys(run["command"] for run in runs))
    commits = ", ".join(sorted({str(run["commit"]) for run in runs}))
    # the machine did other work meanwhile, so times are upper bounds
    seconds = ", ".join(f"{run['row']} s{run['seed']}: {run['seconds']:.0f}" for run in runs)
    return (
        f"# {name}\n\n"
        f"{first['data']}, {first['image_size']} px, {first['num_labelled']} labelled images, {first['steps']} updates of M; "
        f"commit {commits}; torch {first['versions']['torch']}, {first['device']}. Made by `benchmarks/collect_results.py`.\n\n"
        + "".join(f"    {command}\n" for command in commands)
        + f"\nSeconds of training: {seconds}\n\n"
        f"Test set, read once, with the checkpoint that was best on validation:\n\n{table(runs, 'test')}\n"
        f"Validation set:\n\n{table(runs, 'validation')}" + in_words(runs, "test", pairs)
    )


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("runs", nargs="+")
    parser.add_argument(
        "--pair", action="append", default=[], metavar="ROW:ROW", help="rows to hold against each other"
    )
    options = parser.parse_args()
    gathered = gather(options.runs)
    pairs = [(row, control) for row, _, control in (pair.partition(":") for pair in options.pair)]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{options.name}.json").write_text(json.dumps(gathered, indent=1) + "\n")
    (RESULTS / f"{options.name}.md").write_text(page(options.name, gathered["runs"], pairs))


if __name__ == "__main__":
    main()
