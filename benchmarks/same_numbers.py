"""Check that a change of the code changes no number: hashes of the losses of every step and of the final weights.

    python benchmarks/same_numbers.py before.json     # before the change: writes the hashes
    python benchmarks/same_numbers.py before.json     # after it: compares; exit status 1 if any differs

Trains recipes with the preset ``tiny`` through the command line, on rooms, with one thread. The hashes are valid only for one
machine and one version of torch, so none are kept in the repository.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

COMMON = ("--preset", "tiny", "--device", "cpu", "--no-baseline", "--validate-every", "1")
NETWORKS = ("--depth", "10", "--decoder", "pyramid", "--losses", "semantic:lovasz", "depth:l1_log", "normal:l1_cosine")
CASES: dict[str, tuple[str, ...]] = {
    "mgm": ("mgm",),
    "mgm combined": ("mgm", "--optimizer-step", "combined"),
    "mgm pyramid": (
        "mgm",
        "--optimizer-step",
        "combined",
        "--optimizer",
        "adamw",
        "--schedule",
        "one_cycle",
        *NETWORKS,
    ),
    "mgm ema, accumulate": ("mgm", "--ema", "0.9", "--accumulate", "2"),
    "mgm two adversarial updates": ("mgm", "--generator-updates", "2"),
    "mgm_control": ("mgm_control",),
    "mgm_real": ("mgm_real", "--fraction", "0.5"),
    "mgm_not_joint": ("mgm_not_joint",),
    "mgm_reconstruction": ("mgm_reconstruction",),
    "mgm_dcgan": ("mgm_dcgan",),
    "mt": ("mt",),
    "mt mixed": ("mt", "--mix", "classes", "--zoom", "0.8", "1.5", "--colour", "0.3", "--optimizer-step", "combined"),
    "mt uncertainty": ("mt", "--balance", "uncertainty"),
    "st": ("st",),
    "mgm_cross_stitch": ("mgm_cross_stitch",),
    "mgm_adashare": ("mgm_adashare",),
    "mgm_task_grouping": (
        "mgm_task_grouping",
        "--tasks",
        "semantic",
        "depth",
        "normal",
        "--groups",
        "semantic+depth",
        "normal",
    ),
    "eml_explicit": ("mgm", "--refinement", "eml_explicit"),
    "peoe": ("mgm", "--refinement", "peoe"),
    "peoe combined": ("mgm", "--refinement", "peoe", "--optimizer-step", "combined"),
    "lset": ("mgm", "--refinement", "lset"),
    "composites": ("mgm", "--extra-images", "composites", "--extra-uses", "labels"),
    "rooms first": ("mgm", "--pretrain", "rooms", "--pretrain-steps", "2"),
}


def hashes(flags: tuple[str, ...], folder: Path) -> dict[str, str]:
    """Hashes of one training: of its metrics log without times, and of the tensors of its last checkpoint."""
    command = [sys.executable, "-m", "mgm", "train", *flags, *COMMON, "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    state = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    digest = hashlib.sha256()
    for value in state["networks"].values():
        digest.update(value.contiguous().numpy().tobytes())
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    losses = [{key: line[key] for key in ("stage", "step", "losses", "validation") if key in line} for line in lines]
    return {
        "losses": hashlib.sha256(json.dumps(losses, sort_keys=True).encode()).hexdigest()[:16],
        "weights": digest.hexdigest()[:16],
    }


def main() -> int:
    """Write the hashes, or compare them with earlier ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path, help="JSON file of the hashes; written if it does not exist")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"run only these: {', '.join(CASES)}")
    options = parser.parse_args()
    reference, wanted = options.reference, options.cases or list(CASES)
    with tempfile.TemporaryDirectory() as scratch:
        found = {name: hashes(CASES[name], Path(scratch) / str(number)) for number, name in enumerate(wanted)}
    if not reference.exists():
        reference.write_text(json.dumps(found, indent=1) + "\n")
        return 0
    before = json.loads(reference.read_text())
    changed = [name for name in found if found[name] != before[name]]
    for name in changed:
        print(f"{name}: {before[name]} before, {found[name]} now")
    print(f"{len(found) - len(changed)} of {len(found)} as before")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
