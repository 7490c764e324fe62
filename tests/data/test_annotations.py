"""Annotations of labelling tools become a folder that trains."""

import json
import shutil
from pathlib import Path
from typing import Any

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
    annotations = [area([NUCLEUS], 8, 1), area([CELL], 7, 2)]
    content = {
        "images": [{"id": 1, "file_name": name, "width": WIDTH, "height": HEIGHT}],
        "annotations": annotations,
        "categories": [{"id": 7, "name": "cell"}, {"id": 8, "name": "nucleus"}],
        **changes,
    }
    (folder / "annotations").mkdir()
    (folder / "annotations/instances_train.json").write_text(json.dumps(content))
    return folder


def area(segmentation: object, category: int = 7, number: int = 1, **changes: object) -> dict[str, object]:
    values = {"id": number, "image_id": 1, "category_id": category, "segmentation": segmentation, "iscrowd": 0}
    return {**values, "area": 1, "bbox": [0, 0, 1, 1], **changes}


def write_cvat(folder: Path, more: str = "") -> Path:
    """Two polygons and a box; ``more`` are further elements of the image."""
    write_image(folder / "images/one.jpg")
    shapes = "".join(
        f'<polygon label="{label}" occluded="0" z_order="{layer}" points="{points(shape)}"></polygon>'
        for label, shape, layer in (("cell", CELL, 0), ("nucleus", NUCLEUS, 1))
    )
    labels = "".join(f"<label><name>{name}</name><attributes></attributes></label>" for name in ("cell", "nucleus"))
    (folder / "annotations.xml").write_text(
        f'<?xml version="1.0"?><annotations><version>1.1</version><meta><task><labels>{labels}</labels></task></meta>'
        f'<image id="0" name="one.jpg" width="{WIDTH}" height="{HEIGHT}">{shapes}'
        f'<box label="cell" occluded="0" xtl="1" ytl="1" xbr="5" ybr="5" z_order="0"></box>{more}</image></annotations>'
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


@pytest.mark.parametrize("name", ["void", "Void", "IGNORED"])
def test_classes_that_mean_no_label_are_none_whatever_their_case(name, tmp_path):
    categories = [{"id": 7, "name": "cell"}, {"id": 8, "name": name}]
    export = write_coco(tmp_path / "export", categories=categories)
    assert import_annotations("coco", export, tmp_path / "out").classes == ["background", "cell"]
    assert np.asarray(Image.open(tmp_path / "out/semantic/one.png"))[7, 15] == 255


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


def square(x: int, y: int, size: int) -> list[int]:
    return [x, y, x + size, y, x + size, y + size, x, y + size]


def read_labels(out: Path, name: str = "one") -> np.ndarray:
    return np.asarray(Image.open(out / f"semantic/{name}.png"))


def test_the_area_of_an_object_is_that_of_all_its_polygons(tmp_path):
    objects = [area([square(0, 0, 14), square(20, 4, 4)], 7, 1), area([square(18, 2, 8)], 8, 2)]
    import_annotations("coco", write_coco(tmp_path / "export", annotations=objects), tmp_path / "out")
    assert read_labels(tmp_path / "out")[6, 22] == 2, "the small part of the larger object is below"


def test_ellipses_become_areas_in_their_layer_and_other_shapes_are_counted(tmp_path):
    oval = '<ellipse label="nucleus" occluded="0" cx="15" cy="10" rx="8" ry="3" rotation="{}" z_order="{}"></ellipse>'
    more = '<cuboid label="cell" occluded="0" z_order="0" xtl1="1"></cuboid>'
    for turn, layer in ((90, 0), (0, 0), (0, -1)):
        out = tmp_path / f"out{turn}{layer}"
        done = import_annotations("cvat", write_cvat(out / "export", oval.format(turn, layer) + more), out / "data")
        assert "left out: 1 annotations that are not areas (cuboid)" in done.remarks
        labels = read_labels(out / "data")
        assert labels[10, 15] == (1 if layer < 0 else 2), "below the cell, in which it lies"
        if layer == 0:
            along = (labels[13:, 15] == 2).sum(), (labels[10, :12] == 2).sum()
            assert along == ((5, 0) if turn else (0, 5))


@pytest.mark.parametrize(("turn", "there", "not_there"), [(45, (16, 15), (16, 9)), (-45, (16, 9), (16, 15))])
def test_ellipses_are_rotated_clockwise(turn, there, not_there, tmp_path):
    oval = f'<ellipse label="nucleus" cx="12" cy="13" rx="5" ry="2" rotation="{turn}" z_order="5"></ellipse>'
    import_annotations("cvat", write_cvat(tmp_path / "export", oval), tmp_path / "out")
    labels = read_labels(tmp_path / "out")
    assert (labels[there], labels[not_there]) == (2, 1)


def test_a_box_in_the_group_of_an_area_is_counted(tmp_path):
    folder = write_cvat(tmp_path / "export")
    xml = folder / "annotations.xml"
    xml.write_text(xml.read_text().replace(' z_order="0"', ' z_order="0" group_id="3"'))
    done = import_annotations("cvat", folder, tmp_path / "out")
    assert done.remarks == ["left out: 1 annotations that are not areas (bbox)"]


def test_what_a_reader_would_skip_without_a_word_is_counted(tmp_path):
    shapes = [area([CELL], 7, 0), area([NUCLEUS], 8, 1), area([CELL], 7, 2, image_id=5), area([], 7, 3, bbox=[])]
    del shapes[3]["segmentation"]
    folder = write_coco(tmp_path / "export", annotations=shapes)
    (folder / "annotations/instances_val.json").write_text("{")
    done = import_annotations("coco", folder, tmp_path / "out")
    assert done.remarks == [
        "left out: 1 files that cannot be read (annotations/instances_val.json)",
        "left out: 1 annotations of images that are not listed",
        "left out: 1 annotations that are not areas (empty)",
    ]


def test_images_without_an_annotation_are_counted_where_they_become_background(tmp_path):
    images = [
        {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT}
        for number, name in ((1, "one.jpg"), (2, "two.jpg"))
    ]
    folder = write_coco(tmp_path / "export", images=images)
    write_image(folder / "images/train/two.jpg")
    done = import_annotations("coco", folder, tmp_path / "out")
    assert done.remarks == [
        "1 images have no annotation, so they are all background; --outside ignore leaves them unlabelled"
    ]
    assert import_annotations("coco", folder, tmp_path / "other", outside="ignore").remarks == []


def test_images_without_a_label_map_have_no_label(tmp_path):
    folder = write_voc(tmp_path / "export")
    (folder / "SegmentationClass/two.png").unlink()
    done = import_annotations("voc", folder, tmp_path / "out")
    assert done.remarks == ["1 images have no label, as they have no file in SegmentationClass"]
    source = open_source(tmp_path / "out")
    assert [bool((source.read(index, 16).targets["semantic"] == 255).all()) for index in range(2)] == [False, True]
    (folder / "SegmentationClass/one.png").unlink()
    with pytest.raises(DataError, match="none of the 2 images has a label map; expected\n  SegmentationClass"):
        import_annotations("voc", folder, tmp_path / "none")


def test_an_image_of_several_lists_is_imported_once_in_its_part(tmp_path):
    folder = write_voc(tmp_path / "export")
    (folder / "ImageSets/Segmentation/all.txt").write_text("one\ntwo\n")
    done = import_annotations("voc", folder, tmp_path / "out")
    assert (tmp_path / "out/labels.csv").read_text() == "name,split\none,train\ntwo,validation\n"
    assert (done.num_images, done.remarks) == (2, ["left out: 2 images that are listed again (in all)"])


def test_classes_of_voc_do_not_depend_on_its_objects(tmp_path):
    folder = write_voc(tmp_path / "export")
    objects = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    objects[2:18, 2:8] = (128, 0, 0)
    (folder / "SegmentationObject").mkdir()
    Image.fromarray(objects).save(folder / "SegmentationObject/one.png")
    import_annotations("voc", folder, tmp_path / "out")
    np.testing.assert_array_equal(read_labels(tmp_path / "out"), read_labels(tmp_path / "out", "two"))


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
    shapes = [area([[0.1, 0.1, 0.4, 0.1, 0.4, 0.3]])]  # corners as shares of the picture, as other formats have them
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
        (
            lambda folder: write_coco(folder, images=[{"id": 1, "file_name": name} for name in ("one.jpg", "two.jpg")]),
            "has several images with the id 1",
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


MASK = np.pad(np.tri(6, 5, dtype=np.uint8), ((3, HEIGHT - 9), (4, WIDTH - 9)))
"""A triangle ``[HEIGHT, WIDTH]``."""
WHOLE_RUNS = [4 * HEIGHT + 3, 6, 15, 5, 16, 4, 17, 3, 18, 2, HEIGHT * WIDTH - 169]


@pytest.mark.parametrize("compressed", [True, False])
def test_masks_of_run_lengths_are_read(compressed, tmp_path):
    from pycocotools import mask

    encoded: Any = mask.encode(np.asfortranarray(MASK))
    counts = encoded["counts"].decode() if compressed else WHOLE_RUNS
    shapes = [area({"counts": counts, "size": [HEIGHT, WIDTH]}, iscrowd=1)]
    import_annotations("coco", write_coco(tmp_path / "export", annotations=shapes), tmp_path / "out")
    np.testing.assert_array_equal(read_labels(tmp_path / "out"), MASK)


@pytest.mark.parametrize("counts", ["abc", "", 5, ["a"], [-5, HEIGHT * WIDTH + 5], WHOLE_RUNS[:-1], [*WHOLE_RUNS, 9]])
def test_a_damaged_mask_is_one_error_that_says_where(counts, mgm, tmp_path):
    shapes = [area({"counts": counts, "size": [HEIGHT, WIDTH]}, number=31)]
    folder = write_coco(tmp_path / "export", annotations=shapes)
    error = mgm.refused("import", "coco", folder, "--out", tmp_path / "out")
    assert "instances_train.json: image 'one.jpg', annotation 31: the mask is damaged" in error
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


@pytest.mark.parametrize("mask", ['rle="3,2,3,2,2" left="28"', 'rle="3,2" left="10"'], ids=["beyond", "short"])
def test_a_damaged_mask_of_cvat_is_refused(mask, tmp_path):
    more = f'<mask label="cell" occluded="0" z_order="1" {mask} top="10" width="4" height="3"></mask>'
    with pytest.raises(DataError, match="annotations.xml: image 'one.jpg': a mask of 'cell' is damaged"):
        import_annotations("cvat", write_cvat(tmp_path / "export", more), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_cvat_for_video_is_refused(tmp_path):
    folder = write_cvat(tmp_path / "export")
    size = f"<original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size>"
    text = (folder / "annotations.xml").read_text().replace("<labels>", f"{size}<labels>")
    shape = f'<polygon frame="0" outside="1" occluded="0" points="{points(CELL)}" z_order="0"></polygon>'
    video = text.replace("</annotations>", f'<track id="0" label="cell">{shape}</track></annotations>')
    (folder / "annotations.xml").write_text(video)
    with pytest.raises(DataError, match="export it as 'CVAT for images'"):
        import_annotations("cvat", folder, tmp_path / "out")


def test_a_damaged_picture_or_label_map_is_named(tmp_path):
    folder = write_coco(tmp_path / "a", images=[{"id": 1, "file_name": "one.jpg"}])
    (folder / "images/train/one.jpg").write_text("damaged")
    with pytest.raises(DataError, match="one.jpg: is not a readable image"):
        import_annotations("coco", folder, tmp_path / "out")
    folder = write_voc(tmp_path / "b")
    (folder / "SegmentationClass/two.png").write_text("damaged")
    with pytest.raises(DataError, match="cannot be read as voc annotations: .*'two'"):
        import_annotations("voc", folder, tmp_path / "out")


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
