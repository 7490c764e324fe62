"""Label maps of which nobody says what they mean: shades, single classes, numbers that interpolation made up."""

import io

import numpy as np
import pytest
from PIL import Image

from fake_folder import PALETTE, palette_png, picture_arrays
from fakes import jpeg, png, write_files
from mgm.data.sources.folder import FolderSource
from mgm.data.sources.folder.label_maps import grey_levels, interpolated_share
from mgm.errors import DataError

BLOCKS = np.zeros((30, 40), np.uint8)
BLOCKS[10:20, :20], BLOCKS[15:, 20:] = 1, 2


def folder_of(path, *maps: np.ndarray, yaml: str = "", encode=png, ending: str = "png"):
    files = {f"rgb/{number}.png": png(picture_arrays(number)["rgb"]) for number in range(len(maps))}
    files |= {f"semantic/{number}.{ending}": encode(labels) for number, labels in enumerate(maps)}
    return FolderSource(write_files(path, files | ({"dataset.yaml": yaml.encode()} if yaml else {})))


@pytest.mark.parametrize("shades", [(0, 255, 255), (0, 128, 255), (0, 100, 200), (0, 127, 254), (0, 65535, 65535)])
def test_shades_are_classes_and_that_is_said(tmp_path, shades):
    kind = np.uint16 if max(shades) > 255 else np.uint8
    source = folder_of(tmp_path, np.array(shades, kind)[BLOCKS])
    levels = sorted(set(shades))
    assert source.info.classes == tuple(f"class_{level}" for level in levels)
    expected = np.array([levels.index(shade) for shade in shades])[BLOCKS]
    np.testing.assert_array_equal(
        source.read(0, 40).targets["semantic"][::4], expected[np.arange(0, 40, 4) * 3 // 4 + 0]
    )
    assert f"the numbers {', '.join(map(str, levels))}, each of which" in source.warnings()[0]


def test_numbers_that_count_stay_as_they_are():
    for counted in ((0, 1, 2), (0, 1, 255), (7, 8, 11), (1, 255), (0, 20, 255), (0,), (0, 2, 255)):
        assert grey_levels(counted) == ()


def test_named_shades(tmp_path):
    yaml = "semantic: {values: {object: 255, ground: 0}, ignore: 128}"
    source = folder_of(tmp_path, np.array([0, 128, 255], np.uint8)[BLOCKS], yaml=yaml)
    assert source.info.classes == ("object", "ground")
    labels = source.read(0, 40).targets["semantic"]
    assert (np.unique(labels) == [0, 1, 255]).all()
    assert (labels == 255).sum() == (labels == 255)[:, :20].sum() > 0
    with pytest.raises(DataError, match=r"0.png: label 7 is not in \[0, 255\]; if it is a class, .*ignore: 7"):
        folder_of(tmp_path / "b", BLOCKS * 7, yaml="semantic: {values: {object: 255, ground: 0}}").read(0, 8)
    with pytest.raises(DataError, match="'thing' is in only one of classes and semantic: values"):
        folder_of(tmp_path / "c", BLOCKS, yaml="classes: [a, thing]\nsemantic: {values: {a: 0}}")


def test_shades_with_settings_or_names_are_not_guessed(tmp_path):
    shades = np.array([0, 128, 255], np.uint8)[BLOCKS]
    assert len(folder_of(tmp_path / "a", shades, yaml="semantic: {first: 0}").info.classes) == 129
    with pytest.raises(DataError, match="label 128 is neither a class"):
        folder_of(tmp_path / "b", shades, yaml="classes: [a, b]").read(0, 8)


def test_negative_labels_name_the_setting(tmp_path):
    def npy(labels):
        np.save(tmp_path / "x.npy", labels)
        return (tmp_path / "x.npy").read_bytes()

    labels = BLOCKS.astype(np.int64) - 1
    with pytest.raises(DataError, match=r"label -1 is neither .*'ignore: -1' for the task in dataset.yaml"):
        folder_of(tmp_path / "a", labels, encode=npy, ending="npy").read(0, 8)
    source = folder_of(tmp_path / "b", labels, encode=npy, ending="npy", yaml="semantic: {ignore: -1}")
    assert len(source.info.classes) == 2


def test_label_maps_as_jpeg_are_refused(tmp_path):
    with pytest.raises(DataError, match="no label map has a class.*lossy compression"):
        folder_of(tmp_path / "a", BLOCKS * 100, encode=lambda m: jpeg(np.repeat(m[..., None], 3, 2)), ending="jpg").info  # noqa: B018
    yaml = "semantic: {colours: {a: [0, 0, 0], b: [100, 100, 100], c: [200, 200, 200]}}"
    source = folder_of(
        tmp_path / "b", BLOCKS * 100, encode=lambda m: jpeg(np.repeat(m[..., None], 3, 2)), ending="jpg", yaml=yaml
    )
    with pytest.raises(DataError, match="lossy compression"):
        source.read(0, 8)


@pytest.mark.parametrize("shades", [(0, 100, 200), (0, 9, 3)])
def test_interpolated_label_maps_are_suspected(tmp_path, shades):
    labels = np.array(shades, np.uint8)[np.random.default_rng(0).integers(0, 3, (6, 8)).repeat(10, 0).repeat(10, 1)]
    assert interpolated_share([labels]) == 0
    scaled = np.array(Image.fromarray(labels).resize((40, 30), Image.Resampling.BICUBIC))
    source = folder_of(tmp_path, scaled)
    assert "pass through a third class" in " ".join(source.warnings())
    assert folder_of(tmp_path / "clean", labels[::2, ::2]).warnings()[-1:] != source.warnings()[-1:]


def test_palettes_count_as_their_indices(tmp_path):
    assert folder_of(tmp_path, BLOCKS, encode=palette_png).info.classes == ("class_0", "class_1", "class_2")


def permuted_palette_png(labels: np.ndarray) -> bytes:
    """The same colours as of `palette_png`, at other indices."""
    order = np.array([2, 0, 1])
    picture = Image.fromarray(np.argsort(order)[labels].astype(np.uint8)).convert("P")
    picture.putdata(np.argsort(order)[labels].ravel().tolist())
    picture.putpalette([PALETTE[3 * index + channel] for index in order for channel in range(3)])
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("yaml", ["", "classes: [a, b, c]"])
def test_an_index_of_two_colours_is_refused(tmp_path, yaml):
    source = folder_of(tmp_path, BLOCKS, BLOCKS, BLOCKS[::-1], encode=palette_png, yaml=yaml)
    assert np.unique(source.read(2, 8).targets["semantic"]).tolist() == [0, 1, 2]
    (tmp_path / "semantic/1.png").write_bytes(permuted_palette_png(BLOCKS))
    source = FolderSource(tmp_path)
    with pytest.raises(
        DataError, match=r"semantic/1.png: index 0 has the colour .*semantic/0.png: their palettes differ.*'colours:"
    ):
        source.read(1, 8)
    for good in (0, 2):
        source.read(good, 8)
    colours = {name: PALETTE[3 * index : 3 * index + 3] for index, name in enumerate("abc")}
    write_files(tmp_path, {"dataset.yaml": f"semantic: {{colours: {colours}}}".encode()})
    first, second, _ = (FolderSource(tmp_path).read(index, 8).targets["semantic"] for index in range(3))
    np.testing.assert_array_equal(first, second)


def test_indices_that_do_not_occur_may_have_any_colour(tmp_path):
    folder_of(tmp_path, BLOCKS % 2, BLOCKS, encode=palette_png)
    picture = Image.fromarray(BLOCKS % 2).convert("P")
    picture.putdata((BLOCKS % 2).ravel().tolist())
    picture.putpalette([*PALETTE[:6], 1, 2, 3])
    picture.save(tmp_path / "semantic/0.png")
    source = FolderSource(tmp_path)
    assert {len(np.unique(source.read(index, 8).targets["semantic"])) for index in range(2)} == {2, 3}


@pytest.mark.parametrize(
    ("first", "classes", "targets"),
    [
        ("auto", ("class_0", "class_1", "class_2", "class_3"), [1, 2, 3]),
        ("1", ("class_1", "class_2", "class_3"), [0, 1, 2]),
    ],
)
def test_unnamed_classes_are_counted_from_the_first(tmp_path, first, classes, targets):
    source = folder_of(tmp_path, BLOCKS + 1, yaml=f"semantic: {{first: {first}}}")
    assert source.info.classes == classes
    assert np.unique(source.read(0, 8).targets["semantic"]).tolist() == targets


@pytest.mark.parametrize("stray", [[254], [3], list(range(1, 255))])
def test_a_few_odd_pixels_do_not_turn_shades_into_labels_without_class(tmp_path, stray):
    shades = np.repeat(np.array([0, 255, 255], np.uint8)[BLOCKS], 5, axis=1)
    odd = shades.copy()
    odd.flat[: len(stray)] = stray
    with pytest.raises(DataError, match=rf"1.png: label {stray[-1]} .*nearly all have 0, 255.*a: 0, b: 255.*ignore: "):
        folder_of(tmp_path, shades, odd, shades).info  # noqa: B018
    yaml = f"semantic: {{values: {{a: 0, b: 255}}, ignore: {stray}}}"
    assert folder_of(tmp_path, shades, odd, yaml=yaml).info.classes == ("a", "b")


def test_small_classes_beside_no_class_stay_classes(tmp_path):
    labels = np.array([0, 255, 255], np.uint8)[BLOCKS]
    labels[0, :3] = (1, 2, 3)
    assert len(folder_of(tmp_path, labels).info.classes) == 4


def test_numbers_of_16_bits_name_the_file_and_what_to_write(tmp_path):
    with pytest.raises(DataError, match=r"0.png: label 1002 is out of range: .*ignore: 1002.*values: "):
        folder_of(tmp_path, BLOCKS.astype(np.uint16) + 1000).info  # noqa: B018


def counted(path, *largest: int, classes: str = "") -> str:
    """Warnings about label maps with the numbers from 1 to these, in patches."""
    maps = [np.repeat(np.arange(number + 1, dtype=np.uint8), 40).reshape(-1, 8) for number in largest]
    maps = [np.pad(labels, ((0, 205 - len(labels)), (0, 0))) for labels in maps]
    files = {f"rgb/{number}.png": png(np.full((205, 8, 3), number * 9, np.uint8)) for number in range(len(maps))}
    files |= {f"semantic/{number}.png": png(labels) for number, labels in enumerate(maps)}
    return " ".join(
        FolderSource(write_files(path, files | ({"classes.txt": classes.encode()} if classes else {}))).warnings()
    )


def test_numbers_of_single_objects_are_not_taken_for_classes_in_silence(tmp_path):
    said = "number the single objects of each image"
    assert said in counted(tmp_path / "cells", 12, 7, 31, 18, 9, 22)
    assert said not in counted(tmp_path / "classes", 11, 11, 10, 11, 11, 10)
    assert said not in counted(tmp_path / "few", 2, 1, 3, 2, 4, 1)
    names = "".join(f"kind {number}\n" for number in range(32))
    assert said not in counted(tmp_path / "named", 12, 7, 31, 18, 9, 22, classes=names)
