"""A folder of one's own: what every form of file means, what belongs together, and how it is split."""

import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from fake_folder import npy, own_files, picture_arrays, tiff, write_own
from fakes import jpeg, png, write_files
from mgm.data import open_source
from mgm.data.sources.folder import FolderSource
from mgm.data.store import cached_store
from mgm.errors import ConfigError, DataError
from mgm.tasks import TASKS
from mgm.tasks.files import FileSettings
from mgm.tasks.taskonomy import CodedTask

ARRAYS = picture_arrays(1)
RGB = png(ARRAYS["rgb"])


def one(folder, yaml: str = "", **files: bytes):
    """The only sample of a folder, at its own width."""
    written = {
        "rgb/a.png": RGB,
        **{name.replace("__", "/").replace("_dot_", "."): data for name, data in files.items()},
    }
    if yaml:
        written["dataset.yaml"] = yaml.encode()
    return FolderSource(write_files(folder, written)).read(0, 40)


def nearest(values: np.ndarray) -> np.ndarray:
    """``[H, W, ...]`` of 30 rows at 40 rows."""
    return values[(2 * np.arange(40) + 1) * 30 // 80]


def test_is_what_any_other_folder_with_rgb_is(tmp_path):
    source = open_source(str(write_own(tmp_path / "photos")))
    assert isinstance(source, FolderSource)
    assert source.info.name == "photos"
    assert source.info.tasks == ("semantic", "depth", "normal")
    assert source.info.classes == ("class_0", "class_1", "class_2")
    assert source.info.scenes == ("hall", "kitchen", "office")
    assert not source.info.multi_hot
    sample = source.read(4, 16)
    assert sample.name == "photo_004"
    np.testing.assert_array_equal(sample.scene, [0, 0, 1])


def test_zip_reads_like_the_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name, content in {**own_files(4), "__MACOSX/rgb/._photo_000.jpg": b"x"}.items():
            archive.writestr(name if name.startswith("__") else f"photos/{name}", content)
    zipped = open_source(str(tmp_path / "photos.zip"))
    assert zipped.info == FolderSource(write_own(tmp_path / "photos", 4)).info
    assert len(cached_store(zipped, 16, str(tmp_path / "cache"))) == 4


@pytest.mark.parametrize(
    ("name", "content", "yaml"),
    [
        ("depth__a_dot_png", png((ARRAYS["depth"] * 1000).astype(np.uint16)), ""),
        ("depth__a_dot_npy", npy(ARRAYS["depth"].astype(np.float32)), ""),
        ("depth__a_dot_npy", npy((ARRAYS["depth"] * 1000).astype(np.int32)[None]), ""),
        ("depth__a_dot_npy", npy(np.where(ARRAYS["depth"] > 0, ARRAYS["depth"], np.nan)[..., None]), ""),
        ("depth__a_dot_tif", tiff(ARRAYS["depth"].astype(np.float32)), ""),
        ("depth__a_dot_tif", tiff((ARRAYS["depth"] * 1000).astype(np.uint16)), ""),
        ("depth__a_dot_png", png((ARRAYS["depth"] * 100).astype(np.uint16)), "depth: {unit: cm}"),
        ("depth__a_dot_png", png((ARRAYS["depth"] * 50).astype(np.uint8)), "depth: {scale: 0.02}"),
        ("dist__a_z_dot_png", png((ARRAYS["depth"] * 1000).astype(np.uint16)), "depth: {folder: dist, suffix: _z}"),
    ],
)
def test_depth_in_every_form_is_metres(tmp_path, name, content, yaml):
    depth = one(tmp_path, yaml, **{name: content}).targets["depth"][0]
    expected = nearest(ARRAYS["depth"])
    assert np.isnan(depth[expected == 0]).all()
    np.testing.assert_allclose(depth[expected > 0], expected[expected > 0], atol=0.02)


def test_depth_beyond_the_limit_or_of_missing_numbers_is_no_value(tmp_path):
    yaml = "depth: {max_m: 3, missing: [0, 1000]}"
    depth = one(tmp_path, yaml, depth__a_dot_png=png(np.full((30, 40), 1000, np.uint16))).targets["depth"]
    assert np.isnan(depth).all()
    (tmp_path / "depth/a.png").unlink()
    assert np.isnan(one(tmp_path, yaml, depth__a_dot_npy=npy(np.full((30, 40), 3.5))).targets["depth"]).all()


@pytest.mark.parametrize("axes", ["opencv", "opengl"])
@pytest.mark.parametrize("form", ["png", "npy", "planes"])
def test_normals_are_unit_vectors_in_our_frame(tmp_path, axes, form):
    own = ARRAYS["normal"] * ([1, -1, -1] if axes == "opengl" else 1)
    content = {
        "png": png(((own + 1) * 127.5).round().astype(np.uint8)),
        "npy": npy(own.astype(np.float32) * 1.2),
        "planes": npy(own.transpose(2, 0, 1)),
    }[form]
    name = "normal__a_dot_png" if form == "png" else "normal__a_dot_npy"
    normal = one(tmp_path, f"normal: {{axes: {axes}}}", **{name: content}).targets["normal"]
    np.testing.assert_allclose(np.linalg.norm(normal, axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(normal.transpose(1, 2, 0), nearest(ARRAYS["normal"]), atol=0.01)


def test_pixels_without_a_direction_have_no_normal(tmp_path):
    vectors = np.zeros((30, 40, 3), np.float32)
    vectors[:15] = (0, 0, -1)
    normal = one(tmp_path, normal__a_dot_npy=npy(vectors)).targets["normal"]
    assert np.isnan(normal[:, 20:]).all()
    assert np.isfinite(normal[:, :20]).all()
    black = one(tmp_path / "b", normal__a_dot_png=png(np.zeros((30, 40, 3), np.uint8))).targets["normal"]
    assert np.isnan(black).all()


VALID = np.arange(40)[None].repeat(30, 0) < 25


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        ("png", png((VALID * 255).astype(np.uint8))),
        ("png", png(VALID.astype(np.uint8))),
        ("png", png((VALID[:, :, None] * (0, 200, 0)).astype(np.uint8))),
        ("npy", npy(VALID)),
        ("npy", npy(VALID.astype(np.float32))),
        ("npy", npy((VALID[:, :, None] * (255, 0, 0)).astype(np.uint8))),
    ],
)
def test_masks_in_every_form_leave_the_valid_pixels(tmp_path, ending, content):
    depth = npy(np.full((30, 40), 2.0, np.float32))
    sample = one(tmp_path, depth__a_dot_npy=depth, **{f"mask__a_dot_{ending}": content})
    np.testing.assert_array_equal(np.isfinite(sample.targets["depth"][0]), nearest(VALID))


def test_labels_by_colour_and_names_in_order(tmp_path):
    colours = np.array([[255, 0, 0], [0, 0, 255], [0, 0, 0]], np.uint8)
    labels = np.arange(1200).reshape(30, 40) // 40 % 3
    yaml = "classes: [road, sky]\nsemantic: {colours: {sky: [0, 0, 255], road: [255, 0, 0]}}"
    sample = one(tmp_path, yaml, semantic__a_dot_png=png(colours[labels]))
    np.testing.assert_array_equal(sample.targets["semantic"], nearest(np.array([0, 1, 255])[labels]))
    with pytest.raises(DataError, match=r"a.png: colour \[9, 9, 9\] belongs to no class"):
        one(tmp_path, yaml, semantic__a_dot_png=png(np.full((30, 40, 3), 9, np.uint8)))


PALETTE_OF_OWN = ((0, 37, 74), (111, 148, 185), (222, 3, 40))
"""The first colours of the palette of `palette_png`."""


def test_classes_have_the_colours_that_the_data_have(tmp_path):
    own = write_own(tmp_path / "own", 3)
    assert open_source(str(own)).info.colours == PALETTE_OF_OWN
    store = cached_store(open_source(str(own)), 16, str(tmp_path / "cache"))
    assert store.info.colours == PALETTE_OF_OWN
    (own / "dataset.yaml").write_text("semantic: {values: {sky: 2, road: 0, wall: 1}}\n")
    assert open_source(str(own)).info.colours == (PALETTE_OF_OWN[2], *PALETTE_OF_OWN[:2])
    named = {
        "rgb/a.png": RGB,
        "semantic/a.png": RGB,
        "dataset.yaml": b"semantic: {colours: {a: [0, 0, 0], b: [9, 9, 9]}}",
    }
    assert open_source(str(write_files(tmp_path / "named", named))).info.colours == ((0, 0, 0), (9, 9, 9))


def test_where_label_maps_have_no_palette_or_one_of_greys_classes_have_the_usual_colours(tmp_path):
    labels = ARRAYS["semantic"]
    picture = Image.fromarray(labels).convert("P")
    picture.putdata(labels.ravel().tolist())
    picture.putpalette([level for level in range(256) for _ in range(3)])
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    for name, content in (("a.png", png(labels)), ("a.npy", npy(labels)), ("a.png", stream.getvalue())):
        files = {"rgb/a.png": RGB, f"semantic/{name}": content}
        folder = write_files(tmp_path / f"{len(content)}", files)
        assert open_source(str(folder)).info.colours == ()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int64])
