"""The choice of networks against brute force over all sets of candidates."""

import math
from itertools import chain, combinations

import numpy as np
import pytest

from mgm.errors import ConfigError
from mgm.experiments.grouping import choose_groups, group_settings
from mgm.models.task_groups import parse_groups

DIRECTIONS = {"semantic": True, "depth": False, "normal": False, "reshading": False}


def subsets(tasks) -> list[frozenset[str]]:
    tasks = tuple(tasks)
    return [frozenset(c) for count in range(1, len(tasks) + 1) for c in combinations(tasks, count)]


def random_scores(seed, tasks, missing=0.0):
    rng = np.random.default_rng(seed)
    return {
        network: {
            task: math.nan if len(network) > 1 and rng.random() < missing else float(rng.uniform(0.3, 0.6))
            for task in sorted(network)
        }
        for network in subsets(tasks)
    }


def loss_of(chosen, scores, directions):
    """Mean over tasks of the best relative loss; infinite if a task is not covered."""
    total = 0.0
    for task, higher in directions.items():
        single = scores[frozenset({task})][task]
        values = [scores[network][task] for network in chosen if not math.isnan(scores[network].get(task, math.nan))]
        if not values:
            return math.inf
        total += (single - max(values)) / single if higher else (min(values) - single) / single
    return total / len(directions)


def brute_force(scores, directions, costs, budget):
    """(loss, cost) of the best set of candidates, by looking at all of them; None if none covers the tasks in the budget."""
    sets = chain.from_iterable(combinations(scores, count) for count in range(1, len(directions) + 1))
    found = ((loss_of(chosen, scores, directions), sum(costs[network] for network in chosen)) for chosen in sets)
    possible = [(round(loss, 12), cost) for loss, cost in found if cost <= budget and math.isfinite(loss)]
    return min(possible, default=None)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("budget", [0.5, 1, 2, 2.5, 3, math.inf])
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_as_good_as_the_best_of_all_sets(seed, budget, missing):
    directions = dict(list(DIRECTIONS.items())[: 2 + seed % 3])
    scores = random_scores(seed, directions, missing)
    rng = np.random.default_rng(seed)
    costs = {network: float(rng.integers(1, 4)) / 2 if seed % 2 else 1.0 for network in scores}
    best = brute_force(scores, directions, costs, budget)
    if best is None:
        with pytest.raises(ConfigError, match="raise the budget"):
            choose_groups(scores, directions, costs, budget)
        return
    chosen = choose_groups(scores, directions, costs if seed % 2 else None, budget)
    assert (loss_of(chosen, scores, directions), sum(costs[network] for network in chosen)) == pytest.approx(best)


def test_tasks_that_help_each_other_share_and_the_others_stay_alone():
    scores = {
        frozenset({"semantic"}): {"semantic": 0.20},
        frozenset({"depth"}): {"depth": 0.90},
        frozenset({"normal"}): {"normal": 30.0},
        frozenset({"semantic", "depth"}): {"semantic": 0.25, "depth": 0.80},
        frozenset({"semantic", "normal"}): {"semantic": 0.19, "normal": 33.0},
        frozenset({"depth", "normal"}): {"depth": 0.95, "normal": 27.0},
        frozenset({"semantic", "depth", "normal"}): {"semantic": 0.22, "depth": 0.85, "normal": 32.0},
    }
    directions = {"semantic": True, "depth": False, "normal": False}
    chosen = choose_groups(scores, directions, budget=2)
    assert chosen == (frozenset({"semantic", "depth"}), frozenset({"depth", "normal"}))
    settings = group_settings(chosen, scores, directions)
    assert settings == ("semantic+depth", "normal/depth")
    parse_groups(settings, directions)
    assert choose_groups(scores, directions, budget=1) == (frozenset(directions),)
    everything = choose_groups(scores, directions, {network: len(network) for network in scores}, budget=3)
    assert everything == (frozenset({"semantic", "depth"}), frozenset({"normal"}))


@pytest.mark.parametrize("seed", range(5))
def test_settings_give_each_task_to_its_best_network(seed):
    scores = random_scores(seed, DIRECTIONS)
    chosen = choose_groups(scores, DIRECTIONS, budget=3)
    groups = parse_groups(group_settings(chosen, scores, DIRECTIONS), DIRECTIONS)
    networks = [frozenset((*group.predicted, *group.auxiliary)) for group in groups]
    assert set(networks) == set(chosen)
    value = sum(
        (-1 if DIRECTIONS[task] else 1) * (scores[network][task] / scores[frozenset({task})][task] - 1)
        for network, group in zip(networks, groups, strict=True)
        for task in group.predicted
    )
    assert value / len(DIRECTIONS) == pytest.approx(loss_of(chosen, scores, DIRECTIONS))


def test_of_equally_good_sets_the_cheaper():
    same = {network: dict.fromkeys(network, 0.5) for network in subsets(("depth", "normal"))}
    assert choose_groups(same, {"depth": False, "normal": False}) == (frozenset({"depth", "normal"}),)


def test_a_task_whose_single_network_learned_nothing_has_no_say():
    scores = {network: dict.fromkeys(network, 0.5) for network in subsets(("semantic", "depth"))}
    scores[frozenset({"semantic"})] = {"semantic": 0.0}
    scores[frozenset({"depth"})] = {"depth": 0.4}
    chosen = choose_groups(scores, {"semantic": True, "depth": False})
    assert chosen == (frozenset({"semantic"}), frozenset({"depth"}))


def test_networks_for_six_tasks_have_them_all():
    directions = {**DIRECTIONS, "edge_texture": False, "principal_curvature": False}
    chosen = choose_groups(random_scores(0, directions), directions, budget=3)
    assert frozenset().union(*chosen) == set(directions)


@pytest.mark.parametrize(
    "scores, budget, message",
    [
        ({}, 1, "no score of 'depth' alone.*mgm train mt --tasks depth"),
        ({frozenset({"depth"}): {"depth": math.nan}}, 1, "no score of 'depth' alone"),
        ({frozenset({"depth"}): {"depth": 1.0}}, 0.5, "within a budget of 0.5 .*; raise the budget"),
    ],
)
def test_what_cannot_be_chosen_is_said(scores, budget, message):
    with pytest.raises(ConfigError, match=message):
        choose_groups(scores, {"depth": False}, budget=budget)


def test_costs_are_needed_for_every_candidate():
    scores = random_scores(0, ("depth", "normal"))
    costs = {network: 1.0 for network in scores if len(network) == 1}
    with pytest.raises(ConfigError, match="no cost is given for the candidate with the tasks depth, normal"):
        choose_groups(scores, {"depth": False, "normal": False}, costs)
