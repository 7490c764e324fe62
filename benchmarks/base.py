"""Scores and CPU time of the presets, and of the variants that were considered for them, over seeds; seed s uses split s.

    python benchmarks/base.py quick --out runs/base                      # presets: scores on the test set
    python benchmarks/base.py small best --photos PATH --out runs/base
    python benchmarks/base.py choices_small --photos PATH --seeds 5 --workers 2 --out runs/base   # variants: validation set

Every run is an `mgm train` in a separate process. Finished runs are read and interrupted ones continued, so the same command
resumes a campaign. Writes GROUP.json and GROUP.md into ``--results``; runs that GROUP.json already holds are taken from it, so
that more seeds or rows can be added where the folders of earlier runs are gone (remove it to measure anew).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mgm.experiments.statistics import LEVEL, PairedComparison, compare_paired, detectable_difference, holm

SCORES = {
    "mIoU": ("semantic", "miou", 1),
    "pixel accuracy": ("semantic", "pixel_accuracy", 1),
    "depth m": ("depth", "abs_error_m", -1),
    "normals deg": ("normal", "angle_deg", -1),
}
"""Column -> task, metric, and direction (1: higher is better, -1: lower)."""
PHOTOS = ("--fraction", "0.25", "--tasks", "semantic", "depth", "normal")


@dataclass(frozen=True)
class Group:
    """A table whose rows are compared."""

    flags: tuple[str, ...]
    """Recipe and flags of every run."""
    rows: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"base": ()})
    """Row -> additional flags, optionally after another recipe; the first row is the reference."""
    data: str = ""
    """``photos`` or ``camvid``: a path from the command line; empty: rooms."""
    split: str = "test"
    """Subset whose scores are shown."""
    threads: int = 1
    shares_stages: bool = False
    """Whether rows reuse stages trained by an earlier row with the same seed; their CPU seconds do not include these stages."""
    tested: tuple[str, ...] = ()
    """Rows that are tested against the first: these questions were named before the runs, and are corrected among themselves."""
    pretraining: tuple[str, ...] = ()
    """Flags of an `mgm pretrain` on the same data, whose encoder replaces `ENCODER` in a row; the row's time includes it."""


ENCODER = "{encoder}"

_VARIANTS: dict[str, tuple[str, ...]] = {
    "as the preset": (),
    "the paper's losses": ("--losses",),
    "segmentation: cross-entropy": ("--losses", "recommended", "semantic:cross_entropy"),
    "segmentation: classes balanced": ("--losses", "recommended", "semantic:balanced"),
    "segmentation: Dice": ("--losses", "recommended", "semantic:dice"),
    "depth: metres": ("--losses", "recommended", "depth:l1"),
    "depth: log + gradient": ("--losses", "recommended", "depth:log_gradient"),
    "normals: cosine": ("--losses", "recommended", "normal:cosine"),
    "no mixing": ("--mix", "none"),
    "CutMix": ("--mix", "cutmix"),
    "objects pasted": ("--mix", "objects"),
    "all images mixed": ("--mix-share", "1"),
    "no zoom": ("--zoom", "1", "1"),
    "zoom 1 to 2": ("--zoom", "1", "2"),
    "zoom .75 to 1.5": ("--zoom", "0.75", "1.5"),
    "colour .4, hue .05": ("--colour", "0.4", "--hue", "0.05"),
    "half and three quarters of the size first": ("--early-sizes", "32", "48"),
}
"""Variants that each change one setting of the preset."""

_DEPTH_VARIANTS: dict[str, tuple[str, ...]] = {
    "as the preset": (),
    "no zoom": ("--zoom", "1", "1"),
    "zoom 1 to 1.2": ("--zoom", "1", "1.2"),
    "depth: log + gradient": ("--losses", "recommended", "depth:log_gradient"),
    "less decay": ("--weight-decay", "0.001"),
    "wider decoder": ("--decoder-width", "96"),
}


def _weights(refinement: float, self_supervision: float, adversarial: float) -> tuple[str, ...]:
    names = ("--refinement-weight", "--self-supervision-weight", "--adversarial-weight")
    return tuple(
        word
        for name, weight in zip(names, (refinement, self_supervision, adversarial), strict=True)
        for word in (name, str(weight))
    )