def test_ignored_labels(tmp_path, kind):
    labels = np.arange(1200).reshape(30, 40) // 40 % 4
    content = png(labels.astype(kind)) if kind != np.int64 else npy(labels)
    name = "semantic__a_dot_png" if kind != np.int64 else "semantic__a_dot_npy"
    yaml = "classes: [a, b, c]\nsemantic: {ignore: 3}"
    semantic = one(tmp_path, yaml, **{name: content}).targets["semantic"]
    np.testing.assert_array_equal(semantic, nearest(np.array([0, 1, 2, 255])[labels]))


def test_coded_tasks(tmp_path):
    ramp = np.tile(np.linspace(0, 1, 40), (30, 1))
    sample = one(
        tmp_path,
        "edge_texture: {maximum: 1000}",
        edge_texture__a_dot_png=png((ramp * 1000).astype(np.uint16)),
        reshading__a_dot_png=png((ramp * 65535).astype(np.uint16)),
        principal_curvature__a_dot_png=png(np.dstack([ramp * 255, ramp * 0 + 128, ramp * 0]).astype(np.uint8)),
    )
    for task, channels in (("edge_texture", 1), ("reshading", 1), ("principal_curvature", 2)):
        assert sample.targets[task].shape == (channels, 40, 40)
        np.testing.assert_allclose(sample.targets[task][0, 5], ramp[0], atol=1 / 255)


