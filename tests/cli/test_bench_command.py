"""``mgm bench`` through its entry point."""

from __future__ import annotations

import json

import pytest

from mgm.bench.sections import SECTIONS

TINY = ("--preset", "tiny", "--size", "32", "--width", "4", "--batch", "4", "--rounds", "1", "--device", "cpu")


def test_writes_table_json_and_page(mgm, tmp_path):
    code, out, err = mgm(
        "bench", "augmentation", "parts", *TINY, "--json", tmp_path / "a.json", "--markdown", tmp_path / "a.md"
    )
    assert code == 0, err
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["command"].startswith("mgm bench augmentation parts --preset tiny")
    assert found["setting"] == {
        "preset": "tiny", "size": 32, "width": 4, "batch": 4, "data": "rooms", "device": "cpu", "rounds": 1
    }  # fmt: skip
    assert {"commit", "versions", "device", "threads"} <= found.keys()
    assert list(found["sections"]) == ["augmentation", "parts"]
    parts = {row["part"]: row for row in found["sections"]["parts"]["rows"]}
    assert list(parts) == [
        "data and augmentation", "task", "refinement", "self_supervision", "discriminator", "generator",
        "extra_refinement", "extra_self_supervision",
    ]  # fmt: skip
    assert sum(row["share"] for row in parts.values()) == pytest.approx(1)
    assert all(row["seconds"] > 0 for row in parts.values())
    page = (tmp_path / "a.md").read_text()
    assert "    mgm bench augmentation parts" in page
    assert "| views of the batch on the device |" in page
    assert "parts of a joint step" in out


@pytest.mark.slow
def test_everything_at_tiny_size(mgm, tmp_path):
    code, out, err = mgm("bench", *TINY, "--json", tmp_path / "a.json")
    assert code == 0, err
    assert "…" not in out, "a number is cut off"
    assert "profiler" not in err
    sections = json.loads((tmp_path / "a.json").read_text())["sections"]
    assert sections.keys() == SECTIONS.keys()
    work = {row["variant"]: row for row in sections["work"]["rows"]}
    assert work["reference"]["flop_ratio"] == 1
    order = ("combined", "paper_order_identities", "paper_order", "reference")
    assert [work[name]["flop"] for name in order] == sorted(work[name]["flop"] for name in order)
    assert work["reference"]["reads"] > 0
    assert work["paper_order"]["reads"] == work["combined"]["reads"] == 0
    assert work["paper_order"]["launches_ratio"] < 0.45
    times = {row["variant"]: row for row in sections["step"]["rows"]}
    assert "combined_bf16_channels_last" not in times  # on a GPU
    assert times["reference"]["ratio"] == 1
    assert {row["network"] for row in sections["identities"]["rows"]} == {"G", "D"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stepp", *TINY], "unknown measurement 'stepp'. Did you mean 'step'?"),
        (["parts", *TINY, "--batch", "0"], "--batch is 0; it must be at least 1"),
        (["parts", *TINY, "--size", "48"], "the generators make images of these sides: 32, 64, 128, 256"),
        (["parts", *TINY, "--preset", "tny"], "unknown preset 'tny'"),
        (["parts", *TINY, "--device", "tpu"], "unknown device 'tpu'"),
        (["parts", *TINY, "--json", "nowhere/a.json"], "nowhere/a.json cannot be written"),
    ],
)
def test_wrong_options_are_one_clear_line(mgm, arguments, message):
    code, out, err = mgm("bench", *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert not out
