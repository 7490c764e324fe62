from mgm.report.figures.panels import MARGIN, ImageGrid, shortened, wrapped
from mgm.report.figures.style import figure_style
from mgm.tasks.legend import ClassColour, ColourScale, Legend
from mgm.tasks.pictures import colours_of

SCALE = ColourScale(colours_of("viridis"), "0.50 m", "4.00 m")


def texts(figure):
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def drawn(legend, width=4.0, errors=False):
    with figure_style():
        grid = ImageGrid([4.0], 1, 2.0, footer=2.0)
        grid.legend(legend, MARGIN, grid.top(1), width, errors=errors)
        return texts(grid.figure)


def classes(count):
    return tuple(ClassColour(f"class {number}", (number, 0, 0), 1 / count) for number in range(count))


def test_a_legend_names_the_classes_and_the_pixels_without_a_label():
    assert drawn(Legend("Classes", SCALE, classes(3), unlabelled=0.1)) == ["class 0", "class 1", "class 2", "no label"]
    assert drawn(Legend("Classes", SCALE, classes(3))) == ["class 0", "class 1", "class 2"]


def test_classes_that_find_no_room_are_counted():
    names = drawn(Legend("Classes", SCALE, classes(200)))
    assert names[-1] == f"and {200 - (len(names) - 1)} more"


def test_long_class_names_are_complete_where_there_is_room():
    names = (ClassColour("crop or soil", (1, 2, 3), 0.5), ClassColour("weed", (4, 5, 6), 0.5))
    assert drawn(Legend("Weeds", SCALE, names), width=2.1) == ["crop or soil", "weed"]
    many = tuple(ClassColour(f"a long name of class {number}", (number, 0, 0), 0.1) for number in range(20))
    assert len(drawn(Legend("Weeds", SCALE, many), width=2.1)) > 12, "many classes share the room"


def test_a_note_alone_is_a_legend_too():
    assert drawn(Legend("Flow", SCALE, text="channels as red, green, blue")) == ["channels as red, green, blue"]


def test_long_names_keep_both_ends():
    assert shortened("tray_024", 8) == "tray_024"
    assert shortened("series_a_tray_024", 9) == "seri…_024"
    with figure_style():
        grid = ImageGrid([0.8], 1, 1.0)
        grid.show(0, 0, None, "from_encoder_1\nfrom_encoder_2")
        assert texts(grid.figure) == ["from_…der_1\nfrom_…der_2"]


def test_a_colour_scale_has_its_ends_and_the_range_of_the_data():
    shown = drawn(Legend("Depth", SCALE, scale=SCALE, text="0.4 to 5 m"), errors=False)
    assert {"0.50 m", "4.00 m", "0.4 to 5 m"} <= set(shown)
    assert "error" in drawn(Legend("Depth", SCALE), errors=True)


def test_text_is_cut_to_its_width():
    assert wrapped("living room", 2.0) == "living room"
    assert len(wrapped("a very long name of a scene in a house", 1.0)) <= 14
    assert wrapped("one two three four", 0.7, 2).count("\n") == 1
    assert wrapped("refrigerator", 0.7) == "refriger…", "a name of one word does not vanish"


def test_images_do_not_overlap_and_the_figure_holds_them():
    grid = ImageGrid([1.0, 2.0, 1.0], 2, 1.5, row_gap=0.2, header=0.3)
    assert grid.left(2) > grid.left(1) + 2.0
    assert grid.top(1) == grid.top(0) + 1.7
    width, height = grid.figure.get_size_inches()
    assert width > grid.left(2) + 1.0
    assert height > grid.top(1) + 1.5