def test_labels_are_found_in_the_same_sub_folder_or_by_their_unique_name(tmp_path):
    depth = [png(np.full((30, 40), value, np.uint16)) for value in (1000, 2000, 3000)]
    files = {
        "rgb/k/1.png": RGB, "rgb/o/1.png": RGB, "rgb/o/2.jpg": jpeg(ARRAYS["rgb"]),
        "depth/k/1.png": depth[0], "depth/o/1.png": depth[1], "depth/2.png": depth[2],
    }  # fmt: skip
    source = FolderSource(write_files(tmp_path, files))
    assert [source.read(index, 8).name for index in range(3)] == ["k/1", "o/1", "o/2"]
    assert [source.read(index, 8).targets["depth"][0, 0, 0] for index in range(3)] == [1, 2, 3]
    assert source.info.scenes == ("k", "o")
    np.testing.assert_array_equal(source.read(2, 8).scene, [0, 1])
    (tmp_path / "depth/1.png").write_bytes(depth[0])
    with pytest.raises(DataError, match=r"depth/1.png: 2 images have this name"):
        FolderSource(tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"rgb/a.png": RGB, "depth/b.png": b"x"}, r"depth/b.png: there is no image with this name"),
        ({"rgb/a.png": RGB, "rgb/a.jpg": RGB, "depth/a.png": b"x"}, r"rgb/a.* belong to the same image"),
        ({"rgb/a.png": RGB, "depth/a.png": b"x", "depth/a.npy": b"x"}, r"depth/a.* belong to the same image"),
        ({"rgb/a.png": RGB}, "no image has a label"),
        ({"rgb/a.txt": b"x", "depth/a.png": b"x"}, "has no images below rgb/"),
    ],
)
def test_what_does_not_belong_together(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        FolderSource(write_files(tmp_path, files))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("depth__a_dot_png", png(np.ones((30, 40), np.uint8)), "8-bit, which cannot hold millimetres"),
        ("depth__a_dot_png", png(ARRAYS["rgb"]), "has 3 channels, but one number per pixel is needed; .*false colours"),
        ("depth__a_dot_png", png(np.ones((30, 40, 3), np.uint8)), "8-bit, which cannot hold millimetres"),
        ("reshading__a_dot_png", png(ARRAYS["rgb"]), "has 3 channels, but one number per pixel is needed"),
        ("depth__a_dot_png", png(np.ones((31, 40), np.uint16)), "40 x 31 pixels but .*rgb/a.png is 40 x 30"),
        ("depth__a_dot_npy", npy(np.ones((2, 30, 40, 3))), "not H x W"),
        ("depth__a_dot_npy", npy(np.full((30, 40), 1e6)), "1e\\+06 m is impossible"),
        ("normal__a_dot_png", png(np.ones((30, 40), np.uint8)), "three channels"),
        ("normal__a_dot_npy", npy(np.ones((30, 40, 3), np.int32)), "8-bit RGB or floats"),
        ("semantic__a_dot_npy", npy(np.full((30, 40), 1.5)), "label 1.5 is not an integer"),
        ("reshading__a_dot_npy", npy(np.full((30, 40), 3.0)), "set 'maximum' of the task in dataset.yaml"),
        ("principal_curvature__a_dot_png", png(np.ones((30, 40), np.uint8)), "2 are needed"),
        ("depth__a_dot_png", b"", "empty"),
    ],
)
def test_wrong_files_are_named_with_the_remedy(tmp_path, name, content, message):
    with pytest.raises(DataError, match=rf"/{name.replace('__', '/').replace('_dot_', '.')}.*{message}"):
        one(tmp_path, "classes: [a]", **{name: content})