_LONGER = ("--joint-share", "0.33")
_WEIGHTS: dict[str, tuple[str, ...]] = {
    "MT": ("mt",),
    "MGM, weights as the preset": (),
    "MGM, weights x 3": _weights(0.3, 0.3, 0.15),
    "MGM, weights x 10": _weights(1, 1, 0.5),
    "MGM, joint for a third": _LONGER,
    "MGM, joint for a third, weights x 3": (*_LONGER, *_weights(0.3, 0.3, 0.15)),
    "MGM, joint for a third, weights x 10": (*_LONGER, *_weights(1, 1, 0.5)),
    "MGM, joint for a third, refinement x 10": (*_LONGER, *_weights(1, 0.1, 0.05)),
    "MGM, joint for a third, SimCLR x 10": (*_LONGER, *_weights(0.1, 1, 0.05)),
}
"""Weights of the auxiliary losses, and duration of joint training, compared with MT."""

_EXTRA_LABELS = ("--extra-uses", "labels", "--joint-share", "0.5")
_SOURCES: dict[str, tuple[str, ...]] = {
    "MT, equal cost": ("--steps", "5600"),
    "rooms first": ("--pretrain", "rooms", "--num-rooms", "10000", "--pretrain-steps", "2800"),
    "rooms fading out": (
        *("--pretrain", "rooms", "--num-rooms", "10000", "--pretrain-steps", "1400"),
        *("--pretrain-overlap", "0.67", "--steps", "4200"),
    ),
    "composites": ("--extra-images", "composites", *_EXTRA_LABELS, "--steps", "3590"),
    "rooms beside": ("--extra-images", "rooms", "--num-rooms", "10000", *_EXTRA_LABELS, "--steps", "3590"),
    "consistency": ("mt_consistency", "--joint-share", "0.333", "--steps", "3300"),
    "SimCLR first": ("--encoder-run", ENCODER),
    "MT, half the cost": (),
}
"""Sources of more training data for `small`, at equal CPU time of one thread: a step costs 102 ms, one with labelled extra images
216 ms, one with the consistency loss 316 ms, one of SimCLR at batch size 64 307 ms."""

_ROOMS_FOR_BEST: dict[str, tuple[str, ...]] = {
    "MT": (),
    "rooms first": ("--pretrain", "rooms", "--num-rooms", "6000", "--pretrain-steps", "1200", "--steps", "2200"),
}
_LONGER_ROOMS: dict[str, tuple[str, ...]] = {
    "MT": ("--steps", "8100"),
    "rooms first": ("--pretrain", "rooms", "--num-rooms", "10000", "--pretrain-steps", "3600", "--steps", "4500"),
}
"""Rendered rooms before `best`, at equal cost."""

GROUPS: dict[str, Group] = {
    "quick": Group(("mt", "--preset", "quick")),
    "small": Group(("mt", "--preset", "small", *PHOTOS), data="photos"),
    "best": Group(("mt", "--preset", "best", *PHOTOS), data="photos"),
    "best_30": Group(("mt", "--preset", "best", *PHOTOS, "--minutes", "30"), data="photos", threads=2),
    "camvid": Group(("mt", "--preset", "best", "--split", "official"), data="camvid"),
    "synthesis_small": Group(
        ("mt", "--preset", "small", *PHOTOS),
        _SOURCES,
        data="photos",
        tested=tuple(_SOURCES)[1:7],
        pretraining=("--preset", "small", "--steps", "1000", "--batch-size", "64"),
    ),
    "synthesis_best": Group(
        ("mt", "--preset", "best", *PHOTOS), _ROOMS_FOR_BEST, data="photos", tested=tuple(_ROOMS_FOR_BEST)[1:]
    ),
    # 8,100 steps: what `--minutes 30` allows on two quiet cores
    "synthesis_best_30": Group(
        ("mt", "--preset", "best", *PHOTOS), _LONGER_ROOMS, data="photos", tested=tuple(_LONGER_ROOMS)[1:]
    ),
    "weights_quick": Group(("mgm", "--preset", "quick"), _WEIGHTS, split="validation", shares_stages=True),
    "weights_small": Group(
        ("mgm", "--preset", "small", *PHOTOS), _WEIGHTS, "photos", split="validation", shares_stages=True
    ),
    "weights_best": Group(
        ("mgm", "--preset", "best", *PHOTOS), _WEIGHTS, "photos", split="validation", shares_stages=True
    ),
    "choices_best": Group(
        ("mt", "--preset", "best", *PHOTOS, "--steps", "1200"), _DEPTH_VARIANTS, "photos", "validation"
    ),
    "choices_small": Group(("mt", "--preset", "small", *PHOTOS), _VARIANTS, "photos", "validation"),
    "choices_small_short": Group(
        ("mt", "--preset", "small", *PHOTOS, "--steps", "700"), _VARIANTS, "photos", "validation"
    ),
}


