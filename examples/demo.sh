#!/usr/bin/env bash
# The whole way on generated data: export on the workstation, then use the bundle as a device would.
# `make demo` runs it; `bash examples/demo.sh FOLDER` keeps the result in FOLDER.
set -euo pipefail
folder=${1:-build/demo}
mkdir -p "$folder"
bundle=$folder/bundle

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '  $ %s\n' "$*"; "$@"; }

say "1. On the workstation: interactions in, a bundle for the device out"
show lerg-export run demo -o "$bundle" --force --quiet

say "2. What the device will get, and what opening and fine-tuning it will need"
show lerg-edge info "$bundle"

say "3. On the device (no torch there): the ten best items that user-0007 has not seen"
show lerg-edge recommend "$bundle" --user user-0007 -k 10

say "4. Something happens locally: user-0007 picks three of them"
new=$folder/new.csv
lerg-edge recommend "$bundle" --user user-0007 -k 10 --output "$folder/before.csv"
{ echo user,item; awk -F, 'NR == 4 || NR == 6 || NR == 8 {print $1 "," $2}' "$folder/before.csv"; } >"$new"
cat "$new"

say "5. The device learns from it, within a budget of memory, and saves the result as a new bundle"
rm -rf "$folder/tuned"
show lerg-edge finetune "$bundle" --interactions "$new" --epochs 3 --memory-budget 64MiB --output "$folder/tuned"

say "6. The recommendations have moved; what was picked is no longer offered"
show lerg-edge recommend "$folder/tuned" --user user-0007 -k 10

say "Done. The bundle lies in $bundle; 'lerg-export inspect $bundle' shows where each byte goes."