def test_label_out_of_range(tmp_path):
    with pytest.raises(DataError, match=r"semantic/a.png: label 2 is neither a class \(0..1\)"):
        one(tmp_path, "classes: [a, b]", semantic__a_dot_png=png(ARRAYS["semantic"]))


def test_missing_labels_are_invalid_and_unlabelled_images_are_for_training(tmp_path):
    folder = write_own(tmp_path / "photos", 20)
    for index in (0, 3, 7):
        for task in ("semantic", "depth", "normal"):
            (folder / task / f"photo_{index:03d}.png").unlink()
    (folder / "depth/photo_001.png").unlink()
    source = FolderSource(folder)
    assert (source.read(0, 8).targets["semantic"] == 255).all()
    assert np.isnan(source.read(1, 8).targets["depth"]).all()
    assert source.info.notes["files"] == "20 images; 3 without semantic, 4 without depth, 3 without normal"
    store = cached_store(source, 8, str(tmp_path / "cache"))
    assert np.flatnonzero(~store.labelled(source.info.tasks).any(axis=1)).tolist() == [0, 3, 7]
    assert np.flatnonzero(~store.labelled(["depth"])).tolist() == [0, 1, 3, 7]
    for seed in range(5):
        splits = source.splits("random", seed)
        assert {0, 3, 7} <= set(splits.train.tolist())
        assert len(splits.validation) == len(splits.test) == 3  # 15 % of the 17 labelled ones
        assert sorted(np.concatenate([splits.train, splits.validation, splits.test])) == list(range(20))


def test_given_test_set_stays_and_validation_is_made(tmp_path):
    folder = write_own(tmp_path / "photos", 20)
    lines = ["name,label,split", *(f"photo_{i:03d},k{i % 2},{'test' if i < 5 else ''}" for i in range(20))]
    (folder / "labels.csv").write_text("\n".join(lines))
    source = FolderSource(folder)
    assert source.split_kinds == ("random",)
    splits = source.splits("random", 3)
    assert splits.test.tolist() == [0, 1, 2, 3, 4]
    assert len(splits.validation) == 2
    with pytest.raises(ConfigError, match="Choices: random"):
        source.splits("official", 0)


def test_classes_are_named_where_somebody_names_them(tmp_path):
    folder = write_own(tmp_path, 3)
    (folder / "classes.txt").write_text("wall\nfloor\nbox\n")
    assert FolderSource(folder).info.classes == ("wall", "floor", "box")
    (folder / "dataset.yaml").write_text("classes: [a, b, c, d]\nname: mine\nnotes: {depth: of a laser}")
    info = FolderSource(folder).info
    assert info.classes == ("a", "b", "c", "d")
    assert (info.name, info.notes["depth"]) == ("mine", "of a laser")


