"""What every page has to fulfil, and what it says."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
from PIL import Image

VOID = {"meta", "img", "br", "hr", "input", "link"}


class Page(HTMLParser):
    """Reads a page: text, pictures, sections; fails on tags that are not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> was never opened"
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All words, spaces made one."""
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of all elements of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]

    def alts(self) -> list[str]:
        """Alternative texts of all pictures that have one."""
        return [image["alt"] for image in self.all("img") if image["alt"]]


def pixels(uri: str) -> np.ndarray:
    """The picture in a data URI."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def read_page(html: str) -> Page:
    """Parse a page and check what holds for all: one file, accessible, nothing that runs."""
    page = Page(html)
    assert not page.all("script")
    assert not page.all("link")
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], f"<{tag}> runs something"
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/")), (
                f"<{tag} {name}={attributes[name]!r}>"
            )
    assert "url(http" not in html
    assert "@import" not in html
    for image in page.all("img"):
        assert image.get("alt") is not None, "a picture without alternative text"
        if not (image["src"] or "").startswith("data:image/svg"):
            assert pixels(image["src"] or "").size
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)), "an id twice"
    targets = {(attributes.get("href") or "")[1:] for attributes in page.all("a")}
    assert targets <= set(ids), f"links to nowhere: {targets - set(ids)}"
    assert all("scope" in header for header in page.all("th")), "a table header without scope"
    assert [attributes.get("lang") for attributes in page.all("html")] == ["en"]
    assert len(page.all("h1")) == 1
    assert "nan" not in re.findall(r"\w+", page.text.lower())
    return page
