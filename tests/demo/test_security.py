"""What strangers can and cannot get from a served page, over HTTP as they would try it."""

import json
import os
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")
pytest.importorskip("plotly")

import httpx

from gradio_marks import GRADIO_MARKS
from http_requests import answered
from mgm.demo.server import start

pytestmark = GRADIO_MARKS

META = {"meta": {"_type": "gradio.FileData"}}
PROXY = "lab.example.org"


@pytest.fixture(scope="module")
def site(served, free_port):
    """A page that only this machine can open, with a proxy of some name in front."""
    with start(served, "127.0.0.1", free_port(), [PROXY]) as address:
        yield SimpleNamespace(address=address.rstrip("/"), uploads=Path(os.environ["GRADIO_TEMP_DIR"]))


@pytest.fixture
def browse(site):
    with httpx.Client(base_url=site.address, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def secret(tmp_path) -> Path:
    """A picture of the machine that nobody uploaded."""
    Image.fromarray(np.full((30, 40, 3), 77, np.uint8)).save(tmp_path / "secret.png")
    return tmp_path / "secret.png"


def png() -> bytes:
    file = Path(os.environ["GRADIO_TEMP_DIR"]) / "drawn.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)).save(file)
    content = file.read_bytes()
    file.unlink()
    return content


def uploaded(browse, name: str = "a.png") -> str:
    return browse.post("/gradio_api/upload", files={"files": (name, png())}).json()[0]


def events(browse) -> list[dict]:
    """Every event of the page that a visitor can trigger, with its inputs."""
    config = browse.get("/config").json()
    kinds = {part["id"]: part for part in config["components"]}
    return [{**event, "kinds": [kinds[key] for key in event["inputs"]]} for event in config["dependencies"]]


def predict_event(browse) -> dict:
    return next(event for event in events(browse) if event["api_name"] == "predict")


def called(browse, event: dict, data: list, session: str = "s", **more: object) -> str:
    """All that the page says to an event: the refusal, or what comes of it."""
    body = {"data": data, "fn_index": event["id"], "session_hash": session, **more}
    begun = browse.post("/gradio_api/queue/join", json=body)
    if begun.status_code != 200:
        return f"refused: {begun.text}"
    with browse.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as answers:
        for line in answers.iter_lines():
            if "process_completed" in line:
                message = json.loads(line.removeprefix("data: "))
                return json.dumps(message["output"]) if message["success"] else f"refused: {message['output']}"
    return "refused: nothing"


def predicted(browse, served, upload: object, session: str = "s") -> str:
    return called(browse, predict_event(browse), [upload, None, served.first.title, 60, "photograph"], session)


def test_an_upload_is_predicted_on(browse, served):
    path = uploaded(browse)
    for upload in ({"path": path}, {"path": path, **META}):
        assert 'data-height=\\"30\\"' in predicted(browse, served, {**upload, "orig_name": "a.png"})


def test_no_program_is_run_on_an_upload(browse, served, monkeypatch):
    started = []
    monkeypatch.setattr("subprocess.Popen.__init__", lambda *_, **__: started.append(1))
    content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 24\n%%EndComments\n%%EOF\n"
    path = browse.post("/gradio_api/upload", files={"files": ("a.png", content)}).json()[0]
    assert "a.png: the file is not a readable image" in predicted(browse, served, {"path": path, "orig_name": "a.png"})
    assert started == []


def strange_paths(secret: Path, uploads: Path) -> dict[str, str]:
    (uploads / "link.png").unlink(missing_ok=True)
    (uploads / "link.png").symlink_to(secret)
    (uploads / "folder").unlink(missing_ok=True)
    (uploads / "folder").symlink_to(secret.parent)
    (uploads / "round.png").unlink(missing_ok=True)
    (uploads / "round.png").symlink_to(uploads / "round.png")
    return {
        "absolute": str(secret),
        "relative": os.path.relpath(secret),
        "upwards": f"{uploads}/{os.path.relpath(secret, uploads)}",
        "link": str(uploads / "link.png"),
        "linked folder": str(uploads / "folder" / secret.name),
        "link to itself": str(uploads / "round.png"),
        "folder": str(uploads),
        "none": str(uploads / "none.png"),
        "empty": "",
        "NUL": f"{uploads}/a\0.png",
        "file address": f"file://{secret}",
        "long": "/" + "a" * 5000,
    }


@pytest.mark.parametrize("meta", [{}, META, {"meta": None}, {"meta": {}}], ids=["bare", "meta", "null", "empty"])
def test_only_uploads_are_opened(browse, site, served, secret, meta):
    paths = strange_paths(secret, site.uploads)
    before = {file for file in site.uploads.rglob("*") if file.is_file() and not file.is_symlink()}
    for kind, path in paths.items():
        for more in ({}, {"url": f"{site.address}/gradio_api/file={path}", "orig_name": "a.png"}):
            answer = predicted(browse, served, {"path": path, **meta, **more})
            assert answer.startswith("refused: "), kind
            assert "not a readable image" not in answer, kind
    assert {file for file in site.uploads.rglob("*") if file.is_file() and not file.is_symlink()} == before


def test_addresses_are_never_fetched(browse, served):
    """Neither of this machine nor of others: a server of ours notes whether anybody comes."""
    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.settimeout(0.5)
        address = f"http://127.0.0.1:{trap.getsockname()[1]}/a.png"
        for meta in ({}, META):
            assert predicted(browse, served, {"path": address, **meta}).startswith("refused: ")
            assert "was not sent as a file" in predicted(browse, served, {"path": None, "url": address, **meta})
        for way in ("file=", "file/", "proxy="):
            assert browse.get(f"/gradio_api/{way}{address}").status_code in (403, 404)
        with pytest.raises(TimeoutError):
            trap.accept()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
@pytest.mark.parametrize("meta", [{}, META], ids=["bare", "meta"])
def test_pipes_and_devices_are_refused_and_never_waited_for(browse, site, served, meta):
    pipe = site.uploads / "pipe.png"
    os.mkfifo(pipe)
    try:
        for path in (pipe, Path("/dev/zero")):
            assert predicted(browse, served, {"path": str(path), **meta}).startswith("refused: ")
            assert browse.get(f"/gradio_api/file={path}").status_code == 403
    finally:
        pipe.unlink()


@pytest.mark.parametrize("meta", [{}, META], ids=["bare", "meta"])
def test_no_event_takes_a_strange_file_in_any_place(browse, site, secret, meta):
    """Each input of each event, private ones included, and what it is told about the event."""
    file = {"path": str(secret), **meta}
    found = events(browse)
    assert len(found) > 12
    assert {len(event["kinds"]) for event in found} >= {0, 1, 2, 3, 4}
    for event in found:
        values = [part["props"].get("value") for part in event["kinds"]]
        for place in range(len(values)):
            for value in (file, [file], {"value": file}, [{"image": file, "caption": None}]):
                sent = [*values[:place], value, *values[place + 1 :]]
                assert called(browse, event, sent).startswith("refused: the request names a file"), event["api_name"]
        answer = called(browse, event, values, event_data={"value": file})
        assert answer.startswith("refused: the request"), event["api_name"]
        for route in ("call", "call/v2", "run", "api"):
            answer = browse.post(f"/gradio_api/{route}/{event['api_name']}", json={"data": [file], "upload": file})
            assert answer.status_code in (403, 404)
    assert not list(site.uploads.rglob(secret.name))


def test_what_the_page_does_not_use_is_not_there(browse):
    read = "deep_link?session_hash=s runs vibe-code/ custom_component/a/client/b/c dev/reload openapi.json"
    for path in read.split():
        assert browse.get(f"/gradio_api/{path}").status_code == 404
    for path in [
        "component_server",
        "process_recording",
        "api/predict",
        "stream/x",
        "vibe-edit/",
        "run-history/connect",
    ]:
        assert browse.post(f"/gradio_api/{path}", json={}).status_code == 404
    for path in ("monitoring", "docs", "redoc", "svelte/a"):
        assert browse.get(f"/{path}").status_code == 404


def test_no_request_bypasses_the_queue(browse):
    """Only those that compute nothing, such as reading the values at a pixel."""
    direct = []
    for event in events(browse):
        body = {"data": [None] * len(event["inputs"]), "fn_index": event["id"], "session_hash": "s"}
        if browse.post("/gradio_api/run/predict", json=body).status_code != 404:
            direct.append(event)
    assert {event["queue"] for event in direct} == {False}


def test_only_files_of_the_page_can_be_fetched(browse, site, secret):
    path = uploaded(browse)
    assert browse.get(f"/gradio_api/file={path}").content == png()
    for strange in strange_paths(secret, site.uploads).values():
        quoted = httpx.QueryParams({"p": strange}).__str__().removeprefix("p=").replace("+", "%20")
        assert browse.get(f"/gradio_api/file={quoted}").status_code == 403


@pytest.mark.parametrize("content, status", [(b"{", 400), (b"[" * 100_000, 400), (b" " * (1 << 21), 413)])
def test_requests_that_are_none_are_refused(browse, content, status):
    answer = browse.post("/gradio_api/queue/join", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status


@pytest.mark.parametrize(
    "host", ["127.0.0.1:{port}", "127.0.0.1", "localhost:{port}", "LOCALHOST.", "[::1]:{port}", "localhost:8000", PROXY]
)
def test_the_page_answers_under_its_own_names(site, host):
    port = urlsplit(site.address).port
    assert answered(site.address, "GET", "/", Host=host.format(port=port))[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example",
                                  "192.0.2.7", "0.0.0.0", "[2001:db8::1]", "localhost@evil.example", "", " ", "a/b"])  # fmt: skip
def test_a_name_that_means_this_machine_by_rebinding_is_refused(site, host):
    read = ("/", "/config", "/gradio_api/queue/data?session_hash=x", "/gradio_api/heartbeat/x")
    written = (("POST", "/gradio_api/queue/join", "{}"), ("POST", "/gradio_api/upload", "x"))
    for method, path, body in (*(("GET", path, "") for path in read), *written):
        status, text = answered(site.address, method, path, body, Host=host)
        assert status in (400, 403)
        assert status == 400 or "--allow-host" in text


def test_websockets_are_refused(site):
    wants = {"Connection": "Upgrade", "Upgrade": "websocket"}
    wants |= {"Sec_WebSocket_Version": "13", "Sec_WebSocket_Key": "eA=="}
    for host in ("evil.example", "127.0.0.1"):
        assert answered(site.address, "GET", "/gradio_api/queue/data", Host=host, **wants)[0] in (400, 403, 404, 422)


@pytest.mark.parametrize(
    "origin, taken",
    [
        ("http://{host}", True),
        (f"https://{PROXY}", True),
        ("http://evil.example", False),
        ("http://localhost:3000", False),
        ("http://{host}.evil.example", False),
        ("null", False),
        ("file://", False),
        ("http://[", False),
    ],
)
def test_requests_of_other_pages_are_refused(site, origin, taken):
    host = urlsplit(site.address).netloc
    for method, path, body in [("POST", "/gradio_api/reset", '{"event_id": "x"}'), ("GET", "/config", "")]:
        status, text = answered(site.address, method, path, body, Host=host, Origin=origin.format(host=host))
        assert (status == 200) is taken
        assert taken or (status == 403 and "comes from another one" in text)


@pytest.mark.parametrize("meta", [{}, META], ids=["bare", "meta"])
def test_photographs_and_files_go_with_their_visitor(browse, site, served, meta):
    path = Path(uploaded(browse, f"visitor{len(meta)}.png"))
    for session in ("ann", "bob"):
        assert "data-height" in predicted(browse, served, {"path": str(path), **meta}, session)
    write = next(event for event in events(browse) if event["api_name"] == "files")
    assert "_depth_mm" in called(browse, write, [None, 60], "ann")
    made = site.uploads / "downloads"
    assert len(list(made.iterdir())) == 1
    _leave(browse, "ann", lambda: not list(made.iterdir()))
    assert path.is_file()  # bob has the same photograph
    _leave(browse, "bob", lambda: not path.exists())


def _leave(browse, session: str, gone) -> None:
    """Close the connection that says that a visitor is there, and wait for what happens then."""
    with browse.stream("GET", f"/gradio_api/heartbeat/{session}") as beats:
        next(beats.iter_lines())
    waiting = threading.Event()
    for _ in range(600):
        if gone():
            return
        waiting.wait(0.05)
    pytest.fail(f"what {session} left behind is still there")


def test_a_page_looks_for_old_files_while_it_is_served(site):
    assert "mgm-sweep" in {thread.name for thread in threading.enumerate()}
