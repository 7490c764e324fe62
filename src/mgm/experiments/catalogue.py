"""Every experiment of the paper as data. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path

from mgm.config import Experiment
from mgm.errors import ConfigError, unknown
from mgm.experiments.studies import (
    ALL_LABELS,
    CONTROL,
    MAIN_TASKS,
    MGM,
    MGM_G,
    MGM_J,
    MGM_R,
    MT,
    OWN_SHARE,
    SETTINGS_10,
    SETTINGS_25,
    SETTINGS_50,
    SETTINGS_100,
    ST,
    Asks,
    Need,
    Options,
    Row,
    Setting,
    Study,
    Tasks,
    options,
)
from mgm.types import plain_size

PAPER_SETTINGS = (SETTINGS_100, SETTINGS_50, SETTINGS_25)
GROUPING_BUDGET = 2.0
"""Budget of TaskGrouping, in units of a single-task network."""

BEYOND = "Beyond the paper"
SIMCLR_ALONE = options(refinement="none", self_supervision_weight=3.0, joint_share=1.0)
"""SimCLR with a weight large enough to have an effect within the presets' single backward pass."""

ANNOTATOR = Row("annotator", "st_large", ALL_LABELS, in_paper=False)
"""The oracle of the pilot study: a large network trained on every label of the training set."""

ST_G = Row("ST_G", "st_synthesized", needs=(Need((ANNOTATOR,), lambda runs: {"annotator": str(runs[0])}),))


def _ratios(*percents: int) -> tuple[Setting, ...]:
    """Settings of Figure 5: extra images in per cent of the training set, of which 25 % is labelled."""
    return tuple(
        Setting(f"{percent} %", options(fraction=0.25, extra_ratio=percent / 25, weak_fraction=percent / 100))
        for percent in percents
    )


def _by_ratio(_: Tasks) -> tuple[Row, ...]:
    # only the remaining 75 % of the training set can serve as weakly labelled real images
    real = replace(MGM_R, settings=("25 %", "50 %", "75 %"))
    return replace(MGM_G, in_paper=False), CONTROL, MGM_J, MGM, real


def _groups(runs: Sequence[Path]) -> dict[str, object]:
    """Choose the best networks within the budget by the validation scores of all candidates."""
    from mgm.experiments.grouping import choose_groups, group_settings, scores_of_runs

    scores, higher_is_better = scores_of_runs(runs)
    chosen = choose_groups(scores, higher_is_better, budget=GROUPING_BUDGET)
    return {"groups": group_settings(chosen, scores, higher_is_better)}


def _architectures(tasks: Tasks) -> tuple[Row, ...]:
    subsets = chain.from_iterable(combinations(tasks, size) for size in range(1, len(tasks) + 1))
    candidates = tuple(Row("+".join(subset), "mt", options(tasks=subset), in_paper=False) for subset in subsets)
    grouping = Row("TaskGrouping", "task_grouping", needs=(Need(candidates, _groups),))
    return ST, MT, grouping, Row("Cross-Stitch", "cross_stitch"), Row("AdaShare", "adashare"), MGM


def _single_tasks(tasks: Tasks) -> tuple[Row, ...]:
    from mgm.tasks import TASKS

    short = {task: TASKS[task].abbreviation for task in tasks if task in TASKS}
    alone = tuple(Row(f"MGM-{short.get(task) or task}", "mgm", options(tasks=(task,))) for task in tasks)
    combine = Row(
        "MGM-Combine", "mgm_combine", needs=(Need(alone, lambda runs: {"generator_runs": tuple(map(str, runs))}),)
    )
    return ST, *alone, combine, MGM


def _transferred(row: Row) -> Row:
    """Row for a new normals decoder on the frozen encoder of a network trained on the other two tasks."""
    learned = replace(row, title=f"{row.title} on SS+DE", options=options(tasks=("semantic", "depth")))
    need = Need((learned,), lambda runs: {"encoder_run": str(runs[0])})
    return Row(row.title, "mt", options(tasks=("normal",), freeze_encoder=True), needs=(need,), in_paper=row.in_paper)


def _double_size(experiment: Experiment, _: str) -> Options:
    height, width = experiment.data.size
    return options(image_size=plain_size((2 * height, 2 * width)))


