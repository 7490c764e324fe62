"""The files of a run folder: each has a schema, and whatever else is there is named in one line."""

import json
import os

import pytest

from mgm.errors import ConfigError, MgmError, RunError
from mgm.method.recipes import make_experiment
from mgm.runs.folder import Failure, RunFolder, read_json, read_result
from mgm.runs.images import RunImages
from mgm.runs.provenance import Beginning
from mgm.runs.settings import from_yaml, to_dict
from mgm.training.metrics_log import MetricsLog, read_metrics_log
from mgm.types import DatasetInfo

INFO = DatasetInfo("rooms", ("depth",), (), ("attic",))


def create(folder: RunFolder) -> RunFolder:
    experiment = make_experiment("mgm", "tiny")
    beginning = Beginning("mgm train mgm", True, 0.0, 1, to_dict(experiment))
    folder.create(experiment, INFO, beginning, RunImages({}, {}, {}, {}, {}, {})).release()
    return folder


@pytest.fixture
def folder(tmp_path):
    return create(RunFolder(tmp_path / "run"))


def test_what_was_written_is_read(folder):
    assert folder.info() == INFO
    assert folder.experiment() == make_experiment("mgm", "tiny")


def test_a_run_that_was_killed_at_its_start_can_begin_anew(tmp_path):
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    (tmp_path / ".config.yaml.123.tmp").write_text("half")
    (folder.checkpoints / ".last.pt.123.tmp").write_text("half")
    (tmp_path / ".own.tmp").write_text("somebody's")
    with pytest.raises(RunError, match="is not empty"):
        create(folder)
    (tmp_path / ".own.tmp").unlink()
    create(folder)
    assert not list(tmp_path.rglob("*.tmp"))


CONTENTS = [
    b"", b"{", b"[1]", b"3", b"null", b"\xff\xfe", b"[" * 200_000, b'{"a": ' * 200_000, b'{"name": 3}', b"{}",
    b'{"error": 1, "reason": "x"}', b'{"steps": 1e400}', b'{"steps": 1' + b"0" * 5000 + b"}",
]  # fmt: skip


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: repr(content[:12]))
def test_damaged_json(folder, content):
    for path, read in (
        (folder.dataset, folder.info),
        (folder.result, lambda: read_result(folder.result)),
        (folder.beginning, lambda: read_json(folder.beginning, Beginning)),
        (folder.images, lambda: RunImages.read(folder.images)),
        (folder.failure, lambda: read_json(folder.failure, Failure)),
    ):
        path.write_bytes(content)
        with pytest.raises(RunError, match=f"{path.name} is damaged .*restore it or train again"):
            read()


BOMB = b"a: &a [x, x]\n" + b"".join(
    f"{name}: &{name} [*{before}, *{before}]\n".encode() for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "content",
    [b"a: [", b"\xff", b"- 1", b"[" * 50_000, BOMB, b"x: " + b"y" * 300_000, b"!!python/object:os.system x", b"seed: .nan",
     b"seed: 99999999999999999999", b"data: {image_size: 99999999999999999999}", b"data: 3", b"training: {learning_rate: .inf}"],
    ids=lambda content: repr(content[:14]),
)  # fmt: skip
def test_damaged_yaml(folder, content):
    folder.config.write_bytes(content)
    with pytest.raises(ConfigError, match=r"config.yaml"):
        from_yaml(folder.config)


@pytest.mark.parametrize(
    "line",
    [b"[1]", b"{}", b'{"stage": 1, "step": 2}', b'{"stage": "joint", "step": "x"}', b"\xff\n{}", b'{"stage": "j"}\n{}',
     b'{"stage": "joint", "step": 3, "losses": [1]}', b'{"stage": "joint", "step": 3, "validation": {"depth": 3}}'],
    ids=repr,
)  # fmt: skip
def test_a_line_that_is_no_record_is_named(folder, line):
    folder.metrics_log.write_bytes(line + b"\n")
    with pytest.raises(RunError, match=r"metrics.jsonl, line \d: no record"):
        list(read_metrics_log(folder.metrics_log))


def test_half_a_last_line_is_passed_over(folder):
    MetricsLog(folder.metrics_log).write(stage="joint", step=3, losses={"task": float("nan")})
    with folder.metrics_log.open("a") as file:
        file.write('{"stage": "jo')
    assert list(read_metrics_log(folder.metrics_log)) == [{"stage": "joint", "step": 3, "losses": {"task": None}}]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("name", ["config.yaml", "dataset.json", "result.json", "metrics.jsonl"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_has_no_end_is_not_read(folder, name, make):
    path = folder.path / name
    path.unlink(missing_ok=True)
    make(path)
    read = {
        "config.yaml": folder.experiment,
        "dataset.json": folder.info,
        "result.json": lambda: read_result(path),
        "metrics.jsonl": lambda: list(read_metrics_log(path)),
    }
    with pytest.raises(MgmError, match=rf"{name} cannot be read \(it is not a regular file\)"):
        read[name]()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_log_on_a_full_disk(folder):
    folder.metrics_log.symlink_to("/dev/full")
    with pytest.raises(RunError, match=r"cannot write .*metrics.jsonl \(No space left.*--resume"):
        MetricsLog(folder.metrics_log).write(stage="joint", step=1)


def test_an_exported_model_is_not_called_a_folder_without_a_run(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RunError, match="is an exported model; this needs the folder of its run"):
        RunFolder(tmp_path).experiment()


RESULT = {"recipe": "mgm", "data": "rooms", "seed": 0, "num_labelled": 56, "steps": 12, "seconds": 3.5, "world_size": 1}
RESULT |= {"versions": {"torch": "2"}, "parameters": {"encoder": 7}, "updates": {"task": 12}, "peak_memory_mb": None}
RESULT |= {"test": {"depth": {"abs_error_m": 0.5, "rmse_m": None}}, "of a later version": ["anything"]}


def test_a_result_is_read_as_it_is(tmp_path):
    (tmp_path / "result.json").write_text(json.dumps(RESULT))
    assert read_result(tmp_path / "result.json") == RESULT


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"steps": "many"}, "steps"),
        ({"seconds": None}, "seconds"),
        ({"world_size": []}, "world_size"),
        ({"versions": "2"}, "versions"),
        ({"parameters": None}, "parameters"),
        ({"updates": {"task": {}}}, "updates.task"),
        ({"test": {"depth": 3}}, "test.depth"),
        ({"classes": {"semantic": {"wall": 0.5}}}, "classes.semantic.wall"),
        ({"pretrained": ["ImageNet"]}, "pretrained"),
        ({"test": {"depth": {"abs_error_m": "half"}}}, "test.depth.abs_error_m"),
    ],
    ids=str,
)
def test_an_entry_that_cannot_be_is_named(tmp_path, changed, place):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(RESULT | changed))
    with pytest.raises(RunError, match=rf"result.json is damaged \({place}: .*restore it or train again"):
        read_result(path)
