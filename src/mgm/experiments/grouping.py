"""Task grouping: the best set of networks within a budget (Standley et al., 2020, section 5)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path

from mgm.errors import ConfigError
from mgm.models.task_groups import TaskGroup
from mgm.runs.folder import read_result
from mgm.runs.starting_weights import finished_run
from mgm.tasks import task_kinds
from mgm.tasks.base import Task

NOTHING = 1e-6
"""No loss can be stated relative to a smaller score: such a task is covered but does not influence the choice."""
Scores = Mapping[frozenset[str], Mapping[str, float]]
"""Tasks of a candidate network -> task -> its primary metric on the validation set."""


def scores_of_runs(runs: Iterable[str | Path]) -> tuple[dict[frozenset[str], dict[str, float]], dict[str, bool]]:
    """Validation scores, in each task's primary metric, of finished candidates: runs on the same data with different sets of tasks.

    Returns:
        The scores and task -> direction, in the order of tables; both are arguments of `choose_groups`.

    Raises:
        ConfigError: If two runs have the same tasks.
        RunError: If a run does not exist or is not finished.
    """
    scores: dict[frozenset[str], dict[str, float]] = {}
    kinds: dict[str, type[Task]] = {}
    for run in runs:
        folder = finished_run(str(run), "candidate")
        values = read_result(folder.result)["validation"]
        kinds |= task_kinds(folder.info().own_tasks)
        network = frozenset(values)
        if network in scores:
            raise ConfigError(
                f"candidate {run}: another run has the same tasks ({', '.join(values)}); give one run per set of tasks"
            )
        found = {task: metrics[kinds[task].primary] for task, metrics in values.items()}
        scores[network] = {task: math.nan if value is None else value for task, value in found.items()}
    learned = frozenset[str]().union(*scores)
    directions = {name: task.metrics_info[task.primary].higher_is_better for name, task in kinds.items()}
    return scores, {name: higher for name, higher in directions.items() if name in learned}


def choose_groups(
    scores: Scores,
    higher_is_better: Mapping[str, bool],
    costs: Mapping[frozenset[str], float] | None = None,
    budget: float = math.inf,
) -> tuple[frozenset[str], ...]:
    """Choose the best set of networks within a budget, where each task is predicted by the network that is best at it.

    The objective is the mean over tasks of the loss relative to the single-task network, ``±(value - single) / |single|``,
    which makes metres and degrees comparable. The search is exact branch and bound: tasks are assigned to networks, one
    network at a time; a branch is pruned if it cannot become the best even with the best network for every remaining task.

    Args:
        scores: Validation scores of the candidates, usually of all non-empty subsets of the tasks. The single-task networks
            must be among them. A score that is NaN or missing means that a network does not predict the task.
        higher_is_better: Task -> direction of its metric; these tasks have to be covered.
        costs: Candidate -> cost, in units of one single-task network; default: 1 each, as for Standley et al.'s networks of
            equal size.
        budget: Largest total cost; default: unlimited.

    Returns:
        The tasks of each network, in the order of their first tasks. Networks may share tasks: a network keeps a task that
        another one predicts better, since without it it would be a different network (`group_settings` assigns the tasks).
        Of two equally good sets, the cheaper one is returned.

    Raises:
        ConfigError: If a single-task network or the cost of a candidate is missing, or no set within the budget covers all
            tasks.
    """
    losses = _relative_losses(scores, higher_is_better)
    prices = _prices(losses, costs)
    order = {task: place for place, task in enumerate(higher_is_better)}
    least = {task: min(loss[task] for loss in losses.values() if task in loss) for task in order}
    best: tuple[float, float, tuple[frozenset[str], ...]] = (math.inf, math.inf, ())

    def deal(left: frozenset[str], loss: float, cost: float, chosen: tuple[frozenset[str], ...]) -> None:
        """Try every network for the first remaining task, alone or together with others."""
        nonlocal best
        if not left:
            best = min(best, (loss, cost, chosen), key=lambda found: (round(found[0], 12), found[1]))
            return
        if cost > budget or loss + sum(least[task] for task in left) > best[0] + 1e-12:
            return
        first = min(left, key=order.__getitem__)
        for together in _subsets_with(first, left):
            for network in losses:
                if network not in chosen and together <= losses[network].keys():
                    added = sum(losses[network][task] for task in together)
                    if cost + prices[network] <= budget:
                        deal(left - together, loss + added, cost + prices[network], (*chosen, network))

    deal(frozenset(order), 0.0, 0.0, ())
    if not best[2]:
        raise ConfigError(
            f"no set of networks within a budget of {budget:g} covers {', '.join(order)}; raise the budget"
        )
    return best[2]


def group_settings(
    chosen: tuple[frozenset[str], ...], scores: Scores, higher_is_better: Mapping[str, bool]
) -> tuple[str, ...]:
    """The chosen networks in the notation of `ModelConfig.groups`, each task assigned to the network that is best at it.

    The arguments are the result of `choose_groups` and two of its arguments.

    Example:
        >>> pair, both = frozenset({"semantic", "depth"}), frozenset({"depth", "normal"})
        >>> scores = {pair: {"semantic": 0.3, "depth": 0.8}, both: {"depth": 0.9, "normal": 25.0}}
        >>> group_settings((pair, both), scores, {"semantic": True, "depth": False, "normal": False})
        ('semantic+depth', 'normal/depth')
    """
    owner = {}
    for task, higher in higher_is_better.items():
        able = [network for network in chosen if not math.isnan(scores[network].get(task, math.nan))]
        owner[task] = min(able, key=lambda network: -scores[network][task] if higher else scores[network][task])
    groups = [
        TaskGroup(
            tuple(task for task in higher_is_better if owner[task] == network),
            tuple(task for task in higher_is_better if task in network and owner[task] != network),
        )
        for network in chosen
    ]
    return tuple(group.text for group in groups if group.predicted)


def _prices(
    networks: Iterable[frozenset[str]], costs: Mapping[frozenset[str], float] | None
) -> dict[frozenset[str], float]:
    """Network -> cost."""
    if costs is None:
        return dict.fromkeys(networks, 1.0)
    missing = [", ".join(sorted(network)) for network in networks if network not in costs]
    if missing:
        raise ConfigError(
            f"no cost is given for the candidate with the tasks {missing[0]}; give one for each candidate"
        )
    return {network: costs[network] for network in networks}


def _relative_losses(scores: Scores, higher_is_better: Mapping[str, bool]) -> dict[frozenset[str], dict[str, float]]:
    """Network -> task -> loss relative to the single-task network: 0 for that network itself, negative for a better one."""
    losses: dict[frozenset[str], dict[str, float]] = {network: {} for network in scores}
    for task, higher in higher_is_better.items():
        single = scores.get(frozenset({task}), {}).get(task, math.nan)
        if math.isnan(single):
            raise ConfigError(
                f"task grouping compares with single-task networks, but there is no score of {task!r} alone; train it with: "
                f"mgm train mt --tasks {task}"
            )
        for network, values in scores.items():
            value = values.get(task, math.nan)
            if task in network and not math.isnan(value):
                worse = single - value if higher else value - single
                losses[network][task] = worse / abs(single) if abs(single) > NOTHING else 0.0
    return losses


def _subsets_with(first: str, tasks: frozenset[str]) -> Iterator[frozenset[str]]:
    """All subsets of ``tasks`` that contain ``first``, larger ones first."""
    others = sorted(tasks - {first})
    for count in range(len(others), -1, -1):
        for more in combinations(others, count):
            yield frozenset({first, *more})
