"""docs/extending.md: every program runs, and what it adds keeps the contracts of the package's own."""

import os
import subprocess
import sys
import tempfile

import pytest

import extended
import mgm
from documents import DOCS, ROOT, python_of
from mgm.data.base import find_bad

PROGRAMS = {block.heading: block for block in python_of(DOCS / "extending.md")}
PLAIN = "-q --strict-markers --import-mode=importlib"
CONTRACTS = (
    "tests/tasks/test_task_contract.py",
    "tests/tasks/test_losses.py",
    "tests/models/test_models.py",
    "tests/networks/generators/test_generators.py",
)
PRINTS = {
    "A task": "{'l1': ",
    "A generator": "'kitchen': (2, 3, 32, 32)",
    "A self-supervised task": "mgm_rotation {'abs_error_m': ",
    "An architecture": "{'abs_error_m': ",
    "A data set": "arrays {'abs_error_m': ",
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Temporary files of programs go there; what they enter into the dictionaries is taken out again."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with extended.restored():
        yield tmp_path


def test_every_kind_has_a_program():
    assert PROGRAMS.keys() == PRINTS.keys()


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("heading", PRINTS)
def test_program_trains(place, capsys, heading):
    exec(compile(PROGRAMS[heading].text, f"docs/extending.md, {heading}", "exec"), {})
    assert PRINTS[heading] in capsys.readouterr().out
    assert list(place.rglob("result.json"))


def test_data_set_is_what_it_promises(place):
    """Found by its files, and every sample checked as `mgm data verify` does."""
    names = extended.enter(PROGRAMS["A data set"])
    from mgm.data import open_source

    source = open_source(str(names["folder"]))
    assert source.info.name == "arrays"
    assert [reason for _, reason in find_bad(source, 32) if reason] == []
    with pytest.raises(mgm.MgmError, match="Choices: random"):
        source.splits("official", 0)


def test_self_supervision_turns_images_and_trains_head_and_encoder(place, tmp_path):
    """A step of the algorithm changes the new head; equal seeds give equal losses."""
    extended.enter(PROGRAMS["A self-supervised task"])
    from toys import toy_experiment, toy_trainer

    losses = []
    for run in ("a", "b"):
        trainer = toy_trainer(toy_experiment("mgm_rotation"), tmp_path / run)
        before = trainer.networks["rotation"].get_parameter("output.weight").detach().clone()
        trainer.networks.train()
        losses.append(trainer.train_step(trainer.stages[-1], 0))
        assert not before.equal(trainer.networks["rotation"].get_parameter("output.weight"))
    assert "self_supervision" in losses[0]
    assert "extra_self_supervision" in losses[0]
    assert all(losses[0][name].equal(losses[1][name]) for name in losses[0])


@pytest.mark.slow
def test_contracts_of_the_package():
    """The tests that run over the dictionaries, in a process that has entered the programs' classes."""
    # shapes are not checked: what checks them has to come before the package
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "extended_registries",
        "-p",
        "no:cacheprovider",
        "-rN",
        "-o",
        f"addopts={PLAIN}",
    ]
    names = "inverse_depth or gated or upsampling"
    path = os.pathsep.join([str(ROOT / "tests"), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, *CONTRACTS, "-k", f"({names}) and not order_of_the_paper", "-m", "not slow"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert int(done.stdout.split(" passed")[0].split()[-1]) > 40
