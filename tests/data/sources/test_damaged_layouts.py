"""Files of the public layouts, damaged at random: every one ends in a clean error or a correct read."""

import random

import pytest

from fake_layouts import write_authors, write_cityscapes, write_mtan, write_nyuv2_mat, write_taskonomy
from mgm.data import open_source
from mgm.data.base import check_sample
from mgm.errors import MgmError

NUM_DAMAGED = 40
WRITERS = {
    "nyuv2_mat": lambda folder: write_nyuv2_mat(folder, count=2),
    "taskonomy": lambda folder: write_taskonomy(folder, buildings=("allensville",), views=2),
    "taskonomy_old": lambda folder: write_taskonomy(folder, "old", buildings=("allensville",), views=2),
    "cityscapes": lambda folder: write_cityscapes(folder, {"train/zurich": 2}),
    "mtan": lambda folder: write_mtan(folder, counts=(2, 1)),
    "authors": lambda folder: write_authors(folder, per_scene=1),
}


def damage(dice, content, other):
    """Cut, overwritten, replaced or emptied."""
    how = dice.randrange(5)
    if how == 0:
        return content[: dice.randrange(len(content) + 1)]
    if how == 1:
        changed = bytearray(content)
        for _ in range(dice.randint(1, 20)):
            changed[dice.randrange(min(len(changed), dice.choice([200, 4000, 10**8])))] = dice.randrange(256)
        return bytes(changed)
    return (dice.randbytes(dice.randrange(300)), other, b"")[how - 2]


@pytest.mark.parametrize("layout", WRITERS)
def test_damage_never_escapes(layout, tmp_path):
    folder = WRITERS[layout](tmp_path / layout)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    dice = random.Random(layout)
    messages = []
    for _ in range(NUM_DAMAGED):
        file = dice.choice(files)
        whole = file.read_bytes()
        file.write_bytes(damage(dice, whole, dice.choice(files).read_bytes()))
        try:
            source = open_source(str(folder))
            for index in range(len(source)):
                check_sample(source.read(index, 16), source.info, 16)
        except MgmError as error:
            messages.append(str(error))
        finally:
            file.write_bytes(whole)
    assert len(messages) > NUM_DAMAGED // 5
    assert all(str(folder) in message for message in messages)
