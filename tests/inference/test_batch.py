"""Many images: all are written once, in batches, whatever the shapes; bad ones are named; memory is bounded."""

import threading
import time

import pytest
import torch

from mgm.errors import ConfigError, DataError
from mgm.inference.batch import predict_many


class Work:
    """Images that hold their own number; remembers what happened."""

    def __init__(self, shapes=((3, 4, 4),)):
        self.shapes = shapes
        self.batches, self.written = [], {}
        self.in_memory = self.most = 0
        self.lock = threading.Lock()

    def load(self, item):
        with self.lock:
            self.in_memory += 1
            self.most = max(self.most, self.in_memory)
        return torch.full(self.shapes[item % len(self.shapes)], float(item))

    def predict(self, images):
        self.batches.append(tuple(images.shape))
        return {"depth": images.mean(dim=(1, 2, 3))[:, None, None, None], "double": images * 2}

    def write(self, item, predictions):
        with self.lock:
            assert item not in self.written
            self.in_memory -= 1
            self.written[item] = {task: tuple(value.shape) for task, value in predictions.items()}
            assert predictions["depth"].item() == item

    def run(self, count, batch_size=4, workers=2):
        return predict_many(self.load, self.predict, self.write, range(count), batch_size, workers, show_progress=False)


@pytest.mark.parametrize("count", [0, 1, 4, 13])
def test_every_image_once_with_its_own_predictions_in_full_batches(count):
    work = Work()
    done = work.run(count)
    assert done.images == count
    assert not done.failed + done.unwritten
    assert sorted(work.written) == list(range(count))
    assert all(shapes == {"depth": (1, 1, 1, 1), "double": (1, 3, 4, 4)} for shapes in work.written.values())
    assert work.batches == [(4, 3, 4, 4)] * (count // 4) + [(count % 4, 3, 4, 4)] * (count % 4 > 0)


def test_images_of_different_shapes_share_batches_with_their_like():
    work = Work(((3, 4, 4), (3, 4, 8)))
    assert work.run(16).images == 16
    assert sorted(work.batches) == [(4, 3, 4, 4)] * 2 + [(4, 3, 4, 8)] * 2


def test_as_many_shapes_as_images_do_not_pile_up():
    work = Work(tuple((3, 4, side) for side in range(1, 41)))
    assert work.run(40).images == 40
    assert work.most <= 3 * 2 * 4 + 2 * 2 + 4


def test_memory_is_bounded_where_loading_is_fast_and_predicting_slow():
    work = Work()
    original = work.predict

    def slow(images):
        time.sleep(0.01)
        return original(images)

    work.predict = slow
    assert work.run(100).images == 100
    assert work.most <= 3 * 2 * 4 + 2 * 2 + 4


def test_a_bad_image_or_place_is_named_and_the_others_go_on():
    work = Work()
    load, write = work.load, work.write

    def bad_load(item):
        if item == 2:
            raise DataError("item 2 is damaged")
        return load(item)

    def bad_write(item, predictions):
        if item == 5:
            raise OSError("disk full")
        write(item, predictions)

    work.load, work.write = bad_load, bad_write
    done = work.run(10)
    assert done.failed == [("2", "item 2 is damaged")]
    assert done.unwritten == [("5", "disk full")]
    assert sorted(work.written) == [0, 1, 3, 4, 6, 7, 8, 9]
    assert done.images == 8


def test_a_bug_stops_everything_and_says_where():
    work = Work()

    def bug(item):
        raise ValueError("oops")

    work.load = bug
    before = set(threading.enumerate())
    with pytest.raises(ValueError, match="oops") as caught:
        work.run(10)
    assert caught.value.__notes__ == ["while working on 0"]
    assert not [thread for thread in threading.enumerate() if thread not in before]


def test_loading_goes_on_while_the_network_predicts():
    """The first prediction waits until a later image is loaded; one after the other, it would wait for ever."""
    later, waited = threading.Event(), []
    work = Work()
    load, predict = work.load, work.predict

    def loading(item):
        if item >= 4:
            later.set()
        return load(item)

    def predicting(images):
        waited.append(later.wait(20))
        return predict(images)

    work.load, work.predict = loading, predicting
    assert work.run(12).images == 12
    assert all(waited)


def test_writing_goes_on_while_the_network_predicts():
    written, waited = threading.Event(), []
    work = Work()
    write, predict = work.write, work.predict

    def writing(item, predictions):
        write(item, predictions)
        written.set()

    def predicting(images):
        if work.batches:  # the first batch is on its way to the disk
            waited.append(written.wait(20))
        return predict(images)

    work.write, work.predict = writing, predicting
    assert work.run(12).images == 12
    assert all(waited)


def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="batch size 0 and 2 workers"):
        Work().run(1, batch_size=0)
