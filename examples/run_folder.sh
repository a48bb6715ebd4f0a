#!/usr/bin/env bash
# Runs every video of a folder, one after the other; what has results already is left out:
#
#   examples/run_folder.sh FOLDER [options of a run, for example --stride 6]
#
# An episode is named as its file, with `-` for what a name may not hold. SCREENALYTICS is the command
# (default: screenalytics, or that of this checkout), SCREENALYTICS_DATA_ROOT where results go
# (default: data).
set -euo pipefail

folder=${1:?the folder of videos is missing}
shift
ours=$(dirname "$0")/../.venv/bin/screenalytics
command -v screenalytics >/dev/null || [ ! -x "$ours" ] || SCREENALYTICS=${SCREENALYTICS:-$ours}
read -ra screenalytics <<<"${SCREENALYTICS:-screenalytics}"
results=${SCREENALYTICS_DATA_ROOT:-data}/manifests
failed=0

for video in "$folder"/*.{mp4,mkv,mov,avi,ts,webm}; do
  [ -f "$video" ] || continue
  name=$(basename "${video%.*}" | sed -E 's/[^A-Za-z0-9._-]/-/g; s/^[^A-Za-z0-9]+//; s/\.\.+/./g')
  if [ -e "$results/$name/latest.json" ]; then
    echo "$name: has results"
    continue
  fi
  status=0
  "${screenalytics[@]}" run --ep-id "$name" --video "$video" "$@" </dev/null || status=$?
  case $status in
    0) echo "$name: done" ;;
    129 | 130 | 143) exit "$status" ;; # stopped by whoever runs this
    2 | 4 | 5) exit "$status" ;;       # would fail for every video: arguments, accelerator, model
    *) echo "$name: exit code $status" && failed=$((failed + 1)) ;;
  esac
done

[ "$failed" -eq 0 ] || { echo "$failed failed" >&2 && exit 1; }