def _disjoint(_: Experiment, data: str) -> Options:
    """A split by scenes, buildings or cities, so that none occurs in two subsets. `rooms` has no room twice, so random will do."""
    kind = {"rooms": "random", "taskonomy": "tiny"}.get(data, "city" if data.startswith("cityscapes") else "scene")
    return options(split=kind)


def _extreme(_: Experiment, data: str) -> Options:
    """Taskonomy: the three buildings of appendix G.2 with all labels, about 5 % of Tiny-Taskonomy; elsewhere 5 % of the labels."""
    return options(fraction=1.0, split="subset") if data == "taskonomy" else options(fraction=0.05)


STUDIES: dict[str, Study] = {
    "table1": Study(
        "Table 1, talk",
        "pilot study: does a single-task network benefit from synthesized images with an oracle's labels, from refinement, "
        "from self-supervision?",
        lambda _: (ST, ST_G, Row("ST+Refine", "st_refine"), Row("ST+Self", "st_self")),
        asks=(Asks("ST_G", "ST"), Asks("ST+Refine", "ST"), Asks("ST+Self", "ST")),
        tasks=("semantic",),
        required=("semantic",),
    ),
    "table2": Study(
        "Table 2",
        "main result: single-task, multi-task, MGM, and its upper bound with real images",
        lambda _: (ST, MT, MGM, replace(MGM_R, settings=("50 %", "25 %"))),
        PAPER_SETTINGS,
        (Asks("MGM", "ST"), Asks("MGM_r", "MGM", "real weakly labelled images instead of synthesized ones")),
        across=True,
    ),
    "table3": Study(
        "Table 3",
        "the effects of the generator and of joint training",
        lambda _: (MGM_G, MGM_J, MGM),
        PAPER_SETTINGS,
        (Asks("MGM", "MGM/j", "what joint training adds"), Asks("MGM/j", "MGM/G")),
        across=True,
    ),
    "table4": Study(
        "Table 4",
        "ablation of self-supervision and refinement",
        lambda _: (
            Row("MGM/self", "mgm_no_self"),
            Row("MGM/refine", "mgm_no_refinement"),
            Row("MGM_recon", "mgm_reconstruction"),
            MGM,
        ),
        asks=tuple(Asks("MGM", other) for other in ("MGM/self", "MGM/refine", "MGM_recon")),
    ),
    "figure5": Study(
        "Figure 5",
        "number of extra images, in per cent of the training set, of which 25 % is labelled",
        _by_ratio,
        _ratios(25, 50, 75, 100, 125),
        (Asks("MGM", "MGM/j", "what joint training adds"),),
        figure="curve",
        primary_setting="25 %",
    ),
    "table5": Study("Table 5", "six tasks", lambda _: (ST, MT, MGM), tasks=(), asks=(Asks("MGM", "ST"),)),
    "table6": Study(
        "Table 6",
        "other multi-task architectures",
        _architectures,
        (SETTINGS_25,),
        tuple(Asks("MGM", other) for other in ("ST", "TaskGrouping", "Cross-Stitch", "AdaShare")),
    ),
    "table7": Study("Table 7", "few labels: 10 %", lambda _: (ST, MT, MGM), (SETTINGS_10,), (Asks("MGM", "ST"),)),
    "table8": Study(
        "Table 8",
        "larger networks: does more capacity help as much?",
        lambda _: (ST, MT, Row("ST_l", "st_large"), Row("MT_l", "mt_large")),
        asks=(Asks("ST_l", "ST"), Asks("MT_l", "MT")),
    ),
    "table9": Study(
        "Table 9",
        "training of the refinement network: plain end-to-end, loosely separate, EM-like",
        lambda _: (
            MT,
            Row("PEoE", "mgm", options(refinement="peoe")),
            Row("LSeT", "mgm", options(refinement="lset")),
            replace(MGM_G, in_paper=False),
            CONTROL,
            replace(MGM, title="EML"),
        ),
        asks=(*(replace(ask, row="EML") for ask in OWN_SHARE), Asks("EML", "PEoE"), Asks("EML", "LSeT")),
    ),
    "table10": Study(
        "Table 10",
        "twice the resolution (256 px at the paper's scale)",
        lambda _: (ST, MT, MGM),
        asks=(Asks("MGM", "ST"),),
        adapt=_double_size,
    ),
    "table11": Study(
        "Table 11",
        "transfer: a frozen encoder trained on segmentation and depth, with a new decoder for normals",
        lambda _: tuple(_transferred(row) for row in (MT, MGM_G, CONTROL, MGM)),
        PAPER_SETTINGS,
        tasks=MAIN_TASKS,
        required=MAIN_TASKS,
        across=True,
    ),
    "table12": Study(
        "Table 12",
        "SAGAN against DCGAN",
        lambda _: (ST, MT, MGM, Row("MGM-DCGAN", "mgm_dcgan")),
        asks=(Asks("MGM", "MGM-DCGAN", "what the better generator adds"), Asks("MGM-DCGAN", "MT")),
    ),
    "table13": Study(
        "Table 13",
        "multi-hot object labels instead of scenes, segmentation only",
        lambda _: (ST, MGM),
        (SETTINGS_100,),
        (Asks("MGM", "ST"),),
        tasks=("semantic",),
        required=("semantic",),
        adapt=lambda _experiment, _data: options(weak_labels="objects"),
    ),
    "table14": Study(
        "Table 14",
        "very few labels: three buildings of Taskonomy, or 5 % of the labels of another data set",
        lambda _: (ST, MT, MGM),
        (Setting("5 %"),),
        (Asks("MGM", "ST"),),
        adapt=_extreme,
    ),
    "table15": Study(
        "Table 15",
        "MGM for single tasks, and training on the images of all their generators",
        _single_tasks,
        asks=(Asks("MGM", "MGM-Combine"),),
    ),
    "figure4": Study(
        "Figures 4, 6",
        "predictions and error maps of ST, MT and MGM, with the ground truth",
        lambda _: (ST, MT, MGM),
        figure="predictions",
    ),
    "figure7": Study(
        "Figures 7, 8",
        "generated images before and after joint training; images with the annotator's labels",
        lambda _: (MGM, ST_G),
        required=("semantic",),
        figure="generated",
    ),
}
"""Name on the command line -> experiment."""