def test_counting_classes_of_too_many_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mgm.data.sources.folder.label_maps.MOST_SCANNED", 2)
    with pytest.raises(DataError, match="list the class names in dataset.yaml"):
        FolderSource(write_own(tmp_path, 3)).info  # noqa: B018


def test_remarks_tell_normals_that_are_not_of_unit_length(tmp_path):
    one(tmp_path, normal__a_dot_npy=npy(ARRAYS["normal"] * 0.6))
    source = FolderSource(tmp_path)
    assert "100 % of the normals are not of unit length" in source.remarks(0)[0]
    assert FolderSource(write_own(tmp_path / "good", 1, scenes=False)).remarks(0) == ()
    one(tmp_path / "bytes", normal__a_dot_npy=npy((ARRAYS["normal"] + 1) * 127.5))
    assert "0 to 255, save it as uint8" in FolderSource(tmp_path / "bytes").remarks(0)[0]


def test_remarks_tell_depth_that_is_negative(tmp_path):
    one(tmp_path, depth__a_dot_npy=npy(-ARRAYS["depth"]))
    assert "negative, which means no value; write distances as positive" in FolderSource(tmp_path).remarks(0)[0]


def test_no_label_and_nothing_else_ends_the_sentence(tmp_path):
    with pytest.raises(DataError, match=r"docs/own_field.md\)$"):
        FolderSource(write_files(tmp_path, {"rgb/a.png": png(ARRAYS["rgb"]), "rgb/semantic/a.png": png(ARRAYS["rgb"])}))


def test_a_new_task_is_read_without_a_change_of_the_reader(tmp_path, monkeypatch):
    class Heat(CodedTask):
        name = "heat"
        num_channels = 2
        file_settings = FileSettings

    monkeypatch.setitem(TASKS, "heat", Heat)
    values = np.stack([ARRAYS["depth"], -ARRAYS["depth"]], axis=2)
    sample = one(tmp_path, "heat: {folder: degrees}", degrees__a_dot_npy=npy(values))
    np.testing.assert_allclose(sample.targets["heat"].transpose(1, 2, 0), nearest(values), rtol=1e-6)
    store = cached_store(FolderSource(tmp_path), 8, str(tmp_path / "cache"))
    assert store.arrays["heat"].shape == (1, 2, 8, 8)


