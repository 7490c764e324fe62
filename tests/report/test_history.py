import math

from fake_runs import write_log
from mgm.report.history import in_order, read_history, stages_of, tasks_of
from mgm.training.metrics_log import MetricsLog


def test_joint_training_goes_on_counting(tmp_path):
    history = read_history(write_log(tmp_path / "a.jsonl"))
    assert history.joint_start == 40
    assert history.scores["semantic"] == ([20, 40, 60], [0.2, 0.4, 0.9])
    assert history.losses["joint"]["loss 0"][0] == [60]
    assert history.losses["generator"]["generator"] == ([10], [-0.5])
    steps, values = history.scores["depth"]
    assert steps == [20, 40, 60]
    assert math.isnan(values[0])
    assert values[2] == 0.5


def test_baseline_has_no_joint_training(tmp_path):
    path = write_log(tmp_path / "a.jsonl", joint=False)
    MetricsLog(path).write(stage="continued", step=20, validation={"semantic": {"miou": 0.5}})
    history = read_history(path)
    assert history.joint_start is None
    assert list(history.losses) == ["multi_task"]
    assert history.scores["semantic"] == ([20, 40, 60], [0.2, 0.4, 0.5])


def test_stages_and_tasks_come_in_the_order_of_a_training_and_of_tables(tmp_path):
    histories = [read_history(write_log(tmp_path / "a.jsonl")), read_history(tmp_path / "absent.jsonl")]
    assert stages_of(histories) == ["multi_task", "generator", "joint"]
    assert tasks_of(histories) == ["semantic", "depth"]
    assert in_order(("a", "b"), [["c", "b"], ["a"]]) == ["a", "b", "c"]