def main() -> None:
    """Run the groups named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="+", choices=GROUPS)
    parser.add_argument("--photos", default="", help="NYUv2 in a layout that mgm reads")
    parser.add_argument("--camvid", default="", help="CamVid likewise")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1, help="number of concurrent runs")
    parser.add_argument("--rows", nargs="*", default=[], help="run only these rows")
    parser.add_argument("--out", type=Path, default=Path("runs/base"), help="folder of the runs")
    parser.add_argument("--results", type=Path, default=Path("results/base"), help="folder of the tables")
    options = parser.parse_args()
    paths = {"photos": options.photos, "camvid": options.camvid, "": "rooms"}
    for name in options.groups:
        group = GROUPS[name]
        if not paths[group.data]:
            parser.error(f"{name} needs --{group.data} PATH")
        rows = {row: flags for row, flags in group.rows.items() if not options.rows or row in options.rows}
        common = (*group.flags[1:], "--data", paths[group.data])
        if group.shares_stages:
            common = (*common, "--stages", str(options.out / name / "stages"))
        written = options.results / f"{name}.json"
        known: list[dict[str, Any]] = json.loads(written.read_text()) if written.exists() else []
        have = {(result["row"], result["seed"]) for result in known}
        jobs = [
            (row, seed, options.out / name / row.replace(" ", "_").replace("/", "-") / str(seed))
            for seed in range(options.seeds)
            for row in rows
            if (row, seed) not in have
        ]

        def work(job: tuple[str, int, Path], common: tuple[str, ...] = common, group: Group = group) -> dict[str, Any]:
            row, seed, folder = job
            seeds = ("--seed", str(seed), "--split-seed", str(seed))
            recipe, own, before = group.flags[0], group.rows[row], 0.0
            if own and not own[0].startswith("--"):
                recipe, own = own[0], own[1:]
            if ENCODER in own:
                encoder = folder.parent / f"{seed}_encoder"
                command = ("pretrain", paths[group.data], *group.pretraining, *seeds, "--out", str(encoder))
                before = carry_out(command, encoder, group.threads)
                own = tuple(str(encoder) if flag == ENCODER else flag for flag in own)
            result = run((recipe, *common, *own, *seeds), folder, group.threads)
            return result | {"row": row, "cpu_s": round(result["cpu_s"] + before)}

        with ThreadPoolExecutor(options.workers) as pool:
            results = [*known, *pool.map(work, jobs)]
        options.results.mkdir(parents=True, exist_ok=True)
        written.write_text(json.dumps(results, indent=1) + "\n")
        text = table(name, group, results, [row for row in group.rows if any(row == r["row"] for r in results)])
        (options.results / f"{name}.md").write_text(text)
        print(text)


def run(flags: tuple[str, ...], folder: Path, threads: int) -> dict[str, Any]:
    """Train, or continue or read an existing run; returns its scores and CPU seconds."""
    cpu_s = carry_out(("train", *flags, "--no-baseline", "--out", str(folder)), folder, threads)
    result = json.loads((folder / "result.json").read_text())
    kept = (
        "seed",
        "steps",
        "best_step",
        "best_stage",
        "num_labelled",
        "commit",
        "versions",
        "device",
        "parameters",
        "command",
        "pretrained",
    )
    return {
        "cpu_s": round(cpu_s),
        **{key: result[key] for key in kept},
        "flip_average": result.get("flip_average", False),  # runs of commits that did not know it made predictions once
        **{split: result[split] for split in ("validation", "test", "constant")},
    }


def carry_out(words: tuple[str, ...], folder: Path, threads: int) -> float:
    """Run an mgm command that creates a run folder, unless it is finished; returns its CPU seconds, summed over restarts."""
    command = [sys.executable, "-m", "mgm", *words]
    if (folder / "config.yaml").exists():
        command = [sys.executable, "-m", "mgm", words[0], "--resume", str(folder)]
    seconds = folder.parent / f"{folder.name}.cpu_s"
    if not (folder / "result.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        before = float(seconds.read_text()) if seconds.exists() else 0.0
        with (folder.parent / f"{folder.name}.log").open("a") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": str(threads)}
            )
            _, status, usage = os.wait4(process.pid, 0)
        seconds.write_text(str(before + usage.ru_utime + usage.ru_stime))
        if status:
            raise SystemExit(f"{shlex.join(command)} failed: see {log.name}")
    return float(seconds.read_text())


def table(name: str, group: Group, results: list[dict[str, Any]], rows: list[str]) -> str:
    """Markdown table of means and standard deviations over seeds, with paired differences to the first row."""
    seeds = sorted({result["seed"] for result in results})
    by_row = {row: {r["seed"]: r for r in results if r["row"] == row} for row in rows}
    fewer = [f"{row}: {len(runs)}" for row, runs in by_row.items() if len(runs) < len(seeds)]
    commits = ", ".join(sorted({str(result["commit"]) for result in results}))
    chosen = "" if len(rows) == len(group.rows) else f" --rows {shlex.join(rows)}"
    columns = [column for column, (task, _, _) in SCORES.items() if task in results[0][group.split]]
    lines = [
        f"# {name}",
        "",
        f"{group.split} set; {results[0]['num_labelled']} labelled images; seeds and splits {seeds[0]} to {seeds[-1]}"
        + (f" ({', '.join(fewer)} seeds)" if fewer else "")
        + f"; {group.threads} thread(s); commit {commits}; {time.strftime('%Y-%m-%d')}; "
        + (
            "predictions averaged with those for the mirrored images"
            if results[0]["flip_average"]
            else "a single prediction per image"
        )
        + ". Mean ± standard deviation over seeds"
        + ("; in brackets the paired difference to the first row, ± its standard error." if len(rows) > 1 else "."),
        f"Made by `python benchmarks/base.py {name} --seeds {len(seeds)}{chosen}`; every run is "
        f"`mgm train {shlex.join(group.flags)}` with the row's flags, its seed as `--seed` and `--split-seed`."
        + (" CPU seconds leave out stages that an earlier row has trained." if group.shares_stages else "")
        + (f" `{ENCODER}` is from `mgm pretrain {shlex.join(group.pretraining)}`." if group.pretraining else ""),
        "",
        "| | " + " | ".join((*columns, "steps", "CPU s")) + " |",
        "| --- |" + " --- |" * (len(columns) + 2),
    ]
    for row in rows:
        cells: list[str] = []
        for column in columns:
            task, metric, _ = SCORES[column]
            values = {seed: r[group.split][task][metric] for seed, r in by_row[row].items()}
            cell = f"{statistics.mean(values.values()):.{1 if 'deg' in column else 3}f}"
            if len(values) > 1:
                cell += f" ± {statistics.stdev(values.values()):.{1 if 'deg' in column else 3}f}"
            if row != rows[0]:
                cell += _difference(values, {s: r[group.split][task][metric] for s, r in by_row[rows[0]].items()})
            cells.append(cell)
        steps = statistics.mean(r["steps"] for r in by_row[row].values())
        cpu_s = statistics.mean(r["cpu_s"] for r in by_row[row].values())
        flags = shlex.join(group.rows[row])
        title = f"{row} (`{flags}`)" if flags else row
        lines.append(f"| {title} | " + " | ".join((*cells, f"{steps:.0f}", f"{cpu_s:.0f}")) + " |")
    if len(seeds) > 1:
        lines += tests(group, by_row, [row for row in rows if row in group.tested], columns)
    return "\n".join(lines) + "\n"


def tests(group: Group, by_row: dict[str, dict[int, dict[str, Any]]], rows: list[str], columns: list[str]) -> list[str]:
    """Paired t-tests of rows against the first row in every column, corrected by Holm over all of them (positive: better)."""
    reference = next(iter(by_row))
    found: list[tuple[str, str, float, PairedComparison]] = []
    for row in rows:
        seeds = sorted(by_row[row].keys() & by_row[reference].keys())
        for column in columns:
            task, metric, direction = SCORES[column]
            ours, theirs = (
                [by_row[name][seed][group.split][task][metric] for seed in seeds] for name in (row, reference)
            )
            compared = compare_paired(ours, theirs, higher_is_better=direction > 0)
            found.append((row, column, statistics.mean(theirs), compared))
    if not found:
        return []
    lines = [
        "",
        f"Against *{reference}*, paired by seed; positive is better. p: t-test, Holm over the {len(found)} lines. Detectable: the "
        "smallest true difference that so many seeds find with a power of 80 % as the first of these tests.",
        "",
        "| | | difference (95 %) | of the reference | p | detectable |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (row, column, base, one), p in zip(found, holm([one.t_p for *_, one in found]), strict=True):
        least = detectable_difference(one.std, one.count, LEVEL / len(found))
        interval = f"{one.mean:+.3f} ({one.low:+.3f} to {one.high:+.3f})"
        cells = (row, column, interval, f"{100 * one.mean / base:+.1f} %", f"{p:.3f}", f"{least:.3f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _difference(values: dict[int, float], reference: dict[int, float]) -> str:
    pairs = [values[seed] - reference[seed] for seed in values.keys() & reference.keys()]
    if len(pairs) < 2:
        return ""
    return f" ({statistics.mean(pairs):+.3f} ± {statistics.stdev(pairs) / len(pairs) ** 0.5:.3f})"


if __name__ == "__main__":
    main()
