#!/usr/bin/env bash
# What helps at the same labels: rendered rooms first, labelled composites, rooms beside the labels, MGM; each beside a control of as many updates.
# NYUv2 with 25 % of its labels at 32 px, five seeds. Writes results/beyond.{json,md}. About an hour on one core.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH" OMP_NUM_THREADS=1
out=${1:-runs/beyond}
data=${2:?the folder of NYUv2}
common=(--data "$data" --preset quick --image-size 32 --num-images 0 --fraction 0.25 --generator-steps 100 --no-baseline)
rooms=(--pretrain rooms --pretrain-steps 600)
beside=(--extra-uses labels --extra-images)
names=(mt mt_longer rooms_first labelled_twice composites rooms_beside rooms_first_composites longer_labelled_twice
    mgm mgm_no_generator mgm_control mgm_rooms_first)
rows=()
for seed in 0 1 2 3 4; do
    for name in "${names[@]}"; do
        case $name in
            mt) run=(mt --steps 600) ;;
            mt_longer) run=(mt --steps 1200) ;;
            rooms_first) run=(mt --steps 600 "${rooms[@]}") ;;
            labelled_twice) run=(mt --steps 600 "${beside[@]}" labelled) ;;
            composites) run=(mt --steps 600 "${beside[@]}" composites) ;;
            rooms_beside) run=(mt --steps 600 "${beside[@]}" rooms) ;;
            rooms_first_composites) run=(mt --steps 600 "${rooms[@]}" "${beside[@]}" composites) ;;
            longer_labelled_twice) run=(mt --steps 1200 "${beside[@]}" labelled) ;;
            mgm_rooms_first) run=(mgm --steps 600 "${rooms[@]}") ;;
            *) run=("$name" --steps 600) ;;
        esac
        [ -e "$out/$name-$seed/result.json" ] ||
            mgm train "${run[@]}" "${common[@]}" --seed "$seed" --out "$out/$name-$seed" > /dev/null
        rows+=("$name=$out/$name-$seed")
    done
done
pairs=(mt_longer:mt rooms_first:mt_longer labelled_twice:mt composites:labelled_twice rooms_beside:labelled_twice
    rooms_first_composites:longer_labelled_twice mgm:mt mgm:mgm_no_generator mgm:mgm_control mgm_rooms_first:mgm)
python benchmarks/collect_results.py beyond "${rows[@]}" "${pairs[@]/#/--pair=}"