def test_groups_of_a_table_stay_together(tmp_path):
    folder = write_own(tmp_path, 12, scenes=False)
    rows = "".join(f"photo_{index:03d},{index // 2}\n" for index in range(12))
    write_files(folder, {"labels.csv": f"name,building\n{rows}".encode(), "dataset.yaml": b"table: {group: building}"})
    source = FolderSource(folder)
    assert (source.split_kinds, source.info.scenes) == (("random", "building"), ())
    splits = source.splits("building", 0)
    parts = [set((part // 2).tolist()) for part in (splits.train, splits.validation, splits.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 6


def depths(folder, *maps: np.ndarray, yaml: str = "") -> FolderSource:
    """A folder of arrays of depth."""
    files = {f"rgb/{number}.png": RGB for number in range(len(maps))}
    files |= {f"depth/{number}.npy": npy(values) for number, values in enumerate(maps)}
    return FolderSource(write_files(folder, files | ({"dataset.yaml": yaml.encode()} if yaml else {})))


def test_a_file_in_another_unit_than_the_others_is_refused(tmp_path):
    depth = ARRAYS["depth"].astype(np.float32)
    source = depths(tmp_path, depth, depth * 9, depth * 1000, depth / 9)
    for index in (0, 1, 3):
        source.read(index, 8)
    with pytest.raises(DataError, match=r"depth/2.npy: the median is .*in most files: this file is in another unit"):
        source.read(2, 8)


@pytest.mark.parametrize("number, said", [(65535, True), (10000, True), (20000, True), (9000, False), (0, False)])
def test_a_number_that_may_mean_no_value_is_said(tmp_path, number, said):
    values = np.tile(np.linspace(500, 8000, 40).astype(np.uint16), (30, 1))
    values[:3] = number
    source = depths(tmp_path / "a", values)
    pattern = rf"depth/0.npy: 10 % of the pixels have the number {number:g}, .*'missing: {number:g}'"
    for texts in (source.warnings(), source.remarks(0)):
        assert [bool(re.search(pattern, text)) for text in texts] == [True] * said
    assert depths(tmp_path / "b", values, yaml=f"depth: {{missing: {number}}}").warnings() == ()


def test_numbers_of_own_tasks_that_may_mean_no_value_are_said(tmp_path):
    values = np.tile(np.linspace(-3, 40, 40, dtype=np.float32), (30, 1))
    values[:3] = -9999
    yaml = "tasks: {height: {unit: m, range: [-10, 50]%s}}"
    one(tmp_path, yaml % "", height__a_dot_npy=npy(values))
    assert "'missing: -9999'" in FolderSource(tmp_path).warnings()[0]
    one(tmp_path, yaml % ", missing: -9999", height__a_dot_npy=npy(values))
    assert FolderSource(tmp_path).warnings() == ()


def test_normals_coded_as_fractions_from_0_to_1_are_told_by_their_lengths(tmp_path):
    coded = ((ARRAYS["normal"] + 1) / 2).astype(np.float32)
    coded[0] = 0
    normal = one(tmp_path, normal__a_dot_npy=npy(coded)).targets["normal"].transpose(1, 2, 0)
    np.testing.assert_allclose(normal[2:], nearest(ARRAYS["normal"])[2:], atol=1e-6)
    assert np.isnan(normal[0]).all()
    assert FolderSource(tmp_path).remarks(0) == ()
    positive = np.broadcast_to(np.array([0.0, 0.6, 0.8], np.float32), (30, 40, 3))
    normal = one(tmp_path / "b", "normal: {axes: opengl}", normal__a_dot_npy=npy(positive)).targets["normal"]
    np.testing.assert_allclose(normal[:, 5, 5], (0, -0.6, -0.8), atol=1e-6)


def test_jpeg_of_numbers_is_said(tmp_path):
    grey = np.tile(np.linspace(10, 250, 40).astype(np.uint8), (30, 1))
    one(tmp_path, "depth: {scale: 0.04}", depth__a_dot_jpg=jpeg(grey))
    assert "1 files of depth are JPEG, such as depth/a.jpg" in FolderSource(tmp_path).warnings()[0]


def test_what_the_official_split_lacks_is_said(tmp_path):
    depth = png(np.ones((30, 40), np.uint16))
    parts = [f"{part}/{{}}/{index}.png" for part in ("train", "test") for index in range(4)]
    files = {part.format(kind): content for part in parts for kind, content in (("rgb", RGB), ("depth", depth))}
    source = FolderSource(write_files(tmp_path, files))
    with pytest.raises(ConfigError, match="it needs the part 'val'.*official_validation"):
        source.splits("official", 0)
    (tmp_path / "test").rename(tmp_path / "val")
    with pytest.raises(ConfigError, match="it needs the part 'test'"):
        FolderSource(tmp_path).splits("official", 0)


def test_names_match_however_their_letters_are_composed(tmp_path):
    composed, apart = "k\u00fcche/\u00e9", "ku\u0308che/e\u0301"
    depth = png(np.ones((30, 40), np.uint16))
    files = {
        f"rgb/{composed}.png": RGB,
        f"depth/{apart}.png": depth,
        "labels.csv": f"name,split\n{apart},test".encode(),
    }
    source = FolderSource(write_files(tmp_path, files))
    assert source.read(0, 8).name == composed
    assert (source.read(0, 8).targets["depth"] == 0.001).all()
    write_files(tmp_path, {f"depth/{composed}.png": depth})
    with pytest.raises(DataError, match="belong to the same image .their names look the same"):
        FolderSource(tmp_path)


def test_empty_folders_are_named(tmp_path):
    (tmp_path / "rgb").mkdir()
    (tmp_path / "semantic").mkdir()
    with pytest.raises(DataError, match="has no files in rgb/, semantic/; put images into rgb/"):
        open_source(str(tmp_path))


def test_zip_with_backslashes_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in own_files(3).items():
            member = zipfile.ZipInfo("x")
            member.filename = f"photos\\{name}".replace("/", "\\")
            archive.writestr(member, content)
    source = open_source(str(tmp_path / "a.zip"))
    assert source.read(1, 8).name == "photo_001"