STUDIES.update(
    {
        "disjoint": replace(
            STUDIES["table2"],
            paper=BEYOND,
            title="Table 2 with a split by scenes: no test room occurs in training",
            adapt=_disjoint,
        ),
        "twice": Study(
            BEYOND,
            "positive control: twice the labels, an effect that should be detected",
            lambda _: (MT, Row("MT, twice the labels", "mt", options(fraction=0.5), in_paper=False)),
            (SETTINGS_25,),
            (Asks("MT, twice the labels", "MT", expected="found"),),
        ),
        "simclr": Study(
            BEYOND,
            "positive control: SimCLR in addition to the tasks from the first step, without augmentation of the labelled images",
            lambda _: (MT, Row("MT + SimCLR", "mgm_no_generator", SIMCLR_ALONE, in_paper=False)),
            (SETTINGS_25,),
            (Asks("MT + SimCLR", "MT", expected="found"),),
            adapt=lambda _experiment, _data: options(augment=False),
        ),
        "null": Study(
            BEYOND,
            "null comparison: the same recipe with different seeds, where no difference should be found",
            lambda _: (MT, Row("MT, other seeds", "mt", seed_shift=1000, in_paper=False)),
            (SETTINGS_25,),
            (Asks("MT, other seeds", "MT", expected="nothing"),),
        ),
        "labels": Study(
            BEYOND,
            "label efficiency: how many labels is MGM worth?",
            lambda _: (MT, MGM),
            (SETTINGS_10, SETTINGS_25, SETTINGS_50, SETTINGS_100),
            figure="curve",
            primary_setting="25 %",
        ),
    }
)


def find_study(name: str) -> tuple[str, Study]:
    """Look up a study by its name. Raises `ConfigError` if there is none; the message lists the names."""
    if name.lower() in STUDIES:
        return name.lower(), STUDIES[name.lower()]
    raise ConfigError(unknown("experiment", name, [*STUDIES, "all", "list"]))
