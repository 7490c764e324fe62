"""What another data set's labels are to a run: classes and scenes by name, with the classes of the run's own data."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from fake_cells import SETTINGS, write_cells
from fake_folder import write_own
from fakes import write_files
from mgm.data.loading import StoreReader
from mgm.data.rooms import RoomsSource
from mgm.data.rooms.vocabulary import CLASSES
from mgm.errors import ConfigError
from mgm.method.recipes import make_experiment
from mgm.runs.data import load_data
from mgm.runs.loaders import make_loaders
from mgm.runs.splits import warn_once
from mgm.types import IGNORE_INDEX
from toys import with_settings

CPU = torch.device("cpu")


@pytest.fixture
def photos(tmp_path):
    return write_own(tmp_path / "photos", 16)


def experiment_on(folder, **data):
    settings = {"num_images": 0, "num_rooms": 20, "augment": False}
    return with_settings(make_experiment("mt", "tiny", str(folder)), **settings | data)


def name_classes(folder, *names):
    write_files(folder, {"classes.txt": "\n".join(names).encode()})


def loaders(experiment, data=None):
    return make_loaders(experiment, data or load_data(experiment, CPU))


def batch_of_rooms(folder, **data):
    return loaders(experiment_on(folder, extra_images="rooms", **data))["extra"](0, 8)


@pytest.mark.parametrize("names", [("floor", "wall", "Floor_Mat"), ("FLOOR ", "wall", "floor-mat")])
def test_classes_of_rooms_become_those_of_the_same_name(photos, names, caplog):
    name_classes(photos, *names)
    warn_once.cache_clear()
    batch = batch_of_rooms(photos)
    rooms = RoomsSource(20, seed=1)
    images = np.stack([rooms.read(index, 32).image for index in range(20)]).astype(np.float32) / 127.5 - 1
    for image, target, depth in zip(batch.images, batch.targets["semantic"], batch.targets["depth"], strict=True):
        index = int(np.abs(images - image.numpy()).max(axis=(1, 2, 3)).argmin())
        label = rooms.read(index, 32).targets
        expected = np.full((32, 32), IGNORE_INDEX)
        for ours, theirs in enumerate(("floor", "wall", "floor mat")):
            expected[label["semantic"] == CLASSES.index(theirs)] = ours
        np.testing.assert_array_equal(target.numpy(), expected)
        np.testing.assert_allclose(depth.numpy(), label["depth"], rtol=1e-3)
    assert (
        "rooms has labels for photos: semantic (3 classes by name; not ceiling, cabinet, bed, ...), depth"
        in caplog.text
    )
    assert "scenes: 2 of 10" in caplog.text  # kitchen and office


def test_without_a_class_in_common_segmentation_is_left_out_and_that_is_said(photos, caplog):
    name_classes(photos, "road", "car", "sky")
    warn_once.cache_clear()
    assert set(batch_of_rooms(photos).targets) == {"depth", "normal"}
    assert "Left out, since they mean something else: semantic" in caplog.text
    with pytest.raises(ConfigError, match="no task in common"):
        batch_of_rooms(photos, tasks=("semantic",))


def test_classes_that_no_training_image_shows_are_not_learned_from_rooms(photos):
    name_classes(photos, "floor", "wall", "floor mat", "otherprop")
    assert set(batch_of_rooms(photos).targets["semantic"].unique().tolist()) <= {0, 1, 2, IGNORE_INDEX}


def test_equal_classes_are_taken_as_they_are_whether_seen_or_not(tmp_path):
    experiment = experiment_on("rooms", num_images=12, extra_images="rooms")
    few = load_data(experiment, CPU)
    batch = loaders(experiment, few)["extra"](0, 14)
    seen = np.unique(few.reader.store.arrays["semantic"][few.splits.train]).tolist()
    assert set(batch.targets["semantic"].unique().tolist()) - set(seen)


def test_own_segmentations_are_translated_task_by_task(tmp_path):
    ours = write_cells(tmp_path / "ours")
    theirs = write_cells(tmp_path / "theirs")
    swapped = SETTINGS.replace("background: ", "soil: ").replace("cytoplasm: ", "background: ")
    write_files(theirs, {"dataset.yaml": swapped.encode()})
    experiment = experiment_on(ours, pretrain=str(theirs))
    data = load_data(experiment, CPU)
    batch = loaders(experiment, data)["pretrain"](0, 4)
    assert set(batch.targets) == set(data.tasks)
    assert set(batch.targets["cells"].unique().tolist()) == {0, 2, IGNORE_INDEX}


def overlapping(folder, **training):
    """Six steps before joint training, the first three of which have images of rooms, too."""
    settings = {"steps": 8, "joint_share": 0.25, "pretrain_steps": 5} | training
    return experiment_on(folder, pretrain="rooms", pretrain_overlap=0.5, **settings)


def same(ours, theirs) -> bool:
    """Whether two samples are equal, with equal labels."""
    pairs = [(ours.images, theirs.images), (ours.scene, theirs.scene)]
    pairs += [(target, theirs.targets[task]) for task, target in ours.targets.items()]
    return all(
        torch.equal(one.isnan(), other.isnan()) and torch.equal(one.nan_to_num(), other.nan_to_num())
        for one, other in pairs
    )


def row(batch, index):
    at = slice(index, index + 1)
    return replace(
        batch,
        images=batch.images[at],
        scene=batch.scene[at],
        targets={task: target[at] for task, target in batch.targets.items()},
        unmixed=None,
    )


@pytest.mark.parametrize("step, kept", [(0, ""), (1, "25"), (2, "1245"), (3, "012345"), (4, "012345"), (7, "012345")])
def test_images_of_the_first_data_set_give_way_to_labelled_ones(photos, step, kept):
    name_classes(photos, "floor", "wall", "floor mat")
    experiment = overlapping(photos)
    data = load_data(experiment, CPU)
    ours = loaders(with_settings(experiment, pretrain_overlap=0.0), data)["labelled"](step, 6)
    theirs = loaders(experiment, data)["pretrain"](5 + step, 6)  # goes on after five steps of pre-training
    found = loaders(experiment, data)["labelled"](step, 6)
    for index in range(6):
        source, other = (ours, theirs) if str(index) in kept else (theirs, ours)
        assert same(row(found, index), row(source, index))
        assert not same(row(found, index), row(other, index))


def test_each_process_has_its_share_of_both_data_sets(photos, monkeypatch):
    experiment = overlapping(photos)
    data = load_data(experiment, CPU)
    monkeypatch.setattr("mgm.runs.loaders.world_size", lambda: 2)
    batch = loaders(experiment, data)["labelled"](1, 12)
    ours = loaders(with_settings(experiment, pretrain_overlap=0.0), data)["labelled"](1, 12)
    assert [same(row(batch, index), row(ours, index)) for index in range(6)] == [False, False, True, False, False, True]


def test_without_steps_before_joint_training_there_is_no_overlap(photos):
    experiment = overlapping(photos, joint_share=1.0)
    data = load_data(experiment, CPU)
    at_once = with_settings(experiment, pretrain_overlap=0.0)
    first, second = (loaders(made, data)["labelled"](0, 6) for made in (experiment, at_once))
    assert torch.equal(first.images, second.images)


def test_both_data_sets_have_the_zoom_of_the_step(photos):
    zoomed = {"augment": True, "zoom": (2.0, 2.0), "zoom_share": 0.25, "flip": False, "colour": 0.0}
    experiment = with_settings(overlapping(photos), pretrain_overlap=1.0, **zoomed)
    still = with_settings(experiment, zoom=(1.0, 1.0))
    data = load_data(experiment, CPU)
    for step, whole in ((1, False), (2, True)):
        batch, unzoomed = (loaders(made, data)["labelled"](step, 6) for made in (experiment, still))
        assert [same(row(batch, index), row(unzoomed, index)) for index in range(6)] == 6 * [whole]


@pytest.mark.parametrize("source", ["labelled", "composites", "rooms"])
def test_extra_images_have_the_zoom_of_the_labelled_ones(photos, source):
    """Two of eight steps are joint ones, and the first of these is the last with a zoom."""
    zoomed = {"augment": True, "zoom": (2.0, 2.0), "zoom_share": 7 / 8, "flip": False, "colour": 0.0}
    made = experiment_on(photos, extra_images=source, steps=8, joint_share=0.25, **zoomed)
    data = load_data(made, CPU)
    batches, still = (loaders(experiment, data)["extra"] for experiment in (made, with_settings(made, zoom=(1.0, 1.0))))
    assert [same(batches(step, 6), still(step, 6)) for step in (0, 1)] == [False, True]


def test_labels_are_read_one_task_and_one_batch_at_a_time_for_the_constant_prediction(photos, monkeypatch):
    data, alive, most = load_data(experiment_on(photos, batch_size=2), CPU), [], []
    read = StoreReader.target

    def target(self, task, rows):
        found = read(self, task, rows)
        alive.append(weakref.ref(found))
        most.append(sum(one() is not None for one in alive))
        return found

    expected = {name: task.constant([data.reader.target(name, data.labelled)]) for name, task in data.tasks.items()}
    monkeypatch.setattr(StoreReader, "target", target)
    for name, constant in data.constants.items():
        torch.testing.assert_close(constant, expected[name])
    assert len(most) > 3 * len(expected)
    assert max(most) <= 2


def test_tasks_that_the_first_data_set_lacks_have_no_labels_in_its_images(photos):
    name_classes(photos, "road", "car", "sky")
    labels = loaders(overlapping(photos))["labelled"](1, 6).targets
    assert (labels["semantic"] != IGNORE_INDEX).any((1, 2)).tolist() == [False, False, True, False, False, True]
    assert labels["depth"].isfinite().any((1, 2, 3)).all()


def test_mixed_images_are_replaced_in_what_a_discriminator_sees_too(photos):
    mixing = with_settings(overlapping(photos), augment=True, mix="cutmix", mix_share=1.0)
    batch = loaders(mixing)["labelled"](1, 6)
    alike = (batch.real_images == batch.images).flatten(1).all(1)
    assert alike.tolist() == [True, True, False, True, True, False]


def test_images_of_the_first_data_set_have_the_size_of_the_step(photos):
    experiment = overlapping(photos, early_sizes=(16,))
    assert experiment.data.size == (32, 32)
    batch = loaders(experiment)["labelled"](1, 6)
    assert batch.images.shape == (6, 3, 16, 16)
    assert batch.targets["depth"].shape == (6, 1, 16, 16)
