"""The documentation site: pages are gathered whole, warnings are errors, and no page asks another host for anything."""

import functools
import http.server
import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path

import pytest

from documents import DOCS, PAGES, ROOT, anchors_of, links_of

CHROMIUM = Path("/usr/bin/chromium")
REQUESTING = {
    "script": ("src",), "link": ("href",), "img": ("src", "srcset"), "iframe": ("src",), "source": ("src", "srcset"),
    "video": ("src", "poster"), "audio": ("src",), "object": ("data",), "embed": ("src",), "use": ("href", "xlink:href"),
    "form": ("action",),
}  # fmt: skip
"""Elements and attributes by which a page fetches something."""

build = runpy.run_path(str(DOCS / "build.py"))


def test_gathered_pages_link_to_one_another(tmp_path):
    """What the site is made of: bent links hold, and nothing of an earlier gathering is left."""
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/old.md").write_text("gone")
    build["gather"](tmp_path / "pages")
    pages = sorted((tmp_path / "pages").rglob("*.md"))
    assert {page.relative_to(tmp_path / "pages") for page in pages} >= {page.relative_to(DOCS) for page in PAGES}
    assert tmp_path / "pages/results/README.md" in pages
    assert tmp_path / "pages/old.md" not in pages
    for page in pages:
        for link in links_of(page):
            place, _, anchor = link.partition("#")
            target = (page.parent / place).resolve() if place else page
            assert target.is_file(), f"{page}: {link}"
            assert target.is_relative_to(tmp_path)
            assert not anchor or anchor in anchors_of(target)


def test_navigation_leaves_out_what_is_not_there(tmp_path):
    (tmp_path / "there.md").touch()
    summary = "# Pages\n\n- [A](absent.md)\n- Full\n    - [B](absent.md)\n    - [C](there.md)\n- Empty\n    - [D](absent.md)\n"
    kept = build["without_absent_pages"](summary, tmp_path)
    assert kept == "# Pages\n\n- Full\n    - [C](there.md)\n"


def sources(folder: Path) -> Path:
    """What the site is built from, in a place of its own."""
    for name in ("docs", "results"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "zensical.toml", folder)
    (folder / "src").symlink_to(ROOT / "src")
    return folder


def make_site(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build it as ``make docs`` does."""
    command = [sys.executable, str(folder / "docs/build.py")]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"})


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    pytest.importorskip("zensical")
    pytest.importorskip("mkdocstrings")
    folder = sources(tmp_path_factory.mktemp("site"))
    done = make_site(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout + done.stderr
    return folder / "site"


@pytest.mark.slow
def test_every_page_is_built_and_within_reach(site):
    home = (site / "index.html").read_text()
    for page in PAGES:
        name = "" if page.stem == "index" else f"{page.stem}/"
        assert (site / name / "index.html").exists()
        assert f'href="./{name}"' in home or not name, f"{page.name} is not in the navigation"


@pytest.mark.slow
def test_everything_named_in_the_api_has_its_docstring(site):
    page = (site / "api/index.html").read_text()
    names = re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert len(names) > 25
    assert [name for name in names if f'id="{name}"' not in page and name != "mgm.errors"] == []
    assert 'id="mgm.errors.DataError"' in page
    assert "Fraction of the training images used with all their labels" in page
    assert ":::" not in re.sub("<[^>]*>", "", page)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mistakes, message", [("[gone](gone.md)\n\n[gone](faq.md#gone)", "2 issues found"), ("::: mgm.api.gone", "")]
)
def test_mistakes_break_the_build(tmp_path, mistakes, message):
    folder = sources(tmp_path)
    with (folder / "docs/choosing.md").open("a") as page:
        page.write(f"\n{mistakes}\n")
    done = make_site(folder)
    assert done.returncode != 0, done.stdout + done.stderr
    assert message in done.stdout + done.stderr


class Requests(HTMLParser):
    """Addresses that a page fetches."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Collect."""
        self.found += [value for name, value in attrs if value and name in REQUESTING.get(tag, ())]
        self.found += [value for name, value in attrs if value and name == "style" and "url(" in value]


@pytest.mark.slow
def test_no_page_asks_another_host(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        text = page.read_text()
        requests = Requests(text).found
        assert requests
        assert [address for address in requests if re.match(r"([a-z]+:)?//", address)] == [], page
        # what the theme's program would fetch from elsewhere, it fetches for these alone
        assert not re.search(r'class="[^"]*(mermaid|glightbox|pyodide)', text), page
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", style.read_text()), style


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs chromium")
def test_a_browser_asks_no_other_host_and_finds_words(site):
    """Opened and searched in a browser whose every request is written down."""
    playwright = pytest.importorskip("playwright.sync_api")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments, **named):
            """Nothing on standard error."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = f"http://127.0.0.1:{server.server_port}/"
    asked: set[str] = set()
    errors: list[str] = []
    switches = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    try:
        with playwright.sync_playwright() as play:
            browser = play.chromium.launch(executable_path=str(CHROMIUM), args=switches)
            page = browser.new_page()
            page.set_default_timeout(120_000)
            page.on("request", lambda request: asked.add(request.url))
            page.on("pageerror", lambda error: errors.append(str(error)))
            for name in ("", "choosing/", "api/", "results/base/best/"):
                page.goto(home + name)
            page.get_by_role("button", name="Search").first.click()
            page.get_by_role("combobox").first.fill("Taskonomy")
            page.get_by_role("option").first.wait_for()
            found = page.get_by_role("option").all_inner_texts()
            browser.close()
    finally:
        server.shutdown()
        server.server_close()
    assert any("Taskonomy" in text for text in found)
    assert len(asked) > 8
    assert {address for address in asked if not address.startswith((home, "data:", "blob:"))} == set()
    assert errors == []
