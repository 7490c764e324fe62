"""The page as it is served: what it answers, refuses and keeps apart. Without a browser."""

import os
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")
pytest.importorskip("plotly")

import httpx
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from gradio_marks import GRADIO_MARKS
from mgm.demo.server import check_address, import_gradio, start
from mgm.errors import ConfigError

pytestmark = GRADIO_MARKS

OURS = {"127.0.0.1", "::1", "localhost"}
AFTER = "after joint training"


@pytest.fixture(scope="module")
def site(served, free_port):
    """A page that is served, its folder of uploads, and all hosts that this process has connected to meanwhile."""
    hosts = set()
    connect = socket.socket.connect

    def noted(self, address):
        hosts.add(address[0] if isinstance(address, tuple) else str(address))
        return connect(self, address)

    socket.socket.connect = noted  # type: ignore[method-assign]
    try:
        with start(served, "127.0.0.1", free_port()) as address:
            yield SimpleNamespace(address=address.rstrip("/"), uploads=Path(os.environ["GRADIO_TEMP_DIR"]), hosts=hosts)
    finally:
        socket.socket.connect = connect  # type: ignore[method-assign]


@pytest.fixture
def browse(site):
    with httpx.Client(base_url=site.address, timeout=30, trust_env=False) as client:
        yield client


def photo_file(folder: Path, seed: int) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, (24 + seed, 32, 3), np.uint8)
    Image.fromarray(pixels).save(folder / f"photo{seed}.png")
    return folder / f"photo{seed}.png"


def connected(site) -> Client:
    return Client(site.address, verbose=False, analytics_enabled=False)


def predict(client: Client, served, file) -> tuple:
    """What the box, the predictions, the reading, the legend, the points and the files become."""
    return client.predict(handle_file(str(file)), served.first.title, 60, "photograph", api_name="/predict")


def test_a_photograph_is_predicted_and_its_files_can_be_fetched(site, served, tmp_path):
    client = connected(site)
    file = photo_file(tmp_path, 1)
    box, shown, _, legend, cloud, _ = predict(client, served, file)
    with Image.open(file) as image, Image.open(box) as back:
        assert np.array_equal(np.asarray(image), np.asarray(back))
    assert 'data-height="25" data-width="32"' in shown
    assert "<h4>Depth</h4>" in legend
    assert cloud["type"] == "plotly"
    files = {Path(path).name: path for path in client.predict(api_name="/files")}
    with Image.open(file) as image:
        expected = served.first.model.predict(np.asarray(image))
    assert np.array_equal(np.load(files["photo1_depth.npy"], allow_pickle=False), expected["depth"].numpy())
    assert "photo1_depth_mm.png" in files


def test_visitors_at_the_same_time_get_their_own_answers(site, served, tmp_path):
    def visit(seed: int) -> bool:
        client = connected(site)
        file = photo_file(tmp_path, seed)
        with Image.open(file) as image:
            expected = served.first.model.predict(np.asarray(image))["depth"].numpy()
        fits = []
        for _ in range(2):
            shown = predict(client, served, file)[1]
            files = {Path(path).name: path for path in client.predict(api_name="/files")}
            own = np.load(files[f"photo{seed}_depth.npy"], allow_pickle=False)
            fits.append(f'data-height="{24 + seed}"' in shown and np.array_equal(own, expected))
        return all(fits)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(visit, [1, 2])) == [True, True]


def test_generated_images_come_through(site):
    shown = connected(site).predict("attic", 2, 0, AFTER, api_name="/generate")
    assert shown.count("<img") == 2 * 4 + 2  # image and three tasks each, and the scales of depth and normals


@pytest.mark.parametrize("seed, says", [(-7, "less than minimum value 0"), (None, "enter a seed")])
def test_errors_are_sentences(site, seed, says):
    with pytest.raises(AppError, match=says) as caught:
        connected(site).predict("attic", 2, seed, AFTER, api_name="/generate")
    assert "Traceback" not in str(caught.value)


