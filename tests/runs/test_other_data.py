"""A data set that a run is pre-trained on: none of its images is scored later, and its changes are noticed."""

from pathlib import Path

import pytest

from fake_folder import own_files, palette_png, write_own
from fakes import write_files
from mgm.config import Experiment
from mgm.data.images import read_labels
from mgm.errors import DataError
from mgm.inference.evaluate import evaluate
from mgm.method.recipes import make_experiment
from mgm.runs.data import load_data
from mgm.runs.folder import RunFolder
from mgm.runs.images import RunImages
from mgm.runs.train import train
from mgm.training.trainer import Trainer
from toys import with_settings

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture
def photos(tmp_path) -> Path:
    return write_own(tmp_path / "photos", 16)


@pytest.fixture
def others(tmp_path) -> Path:
    """Some of the same photographs under other names, and as many others."""
    files = own_files(30)
    chosen = {
        name: content for name, content in files.items() if any(f"_{index:03d}" in name for index in range(10, 30))
    }
    return write_files(
        tmp_path / "others", {name.replace("photo", "other"): content for name, content in chosen.items()}
    )


def pretrained(photos: Path, others: Path, **data) -> Experiment:
    settings = {"num_images": 0, "pretrain": str(others)} | data
    return with_settings(make_experiment("mt", "tiny", str(photos)), **settings)


def swap_classes(folder: Path) -> None:
    for file in (folder / "semantic").iterdir():
        file.write_bytes(palette_png(1 - read_labels(file).clip(0, 1)))


def test_images_that_the_run_is_scored_on_are_left_out(photos, others, caplog):
    data = load_data(pretrained(photos, others), "cpu")
    assert data.pretraining is not None
    held_out = {*data.reader.store.digests[data.splits.validation], *data.reader.store.digests[data.splits.test]}
    assert held_out & {*data.pretraining.store.digests}, "the folders share such images"
    assert not held_out & {*data.pretraining.digests}
    assert "images are left out, since this run validates or tests on them" in caplog.text


def test_if_nothing_is_left_that_is_an_error(photos, tmp_path):
    data = load_data(pretrained(photos, photos), "cpu")
    assert data.pretraining is not None
    held_out = {
        Path(str(data.reader.store.names[index])).stem for index in (*data.splits.validation, *data.splits.test)
    }
    few = {name: content for name, content in own_files(16, scenes=False).items() if Path(name).stem in held_out}
    folder = write_files(tmp_path / "few", few)
    with pytest.raises(DataError, match="pretrain .*few: no image is left that this run does not validate or test on"):
        load_data(pretrained(photos, folder), "cpu")


def test_images_of_pre_training_are_not_scored_later(photos, others, tmp_path):
    run = tmp_path / "run"
    train(pretrained(photos, others), run, baseline=False)
    data = load_data(pretrained(photos, others), "cpu")
    assert data.pretraining is not None
    assert set(data.pretraining.digests) <= RunImages.read(RunFolder(run).images).known
    scored = evaluate(run, data=str(others))
    assert any("are left out: the run was trained or selected on them" in remark for remark in scored.remarks)
    fresh = with_settings(make_experiment("mt", "tiny", str(others)), num_images=0, encoder_run=str(run))
    with pytest.raises(DataError, match=r"encoder_run .*run has seen \d+ of the \d+ test images"):
        train(fresh, tmp_path / "second", baseline=False)


def test_bad_samples_of_it_can_be_left_out(photos, others):
    next((others / "rgb").iterdir()).write_bytes(b"no image")
    with pytest.raises(DataError, match="not a readable image"):
        load_data(pretrained(photos, others), "cpu")
    data = load_data(pretrained(photos, others, skip_bad=True), "cpu")
    assert data.pretraining is not None
    assert len(data.pretraining.store) == 19


def test_a_run_whose_pre_training_data_have_changed_is_not_continued(photos, others, tmp_path, monkeypatch):
    original = Trainer.train_step

    def stop(self, stage, index):
        if stage.name == "multi_task":
            raise KeyboardInterrupt
        return original(self, stage, index)

    experiment = pretrained(photos, others, pretrain_overlap=1.0)
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train_step", stop)
        with pytest.raises(KeyboardInterrupt):
            train(experiment, tmp_path / "run", baseline=False)
    swap_classes(others)
    with pytest.raises(DataError, match="others, which it is pre-trained on, has changed since it was begun"):
        train(experiment, tmp_path / "run", baseline=False, resume=True)


def test_stages_of_other_pre_training_data_are_not_shared(photos, others, tmp_path):
    experiment = pretrained(photos, others)
    train(experiment, tmp_path / "first", baseline=False, shared=tmp_path / "stages")
    swap_classes(others)
    train(experiment, tmp_path / "second", baseline=False, shared=tmp_path / "stages")
    first, second = ((tmp_path / name / "metrics.jsonl").read_text() for name in ("first", "second"))
    assert first != second
