"""Annotations of labelling tools become a folder that trains."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mgm.data import open_source
from mgm.data.annotations import import_annotations
from mgm.errors import ConfigError, DataError

pytest.importorskip("datumaro", reason="needs the extra import")
HEIGHT, WIDTH = 20, 30
CELL, NUCLEUS = (2, 2, 22, 2, 22, 18, 2, 18), (10, 5, 26, 5, 26, 9, 10, 9)
"""Corners x, y; the nucleus is the smaller one and overlaps the cell."""


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 30)).save(path)


def write_coco(folder: Path, name: str = "one.jpg", **changes: object) -> Path:
    write_image(folder / "images/train/one.jpg")
    shapes = [NUCLEUS, CELL]
    annotations = [
        {
            "id": k,
            "image_id": 1,
            "category_id": 9 - k,
            "segmentation": [list(shape)],
            "area": 1,
            "bbox": [0, 0, 1, 1],
            "iscrowd": 0,
        }
        for k, shape in enumerate(shapes, 1)
    ]
    content = {
        "images": [{"id": 1, "file_name": name, "width": WIDTH, "height": HEIGHT}],
        "annotations": annotations,
        "categories": [{"id": 7, "name": "cell"}, {"id": 8, "name": "nucleus"}],
        **changes,
    }
    (folder / "annotations").mkdir()
    (folder / "annotations/instances_train.json").write_text(json.dumps(content))
    return folder


def write_cvat(folder: Path) -> Path:
    write_image(folder / "images/one.jpg")
    shapes = "".join(
        f'<polygon label="{label}" occluded="0" z_order="{layer}" points="{points(shape)}"></polygon>'
        for label, shape, layer in (("cell", CELL, 0), ("nucleus", NUCLEUS, 1))
    )
    labels = "".join(f"<label><name>{name}</name><attributes></attributes></label>" for name in ("cell", "nucleus"))
    (folder / "annotations.xml").write_text(
        f'<?xml version="1.0"?><annotations><version>1.1</version><meta><task><labels>{labels}</labels></task></meta>'
        f'<image id="0" name="one.jpg" width="{WIDTH}" height="{HEIGHT}">{shapes}'
        '<box label="cell" occluded="0" xtl="1" ytl="1" xbr="5" ybr="5" z_order="0"></box></image></annotations>'
    )
    return folder


def write_voc(folder: Path) -> Path:
    for name in ("one", "two"):
        write_image(folder / f"JPEGImages/{name}.jpg")
        colours = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        colours[2:18, 2:22] = (128, 0, 0)
        colours[5:9, 10:26] = (0, 128, 0)
        (folder / "SegmentationClass").mkdir(exist_ok=True)
        Image.fromarray(colours).save(folder / f"SegmentationClass/{name}.png")
    (folder / "labelmap.txt").write_text("background:0,0,0::\ncell:128,0,0::\nnucleus:0,128,0::\n")
    (folder / "ImageSets/Segmentation").mkdir(parents=True)
    (folder / "ImageSets/Segmentation/train.txt").write_text("one\n")
    (folder / "ImageSets/Segmentation/val.txt").write_text("two\n")
    return folder


def points(corners: tuple[int, ...]) -> str:
    return ";".join(f"{x},{y}" for x, y in zip(corners[::2], corners[1::2], strict=True))


WRITERS = {"coco": write_coco, "cvat": write_cvat, "voc": write_voc}


@pytest.mark.parametrize("kind", WRITERS)
def test_areas_become_classes_the_smaller_or_upper_above(kind, tmp_path):
    out = tmp_path / "out"
    done = import_annotations(kind, WRITERS[kind](tmp_path / "export"), out)
    labels = np.asarray(Image.open(out / "semantic/one.png"))
    assert done.classes == ["background", "cell", "nucleus"]
    assert len(done.remarks) == (kind == "cvat")
    assert labels.shape == (HEIGHT, WIDTH)
    assert (labels[0, 0], labels[15, 5], labels[7, 15], labels[7, 24]) == (0, 1, 2, 2)
    assert abs(int((labels == 2).sum()) - 16 * 4) <= 24, "the borders of polygons are a matter of taste"
    source = open_source(out)
    assert source.info.classes == ("background", "cell", "nucleus")
    assert source.info.colours == (((0, 0, 0), (128, 0, 0), (0, 128, 0)) if kind == "voc" else ())
    np.testing.assert_array_equal(source.read(0, 16).targets["semantic"].shape[-2:], (16, 16))


def write_exported(folder: Path, file: str, image: str, file_name: str) -> None:
    """Annotations as a labelling tool exports them, which counts categories from 0 and knows no ``iscrowd``."""
    coco = json.loads((write_coco(folder / "plain", name=file_name) / "annotations/instances_train.json").read_text())
    for annotation in coco["annotations"]:
        del annotation["iscrowd"]
        annotation["category_id"] -= 7
    for category in coco["categories"]:
        category["id"] -= 7
    shutil.rmtree(folder / "plain")
    write_image(folder / image)
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(json.dumps(coco))


@pytest.mark.parametrize(
    ("file", "image", "file_name"),
    [
        ("result.json", "images/one.jpg", "images\\one.jpg"),
        ("result.json", "images/one.jpg", "../../label-studio/data/media/upload/3/one.jpg"),
        ("result.json", "one.jpg", "/data/one.jpg"),
        ("train/_annotations.coco.json", "train/one.jpg", "one.jpg"),
        ("annotations/result.json", "images/one.jpg", "one.jpg"),
        ("annotations/labels.json", "pictures/default/one.jpg", "one.jpg"),
    ],
)
def test_coco_is_found_wherever_a_labelling_tool_puts_it(file, image, file_name, tmp_path):
    write_exported(tmp_path / "export", file, image, file_name)
    (tmp_path / "export/about.json").write_text('{"images": 3}')
    done = import_annotations("coco", tmp_path / "export", tmp_path / "out")
    assert (done.num_images, done.classes, done.remarks) == (1, ["background", "cell", "nucleus"], [])
    labels = np.asarray(Image.open(tmp_path / "out/semantic/one.png"))
    assert (labels[0, 0], labels[15, 5], labels[7, 15], labels[7, 24]) == (0, 1, 2, 2)


def test_a_split_into_folders_keeps_images_of_the_same_name_apart(tmp_path):
    for part in ("train", "valid", "test"):
        write_exported(tmp_path / "export", f"{part}/_annotations.coco.json", f"{part}/one.jpg", "one.jpg")
    assert import_annotations("coco", tmp_path / "export", tmp_path / "out").num_images == 3
    rows = (tmp_path / "out/labels.csv").read_text().split()
    assert rows == ["name,split", "one,test", "one_train,train", "one_validation,validation"]


def test_a_folder_without_annotations_is_told_what_is_expected(tmp_path):
    write_image(tmp_path / "export/images/one.jpg")
    (tmp_path / "export/broken.json").write_text("{")
    message = r"(?s)has no COCO annotations, .* \(not broken.json\); expected one of\n.*Label Studio.*\n.*Roboflow"
    with pytest.raises(DataError, match=message):
        import_annotations("coco", tmp_path / "export", tmp_path / "out")
    for kind in ("voc", "cvat"):
        with pytest.raises(DataError, match=r"; expected\n  (SegmentationClass|annotations.xml)"):
            import_annotations(kind, tmp_path / "export", tmp_path / "out")


def test_parts_become_the_split(tmp_path):
    out = tmp_path / "out"
    import_annotations("voc", write_voc(tmp_path / "export"), out)
    assert (out / "labels.csv").read_text() == "name,split\none,train\ntwo,validation\n"


def test_pixels_outside_can_stay_without_a_label_and_boxes_are_counted(tmp_path):
    done = import_annotations("cvat", write_cvat(tmp_path / "export"), tmp_path / "out", outside="ignore")
    labels = np.asarray(Image.open(tmp_path / "out/semantic/one.png"))
    assert done.classes == ["cell", "nucleus"]
    assert set(np.unique(labels)) == {0, 1, 255}
    assert labels[0, 0] == 255
    assert done.remarks == ["left out: 1 annotations that are not areas (bbox)"]


def test_pictures_that_were_resized_after_they_were_annotated_keep_their_areas(tmp_path):
    folder = write_coco(
        tmp_path / "export", images=[{"id": 1, "file_name": "one.jpg", "width": 2 * WIDTH, "height": 2 * HEIGHT}]
    )
    import_annotations("coco", folder, tmp_path / "out")
    assert np.asarray(Image.open(tmp_path / "out/semantic/one.png")).shape == (2 * HEIGHT, 2 * WIDTH)
    labels = open_source(tmp_path / "out").read(0, (HEIGHT, WIDTH)).targets["semantic"]
    assert set(np.unique(labels[: HEIGHT // 2, : WIDTH // 2])) == {0, 1, 2}
    assert not labels[HEIGHT // 2 :].any()


def test_annotations_of_a_picture_of_another_shape_are_refused_where_they_are_read(tmp_path):
    folder = write_coco(tmp_path / "export", images=[{"id": 1, "file_name": "one.jpg", "width": 64, "height": 64}])
    import_annotations("coco", folder, tmp_path / "out")
    with pytest.raises(DataError, match="the files of a sample must match"):
        open_source(tmp_path / "out").read(0, 16)


def test_classes_that_no_pixel_has_are_said(tmp_path):
    shapes = [
        {"id": 1, "image_id": 1, "category_id": 8, "segmentation": [[0.1, 0.1, 0.4, 0.1, 0.4, 0.3]], "iscrowd": 0}
    ]
    shapes[0] |= {"area": 1, "bbox": [0, 0, 1, 1]}  # corners as shares of the picture, as other formats have them
    done = import_annotations("coco", write_coco(tmp_path / "export", annotations=shapes), tmp_path / "out")
    assert done.remarks == ["classes that no pixel has: cell, nucleus"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: write_coco(folder, name="gone.jpg"), "none of the 1 annotated images was found"),
        (
            lambda folder: write_coco(folder, name="../../secret.jpg"),
            "none of the 1 annotated images was found",
        ),
        (lambda folder: write_coco(folder, annotations="nonsense"), "cannot be read as coco annotations"),
        (
            lambda folder: write_coco(folder, categories=[{"id": 7, "name": "car"}, {"id": 8, "name": "car"}]),
            "the category 'car' seems to be defined twice",
        ),
        (
            lambda folder: write_coco(
                folder, images=[{"id": 1, "file_name": "one.jpg", "width": 10**6, "height": 10**6}]
            ),
            "its annotations are for 1000000 x 1000000 pixels",
        ),
        (
            lambda folder: write_coco(folder, categories=[{"id": 7, "name": "car"}, {"id": 8, "name": "Car"}]),
            "categories of the same name: Car, car",
        ),
        (lambda folder: folder, "is not a folder"),
    ],
)
def test_what_cannot_be_read_is_one_error_and_leaves_nothing(make, message, tmp_path):
    write_image(tmp_path / "secret.jpg")
    with pytest.raises(DataError, match=message):
        import_annotations("coco", make(tmp_path / "a/export"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_background_is_one_however_it_is_written(tmp_path):
    folder = write_coco(tmp_path / "a", categories=[{"id": 7, "name": "Background"}, {"id": 8, "name": "cell"}])
    found = import_annotations("coco", folder, tmp_path / "out", outside="background")
    assert found.classes == ["Background", "cell"]
    labels = np.asarray(Image.open(next((tmp_path / "out/semantic").rglob("*.png"))))
    assert labels[0, 0] == 0


def test_a_folder_in_use_and_unknown_words_are_refused(tmp_path):
    export = write_coco(tmp_path / "export")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    with pytest.raises(DataError, match="already exists"):
        import_annotations("coco", export, tmp_path / "full")
    with pytest.raises(ConfigError, match="unknown format 'coca'. Did you mean 'coco'"):
        import_annotations("coca", export, tmp_path / "out")
    with pytest.raises(ConfigError, match="Choices: background, ignore"):
        import_annotations("coco", export, tmp_path / "out", outside="void")


def test_the_verb_prints_what_it_made_and_what_comes_next(mgm, tmp_path):
    out = mgm.done("import", "coco", write_coco(tmp_path / "export"), "--out", tmp_path / "cells")
    assert "1 images, 3 classes: background, cell, nucleus" in out
    assert "next: mgm data inspect" in out
