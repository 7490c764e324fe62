"""What is said of a finished run."""

from mgm.report.html.run_facts import cost
from mgm.report.run_summary import early_ends
from mgm.runs.folder import RunFolder, write_json

RESULT = {
    "recipe": "mgm",
    "data": "rooms",
    "num_labelled": 8,
    "steps": 100,
    "stopped": {"multi_task": {"step": 30, "of": 60}, "joint": {"step": 10, "of": 40}},
    "test": {},
}


def test_where_a_run_and_its_baseline_ended_early_is_said_and_costs_only_what_was_trained(tmp_path):
    baseline = {"recipe": "mt", "stopped": {"continued": {"step": 20, "of": 40}}}
    assert early_ends(RESULT | {"baseline": baseline}) == [
        "mt stopped early: stage continued at step 20 of 40",
        "mgm stopped early: stage multi_task at step 30 of 60, stage joint at step 10 of 40",
    ]
    assert early_ends(RESULT | {"stopped": {}}) == []
    write_json(tmp_path / "result.json", RESULT)
    assert cost("mgm", RunFolder(tmp_path)).steps == 40
