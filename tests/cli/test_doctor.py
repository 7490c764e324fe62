"""`mgm doctor`: what is found, what is missing, what is broken."""

import json
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from fakes import write_nyuv2
from mgm.runs import doctor
from mgm.runs.doctor import FEATURES, examine

ROOT = Path(__file__).parents[2]


def by_name(findings):
    return {f"{finding.group}/{finding.name}": finding for finding in findings}


def test_features_are_the_extras():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(FEATURES) == set(extras) - {"all", "dev"}


def test_healthy_machine(mgm):
    code, out, _ = mgm("doctor")
    assert code == 0
    for part in ("torch", "cores", "OMP_NUM_THREADS", "GB free", "rooms"):
        assert part in out
    out = mgm.done("doctor", "--json")
    findings = json.loads(out)
    assert {finding["group"] for finding in findings} == {
        "versions", "devices", "threads", "disk", "data sets", "features",
    }  # fmt: skip
    assert all(finding["state"] in ("ok", "note", "missing") for finding in findings)


def test_missing_feature_has_its_command(monkeypatch):
    real = metadata.version

    def version(name):
        if name == "torchjd":
            raise metadata.PackageNotFoundError(name)
        return "4.0" if name == "transformers" else real(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    found = by_name(examine())
    assert found["features/balance"].state == "missing"
    assert "torchjd not installed" in found["features/balance"].detail
    assert found["features/balance"].remedy == "pip install 'mgm[balance]'"
    assert "4.0 does not fit >=5" in found["features/encoders"].detail


def test_missing_core_package_is_broken(mgm, monkeypatch):
    real = metadata.version

    def version(name):
        if name == "tyro":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    code, out, _ = mgm("doctor")
    assert code == 1
    assert "X tyro" in out
    assert "pip install 'tyro>=" in out


def test_a_check_that_fails_is_a_finding(monkeypatch):
    monkeypatch.setattr("torch.nn.Conv2d", None)
    found = by_name(examine())
    assert found["devices/devices"].state == "broken"
    assert found["disk/cache"].state == "ok"


def test_cache_that_cannot_be_written(tmp_path):
    assert by_name(examine(str(tmp_path / "new")))["disk/cache"].state == "ok"
    assert not (tmp_path / "new").exists()
    states = [finding.state for finding in examine("/proc") if finding.group == "disk"]
    assert "broken" in states


def test_little_disk(monkeypatch):
    monkeypatch.setattr(doctor, "LITTLE_DISK_GB", 1e12)
    found = by_name(examine())["disk/cache"]
    assert (found.state, found.remedy) == ("note", "MGM_CACHE=FOLDER on a larger disk")


def test_data_sets_by_name(tmp_path, monkeypatch):
    monkeypatch.delenv("MGM_DATA", raising=False)
    found = by_name(examine())
    assert found["data sets/rooms"].state == "ok"
    assert found["data sets/MGM_DATA"].state == "note"
    assert "data sets/nyuv2" not in found
    write_nyuv2(tmp_path / "nyuv2")
    monkeypatch.setenv("MGM_DATA", str(tmp_path))
    found = by_name(examine())
    assert (found["data sets/nyuv2"].state, found["data sets/nyuv2"].detail) == ("ok", "12 images")
    assert found["data sets/camvid"].state == "missing"


def test_more_threads_than_cores(monkeypatch):
    if not hasattr(doctor.os, "sched_getaffinity"):
        pytest.skip("this system does not tell which cores may be used")
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda process: {0})
    monkeypatch.setattr("torch.get_num_threads", lambda: 4)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    found = [finding for finding in examine() if finding.group == "threads" and finding.state == "note"]
    assert [finding.remedy for finding in found] == ["OMP_NUM_THREADS=1", "OMP_WAIT_POLICY=PASSIVE"]


def test_help_needs_no_torch():
    import subprocess

    code = "import sys; sys.argv = ['mgm', 'doctor', '--help']\nfrom mgm.cli.main import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
