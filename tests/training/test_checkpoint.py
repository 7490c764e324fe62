"""Checkpoints: what is damaged, packed, of another kind or not finite is refused in one line."""

import os
import pickle
import zipfile
from dataclasses import replace

import pytest
import torch

from mgm.data.files import write_atomically
from mgm.errors import RunError
from mgm.method.networks import build_model
from mgm.method.recipes import make_experiment
from mgm.models import MODELS
from mgm.networks.generators import GENERATORS
from mgm.tasks import make_tasks
from mgm.training.checkpoint import SavedModel, load_checkpoint, rebuild, save_checkpoint

STATE = {"model": {"layer.weight": torch.arange(64.0).reshape(8, 8)}}


def test_every_flipped_bit_is_noticed(tmp_path):
    """Or changes nothing, as in the bytes that align the tensors."""
    path = tmp_path / "best.pt"
    save_checkpoint(path, STATE)
    content, noticed = path.read_bytes(), 0
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        try:
            state = load_checkpoint(path, SavedModel)
        except RunError:
            noticed += 1
            continue
        assert torch.equal(state["model"]["layer.weight"], STATE["model"]["layer.weight"])
    assert noticed > len(content) / 7 / 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"a": torch.tensor([1.0, float("nan")])}}, "model.a is not finite"),
        ({"model": {"a": torch.tensor(float("inf"))}}, "model.a is not finite"),
        ({"model": None}, "no checkpoint of this kind .model: "),
        ({"model": {3: torch.zeros(1)}}, "no checkpoint of this kind .model.3"),
        ({"model": {"a": 3}}, "no checkpoint of this kind .model.a"),
    ],
)
def test_other_content_is_refused(tmp_path, change, message):
    save_checkpoint(tmp_path / "best.pt", STATE | change)
    with pytest.raises(RunError, match=message):
        load_checkpoint(tmp_path / "best.pt", SavedModel)


def test_packed_content_is_refused_unread(tmp_path):
    """A small file could hold any amount."""
    save_checkpoint(tmp_path / "plain.pt", STATE)
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "best.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(RunError, match="its content is compressed"):
        load_checkpoint(tmp_path / "best.pt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "best.pt")
    with pytest.raises(RunError, match="it is not a regular file"):
        load_checkpoint(tmp_path / "best.pt")


@pytest.mark.skipif(os.name != "posix", reason="limits on the size of files are of POSIX")
@pytest.mark.parametrize("limit", [0, 300, 1000])
def test_a_full_disk_is_said(tmp_path, limit):
    """The limit on the size of files stands for the end of the disk, wherever in the file it lies."""
    import resource
    import signal

    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(RunError, match=r"cannot write .*best.pt \(.*make room"):
            save_checkpoint(tmp_path / "best.pt", STATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [".", "..", "sub"])
def test_a_folder_in_the_place_of_a_file_is_named(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    with pytest.raises(RunError, match="it is a folder"):
        write_atomically(tmp_path / place if place == "sub" else type(tmp_path)(place), lambda file: file.write(b""))


@pytest.mark.parametrize("kind", [*MODELS, *GENERATORS])
def test_every_network_is_rebuilt_and_other_shapes_take_no_memory(tmp_path, kind):
    def build(width: int):
        if kind in GENERATORS:
            return GENERATORS[kind].generator(32, 16, 3, width)
        groups = ("depth",) if kind == "task_groups" else ()
        model = replace(make_experiment("mt", "tiny").model, architecture=kind, widths=(width,) * 4, groups=groups)
        return build_model(make_tasks(("depth",), ()), model, 0)

    weights = build(4).state_dict()
    rebuilt = rebuild(lambda: build(4), weights, tmp_path).state_dict()
    assert all(torch.equal(value, rebuilt[name]) for name, value in weights.items())
    for width in (8, 1_000_000):  # the second would be terabytes
        with pytest.raises(RunError, match="do not fit its settings"):
            rebuild(lambda width=width: build(width), weights, tmp_path)


def test_checkpoint_with_code_is_refused(tmp_path):
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps({"a": print}))
    with pytest.raises(RunError, match="damaged or no checkpoint"):
        load_checkpoint(path)
    torch.save({"a": RunError}, path)
    with pytest.raises(RunError, match="damaged or no checkpoint"):
        load_checkpoint(path)


def test_truncated_checkpoint_is_refused(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"weights": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(path)


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"step": 1})

    def fail(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(RunError, match="disk full"):
        write_atomically(path, fail)
    assert load_checkpoint(path) == {"step": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.pt"]
