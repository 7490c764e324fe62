#!/usr/bin/env bash
# The measurements of docs/speed.md: results/step.{json,md} (time at 64 px), step_identities, and results/step_work.{json,md} (counts at the paper's
# size). A quarter of an hour on a quiet core.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH" OMP_NUM_THREADS=1
mgm bench step parts augmentation operators rates --size 64 --width 32 --batch 16 --rounds 5 --json results/step.json --markdown results/step.md
mgm bench identities --size 64 --width 32 --batch 16 --rounds 2 --json results/step_identities.json --markdown results/step_identities.md
mgm bench work work_of_parts --size 128 --width 64 --batch 32 --json results/step_work.json --markdown results/step_work.md
