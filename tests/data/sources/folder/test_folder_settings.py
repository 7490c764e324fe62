"""dataset.yaml: every key that is wrong is named, with the near ones."""

from pathlib import Path

import pytest

from fake_folder import write_own
from fakes import write_files
from mgm.data.files import open_tree
from mgm.data.sources.folder import FolderSource
from mgm.data.sources.folder.settings import FolderSettings, read_settings
from mgm.errors import DataError
from mgm.tasks.files import CodedFiles, DepthFiles, NormalFiles

FULL = """
name: kitchens
classes: [wall, floor, {thing}]
scenes: folders
rgb: {folder: images, suffix: _rgb}
semantic:
  folder: labels
  ignore: [0, 255]
  colours: {wall: [1, 2, 3], floor: [4, 5, 6], {thing}: [7, 8, 9]}
  ignore_colours: [[0, 0, 0]]
depth: {unit: cm, missing: 0, max_m: 12.5}
normal: {axes: opengl}
edge_texture: {maximum: 255}
split: {validation: 0.1, test: 0.2}
notes: {depth: measured by a laser}
""".replace("{thing}", "thing")


def settings(folder, text: str) -> FolderSettings:
    return read_settings(open_tree(write_files(folder, {"dataset.yaml": text.encode()})))


def test_everything_at_once(tmp_path):
    found = settings(tmp_path, FULL)
    assert found.classes == ("wall", "floor", "thing")
    assert found.folder("rgb") == "images"
    assert found.folder("normal") == "normal"
    assert found.class_files.colours["floor"] == (4, 5, 6)
    assert found.class_files.ignore == (0, 255)
    assert found.files("depth") == DepthFiles(unit="cm", missing=(0.0,), max_m=12.5)
    assert found.files("edge_texture") == CodedFiles(maximum=255)
    assert found.split.test == 0.2


def test_nothing_is_the_default(tmp_path):
    assert settings(tmp_path, "") == settings(tmp_path, "# nothing\n") == FolderSettings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("depht: {unit: m}", "Did you mean 'depth'"),
        ("depth: {units: m}", "Did you mean 'unit'"),
        ("depth: {unit: inch}", "depth.unit: .*'m', 'cm' or 'mm'"),
        ("depth: {unit: m, scale: 2}", "not both"),
        ("depth: {scale: -1}", "positive"),
        ("depth: m", "depth must be a mapping"),
        ("normal: {axes: vulkan}", "normal.axes"),
        ("- a", "must be a mapping"),
        ("a: [", "is not valid YAML"),
        ("classes: [b, a, a]", "class 'a' is listed twice"),
        ("classes: 3", "classes: must be a list.*num_classes"),
        ("classes: [a, no]", "classes.1: must be text.*in quotes"),
        ("classes: [a, 1]", "classes.1: must be text, but YAML reads a number.*in quotes"),
        ("semantic: {values: {tree: 1, no: 2}}", "must be text.*in quotes"),
        ("semantic: {values: {1000: tree}}", "write the name before the number, as in {tree: 1000}"),
        ("depth: {scale: 0,04}", "4 is not the name of a setting; write decimals with a point"),
        ("depth: {unit: m}\ndepth: {unit: mm}", "line 2: the key 'depth' is repeated"),
        ("depth: {unit: m, unit: mm}", "line 1: the key 'unit' is repeated"),
        ("classes: wall", "classes: must be a list"),
        ("split: {validation: 0.6, test: 0.5}", "a sum below 1 to leave images for training"),
        ("semantic: {colours: {a: [1, 2]}}", "semantic.colours.a"),
        ("semantic: {colours: {a: [1, 2, 300]}}", "0..255"),
        ("semantic: {colours: {a: [1, 2, 3], b: [1, 2, 3]}}", "same colour"),
        ("classes: [a]\nsemantic: {colours: {b: [1, 2, 3]}}", "in only one of classes"),
        ("depth: {folder: rgb}", "a folder of its own"),
        ("depth: {folder: ../x}", "a folder of its own"),
        ("edge_texture: {maximum: -1}", "positive number"),
        ("parts: [Train]", "parts.0: .*'train', 'val' or 'test'"),
        *(
            (f"crop: {{{size}: {box}}}", "crop: .* must be top, bottom, left and right of a region within")
            for size, box in (
                ("8x8", [6, 2, 1, 7]),
                ("8x6", [2, 100, 0, 7]),
                ("8x6", [2, 5, -3, 7]),
                ("8 x 6", [2, 5, 3, 7]),
            )
        ),
    ],
)
def test_mistakes(tmp_path, text, message):
    with pytest.raises(DataError, match=rf"dataset.yaml.*{message}"):
        settings(tmp_path, text)


def test_the_example_in_the_documentation_is_right(tmp_path):
    text = (Path(__file__).parents[4] / "docs" / "data.md").read_text()
    found = settings(tmp_path, text.partition("```yaml\n")[2].partition("```")[0])
    assert found.classes == ("wall", "floor", "thing")
    assert found.files("normal") == NormalFiles(axes="opengl")
    assert found.files("depth") == DepthFiles(unit="cm", missing=(0.0, 65535.0), max_m=20.0)


def test_a_crop_for_images_of_another_size_is_said(tmp_path):
    folder = write_own(tmp_path, 1, scenes=False)
    write_files(folder, {"dataset.yaml": b"crop: {40x30: [0, 10, 0, 20]}"})
    assert FolderSource(folder).shape(0) == (10, 20)
    assert FolderSource(folder).warnings() == ()
    write_files(folder, {"dataset.yaml": b"crop: {30x40: [0, 10, 0, 20]}"})
    assert "crop has no effect on the images that were checked: they are 40x30" in FolderSource(folder).warnings()[0]


def test_comments_in_lists_of_names_are_skipped_and_a_name_twice_is_refused(tmp_path):
    folder = write_own(tmp_path, 1, tasks=("semantic",))
    (folder / "classes.txt").write_text("# my classes\nwall\n\n  # the rest\nfloor\nbox\n")
    assert FolderSource(folder).info.classes == ("wall", "floor", "box")
    (folder / "classes.txt").write_text("wall\nfloor\nwall\n")
    with pytest.raises(DataError, match=r"classes.txt: class 'wall' is listed twice"):
        FolderSource(folder).info  # noqa: B018