def test_nothing_of_the_photograph_before_stays_where_the_next_is_no_picture(site, served, tmp_path):
    client = connected(site)
    predict(client, served, photo_file(tmp_path, 1))
    client.predict(api_name="/files")
    (tmp_path / "a.png").write_bytes(b"nothing of the kind")
    box, shown, _, legend, cloud, files = predict(client, served, tmp_path / "a.png")
    assert "a.png: the file is not a readable image" in shown
    assert (box, legend, cloud, files or []) == (None, "", None, [])
    with pytest.raises(AppError, match="Drop an image"):
        client.predict(api_name="/files")


def test_an_unforeseen_error_says_nothing_about_the_server(site, served, tmp_path, monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("/secret/place")

    monkeypatch.setattr("mgm.demo.visitors.predict_photograph", broken)
    answer = str(predict(connected(site), served, photo_file(tmp_path, 1)))
    assert "see its log" in answer
    assert "secret" not in answer
    assert "/secret/place" in caplog.text


@pytest.mark.parametrize("prefix", ["/gradio_api/file=", "/file=", "/gradio_api/file/", "/static/", "/assets/", "/"])
def test_no_file_of_the_machine_can_be_fetched(browse, run, prefix):
    """Nor can one be passed off as an upload: test_security.py."""
    paths = ("/etc/passwd", "../../../../../../etc/passwd", "%2e%2e/%2e%2e/%2e%2e/etc/passwd", run / "config.yaml")
    for path in (*paths, run / "checkpoints/best.pt", Path(__file__), Path.cwd() / "pyproject.toml"):
        answer = browse.get(f"{prefix}{path}", follow_redirects=True)
        assert "root:" not in answer.text
        assert answer.status_code in (400, 403, 404, 405)


def test_large_uploads_are_refused(browse, site):
    answer = browse.post("/gradio_api/upload", files={"files": ("a.png", b"0" * 21_000_000)})
    assert answer.status_code == 413
    assert not [path for path in site.uploads.rglob("*") if path.is_file() and path.stat().st_size > 20_000_000]


def test_the_page_refers_to_no_foreign_host(browse):
    page = browse.get("/").text
    loaded = re.findall(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)=["']([^"']+)""", page)
    assert loaded
    assert not [address for address in loaded if "//" in address]
    style = browse.get("/theme.css").text
    assert "font-face" in page + style
    assert not re.findall(r"""(?:url\(|@import\s+)["']?https?:""", page + style)


def test_only_what_visitors_need_can_be_called(browse):
    assert set(browse.get("/gradio_api/info").json()["named_endpoints"]) == {"/predict", "/files", "/generate"}


def test_the_server_connects_to_nobody(site, served, tmp_path):
    predict(connected(site), served, photo_file(tmp_path, 1))
    assert {host for host in site.hosts if "/" not in host} <= OURS


def test_uploads_go_with_the_server_and_errors_of_the_caller_stay_what_they_are(served, free_port):
    before, folders = threading.active_count(), list[Path]()

    def fail():
        with start(served, "127.0.0.1", free_port()):
            folders.append(Path(os.environ["GRADIO_TEMP_DIR"]))
            assert folders[0].is_dir()
            raise OSError("of the caller")

    with pytest.raises(OSError, match="of the caller"):
        fail()
    assert not folders[0].exists()
    assert threading.active_count() <= before + 2


@pytest.mark.parametrize(
    "host, port, says",
    [
        ("127.0.0.1", 0, "it must be from 1 to 65535"),
        ("127.0.0.1", 70_000, "it must be from 1 to 65535"),
        ("192.0.2.1", 9999, "cannot listen on 192.0.2.1"),
        ("no such host", 9999, "is not an address"),
    ],
)
def test_an_address_that_cannot_be_had_is_one_clear_error(host, port, says):
    with pytest.raises(ConfigError, match=says):
        check_address(host, port)


def test_settings_of_the_environment_open_nothing(monkeypatch):
    monkeypatch.setenv("GRADIO_ALLOWED_PATHS", "/")
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "True")
    import_gradio()
    assert os.environ["GRADIO_ALLOWED_PATHS"] == ""
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
