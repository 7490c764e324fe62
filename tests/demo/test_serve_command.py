"""``mgm serve`` through the entry point."""

import builtins
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from fake_runs import write_run


def test_no_run_is_an_error(mgm):
    err = mgm.refused("serve")
    assert err == "mgm: error: no run given; usage: mgm serve RUN [RUN2 ...]\n"


def test_a_folder_without_a_run_is_an_error(mgm, tmp_path, free_port):
    pytest.importorskip("gradio")
    assert "holds neither a run" in mgm.refused("serve", tmp_path, "--port", free_port(), "--device", "cpu")


def test_a_port_in_use_is_found_before_any_model_is_loaded(mgm, tmp_path):
    pytest.importorskip("gradio")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        err = mgm.refused("serve", tmp_path, "--port", port)
    assert re.search(rf"cannot listen on 127.0.0.1, port {port} .*in use.*--port", err)
    assert err.count("\n") == 1


@pytest.mark.parametrize("missing", ["gradio", "plotly"])
def test_without_the_extra_the_error_says_how_to_install_it(mgm, monkeypatch, missing):
    if missing == "plotly":
        pytest.importorskip("gradio")  # the first to be missed
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        return real(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(builtins, "__import__", without)
    err = mgm.refused("serve", "anything")
    assert err == f"mgm: error: the web page needs {missing}; install it with: pip install 'mgm[demo]'\n"


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_serving_says_where_and_ends_cleanly(tmp_path, free_port, ending):
    pytest.importorskip("gradio")
    if signal.getsignal(ending) == signal.SIG_IGN:
        pytest.skip("this process ignores the signal, and so do those that it starts")
    run, port = write_run(tmp_path / "run", data="nowhere/photos"), free_port()
    command = [sys.executable, "-m", "mgm", "serve", str(run), "--host", "0.0.0.0", "--port", str(port)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as page:
        assert page.stdout is not None
        line = page.stdout.readline()
        assert list(tmp_path.glob("mgm-serve-*"))
        page.send_signal(ending)
        _, err = page.communicate(timeout=60)
    assert line.startswith("serving run (mgm) at http://")
    assert f":{port}/; Ctrl-C ends it" in line
    assert page.returncode == 0
    assert "everyone who reaches 0.0.0.0 can use the page; there is no password" in err
    assert "no example images" in err
    assert "Traceback" not in err
    assert not list(tmp_path.glob("mgm-serve-*"))
