#!/usr/bin/env bash
# The measurements behind defaults where the paper is silent: rooms at 32 px, 300 updates, 350 labelled images, five seeds.
# Writes results/choices.{json,md}. Three quarters of an hour on one core.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH" OMP_NUM_THREADS=1
out=${1:-runs/choices}
common=(--preset quick --image-size 32 --steps 300 --generator-steps 50 --num-images 1000)
paper=(--optimizer-step separate --refinement-weight 1 --self-supervision-weight 1 --adversarial-weight 1 --generator-updates 2)
rows=()
for seed in 0 1 2 3 4; do
    for run in default:mgm all_statistics:mgm separate_optimizers:mgm bf16:mgm no_generator:mgm_no_generator control:mgm_control; do
        name=${run%%:*} recipe=${run##*:} options=(--no-baseline)
        case $name in
            default) options=() ;;
            all_statistics) options+=(--statistics all) ;;
            separate_optimizers) options+=("${paper[@]}") ;;
            bf16) options+=(--precision bf16) ;;
        esac
        [ -e "$out/$name-$seed/result.json" ] ||
            mgm train "$recipe" "${common[@]}" "${options[@]}" --seed "$seed" --out "$out/$name-$seed" > /dev/null
        rows+=("$recipe ($name)=$out/$name-$seed")
    done
done
pairs=("mgm (all_statistics):mgm (default)" "mgm (separate_optimizers):mgm (default)" "mgm (bf16):mgm (default)" "mgm (default):mt"
    "mgm (default):mgm_no_generator (no_generator)" "mgm (default):mgm_control (control)")
python benchmarks/collect_results.py choices "${rows[@]}" "${pairs[@]/#/--pair=}"
