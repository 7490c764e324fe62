import os
import sys
from contextlib import contextmanager

import pytest
import torch

from fakes import write_nyuv2
from mgm.cli.main import main
from mgm.training.trainer import Trainer

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# Tests run side by side in several processes: one thread each is faster, and results do not depend on the count. Two in each of
# two processes wait for one another for minutes. Here, since fixtures of the session train before those of a test are there.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def same_numbers():
    """A test that fails fails again: random tensors are the same every time."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Converted data of tests goes to a temporary folder, unless CI shares one."""
    if "MGM_CACHE" not in os.environ:
        os.environ["MGM_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def unsynchronised():
    """No test survives a power cut: files need not have reached the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A small folder in the layout of NYUv2, which tests leave as it is."""
    return write_nyuv2(tmp_path_factory.mktemp("data") / "nyuv2")


@pytest.fixture(scope="session")
def finished(photographs, tmp_path_factory):
    """A finished run of the full method with its baseline, which tests leave as it is."""
    out = tmp_path_factory.mktemp("runs") / "mgm"
    sizes = ["--batch-size", "4", "--generator-batch-size", "4"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys,
            "argv",
            ["mgm", "train", "mgm", "--preset", "tiny", *sizes, "--data", str(photographs), "--out", str(out)],
        )
        main()
    return out


class CommandLine:
    """Runs command lines; returns exit code, standard output and standard error."""

    def __init__(self, monkeypatch, capsys) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        self.monkeypatch.setattr(sys, "argv", ["mgm", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        captured = self.capsys.readouterr()
        return code, captured.out, captured.err

    def done(self, *arguments: object) -> str:
        """The standard output of one that succeeds."""
        code, out, err = self(*arguments)
        assert code == 0, err
        return out

    def refused(self, *arguments: object) -> str:
        """The one line of standard error of one that cannot be carried out."""
        code, _, err = self(*arguments)
        assert code == 2
        assert err.startswith("mgm: error: ")
        assert err.count("\n") == 1
        return err


@pytest.fixture
def mgm(monkeypatch, capsys):
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def interrupted(monkeypatch):
    """A context in which trainings end as by Ctrl-C, before the first step of which ``when(trainer, stage, index)`` holds."""

    @contextmanager
    def interrupt(when):
        original = Trainer.train_step

        def step(trainer, stage, index):
            if when(trainer, stage, index):
                raise KeyboardInterrupt
            return original(trainer, stage, index)

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "train_step", step)
            yield

    return interrupt


@pytest.fixture(scope="session")
def nothing_drawn():
    """A context in which trainings draw nothing, which takes longer than a training of a few steps."""

    @contextmanager
    def nothing():
        with pytest.MonkeyPatch.context() as patch:
            for name in ("compare", "curve_figure", "prediction_figure", "before_and_after", "generated_figure"):
                patch.setattr(f"mgm.report.run_summary.{name}", lambda *arguments: None)
            patch.setattr("mgm.report.training_figure.TrainingFigure", None)
            yield

    return nothing


@pytest.fixture
def without_pictures(nothing_drawn):
    with nothing_drawn():
        yield
