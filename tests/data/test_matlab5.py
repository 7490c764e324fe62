"""MATLAB files: what SciPy writes is read, and nothing that is damaged raises anything but a clean error."""

import io
import random
import struct

import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_array

from mgm.data.matlab5 import MAX_DEPTH, read_matlab5
from mgm.errors import DataError


def written(variables, **options):
    stream = io.BytesIO()
    savemat(stream, variables, **options)
    return stream.getvalue()


def cells(*values):
    array = np.empty((1, len(values)), object)
    array[0] = values
    return array


VARIABLES = {
    "numbers": np.arange(12, dtype=np.uint16).reshape(3, 4),
    "cube": np.arange(24.0).reshape(2, 3, 4),
    "one": np.array([[7]], np.uint8),
    "names": cells("wall", "floor", "night stand", "Wände", ""),
    "mixed": cells(np.arange(3), "text", cells("inner")),
    "structure": {"labels13": np.array([[12, 5]], np.uint8), "class13": cells("bed", "books")},
    "a_name_of_more_than_four_letters": np.zeros((0, 0)),
}


@pytest.mark.parametrize("compressed", [False, True])
def test_reads_what_scipy_writes(compressed):
    read = read_matlab5(written(VARIABLES, do_compression=compressed), "file")
    assert set(read) == set(VARIABLES)
    for name in ("numbers", "cube", "one"):
        np.testing.assert_array_equal(read[name], VARIABLES[name])
    assert read["names"] == ["wall", "floor", "night stand", "Wände", ""]
    np.testing.assert_array_equal(np.ravel(read["mixed"][0]), [0, 1, 2])
    assert read["mixed"][1:] == ["text", ["inner"]]
    np.testing.assert_array_equal(read["structure"]["labels13"], [[12, 5]])
    assert read["structure"]["class13"] == ["bed", "books"]


def test_numbers_may_be_stored_in_a_smaller_type():
    content = bytearray(written({"x": np.array([[1.0, 2.0]])}))
    # doubles as MATLAB stores small integers: two bytes as a small element
    place = content.index(struct.pack("<II", 9, 16))
    content[place : place + 24] = struct.pack("<HHBBxx", 2, 2, 1, 2)
    outer = struct.unpack_from("<I", content, 132)[0]
    struct.pack_into("<I", content, 132, outer - 16)
    np.testing.assert_array_equal(read_matlab5(bytes(content), "file")["x"], [[1, 2]])


def test_structures_of_several_elements():
    several = np.array([[(1.0, "a"), (2.0, "b")]], dtype=[("number", object), ("text", object)])
    read = read_matlab5(written({"s": several}), "file")["s"]
    assert [float(np.ravel(value)[0]) for value in read["number"]] == [1, 2]
    assert read["text"] == ["a", "b"]


def test_other_classes_are_left_out():
    read = read_matlab5(written({"sparse": csc_array(np.eye(3)), "dense": np.eye(2)}), "file")
    assert list(read) == ["dense"]


def test_big_endian():
    # flags, dimensions, name and one byte of data, written by hand
    array = b"".join(
        (
            struct.pack(">IIII", 6, 8, 9, 0),
            struct.pack(">IIii", 5, 8, 1, 1),
            struct.pack(">HHBxxx", 1, 1, ord("x")),
            struct.pack(">HHBxxx", 1, 2, 42),
        )
    )
    content = b" " * 124 + b"\x01\x00MI" + struct.pack(">II", 14, len(array)) + array
    assert read_matlab5(content, "file")["x"].tolist() == [[42]]


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 300, b"MATLAB 7.3 MAT-file".ljust(512, b"\0")])
def test_no_matlab_file(content):
    with pytest.raises(DataError, match="file: is no readable MATLAB 5 file"):
        read_matlab5(content, "file")


def test_endless_nesting_is_refused():
    value = "core"
    for _ in range(MAX_DEPTH + 2):
        value = cells(value)
    with pytest.raises(DataError, match="nested too deeply"):
        read_matlab5(written({"x": value}), "file")


def test_claimed_sizes_are_not_believed():
    content = written({"x": cells("a", "b")})
    claim = content.replace(struct.pack("<ii", 1, 2), struct.pack("<ii", 30000, 30000), 1)
    assert claim != content
    with pytest.raises(DataError, match="900000000 cells"):
        read_matlab5(claim, "file")


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_files_end_in_a_clean_error_or_are_read(compressed):
    content = written(VARIABLES, do_compression=compressed)
    dice = random.Random(0)
    clean = 0
    for _ in range(400):
        damaged = bytearray(content)
        for _ in range(dice.randint(1, 6)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        if dice.random() < 0.3:
            damaged = damaged[: dice.randrange(len(damaged))]
        try:
            read_matlab5(bytes(damaged), "file")
        except DataError:
            clean += 1
    assert clean > 100
