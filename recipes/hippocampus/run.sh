#!/usr/bin/env bash
# From the raw folder to the table: does pretraining help to segment the hippocampus from the labels of 4 patients?
#
#   bash run.sh FOLDER OUT
#
# FOLDER holds images/ and labels/, or the Decathlon's Task04_Hippocampus as it is unpacked. OUT is made.
# STEPS and FT_STEPS are the steps of pretraining and of fine-tuning; LABELS and SEED change the question. JOBS runs
# go side by side. OVERRIDES is for all of them: "key.path=value key.path=value".
set -euo pipefail

if [ $# -ne 2 ]; then
  echo "usage: bash run.sh FOLDER OUT" >&2
  exit 2
fi
export folder="$1" out="$2" steps="${STEPS:-150}" ft_steps="${FT_STEPS:-200}" labels="${LABELS:-4}" seed="${SEED:-0}"
export table="$out/split.csv" overrides="${OVERRIDES:-}"
mkdir -p "$out"

say() { printf '\n== %s (%s s)\n' "$1" "$SECONDS"; }

train() { # verb recipe name and more overrides
  local more
  read -ra more <<<"$overrides"
  medssl "$1" "hippocampus/$2" "out=$out/$3" "data.manifest=$table" "data.root=$folder" "data.store=$out/store" \
    data.split=train "seed=$seed" "${@:4}" ${more[@]+"${more[@]}"}
}

pretrain() { train pretrain "pretrain_$1" "$1" "optim.steps=$steps"; }

finetune() { # fine-tune, predict, evaluate
  local start="$out/$1"
  [ "$1" != scratch ] || start=null
  train finetune finetune "finetune_$1" "init=$start" "labels=$labels" "optim.steps=$ft_steps"
  medssl predict "$out/finetune_$1" "$table" "$out/masks_$1" --root "$folder" --split test --overlap 0.25 \
    >"$out/masks_$1.txt"
  medssl evaluate "$out/masks_$1" "$table" --root "$folder" --split test --json >"$out/dice_$1.json"
}

export -f train pretrain finetune
each() { # function, names
  printf '%s\n' "${@:2}" | xargs -P "${JOBS:-1}" -I{} bash -euo pipefail -c "$1 {}"
}

say "manifest: build, check, split by patient"
medssl manifest build "$folder" "$out/all.csv"
# a folder without a dataset.json does not say what the labels are
grep -qs '^classes:' "$out/all.yaml" || printf 'classes:\n  0: background\n  1: anterior\n  2: posterior\n' >>"$out/all.yaml"
medssl manifest check "$out/all.csv" --root "$folder"
medssl manifest split "$out/all.csv" "$table" --shares train=0.7,test=0.3 --seed 0
say "prepare the scans"
medssl prepare "$table" "$out/store" --root "$folder"
say "pretrain by simclr, spark and voco, without labels"
each pretrain simclr spark voco
say "fine-tune from scratch and from each, predict, evaluate"
each finetune scratch simclr spark voco

say "Dice of the test split, mean and 95 % interval over patients, from the labels of $labels patients"
python3 - "$out" <<'PYTHON'
import json
import sys


def cell(found):
    if found["low"] is None:  # one patient has no interval
        return "-" if found["mean"] is None else f"{found['mean']:.3f}"
    return f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


print(f"{'from':<10} {'all classes':<22} {'anterior':<22} {'posterior':<22} patients")
for init in ("scratch", "simclr", "spark", "voco"):
    with open(f"{sys.argv[1]}/dice_{init}.json", encoding="utf-8") as file:
        found = json.load(file)
    cells = [cell(one) for one in (found["mean_dice"], *found["dice"].values())]
    print(f"{init:<10} {cells[0]:<22} {cells[1]:<22} {cells[2]:<22} {found['mean_dice']['cases']}")
PYTHON
