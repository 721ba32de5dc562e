#!/usr/bin/env bash
# Installs canaryfleet from this checkout into a folder of the job, and puts its command on the PATH of later steps.
# usage: install.sh [requirements/FILE.txt]
# Python never looks into the current folder (-I, -P): there stands what somebody proposes.
set -euo pipefail

home=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
target=${RUNNER_TEMP:?this is no step of GitHub Actions}/canaryfleet
"$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "::error title=canaryfleet::it needs Python 3.11 or newer, and $python is not: set the input python"
  exit 2
}
"$python" -I -m venv "$target/venv"
"$target/venv/bin/python" -I -m pip install --quiet --disable-pip-version-check --require-hashes \
  --only-binary :all: -r "$home/${1:-requirements/run.txt}"
mkdir -p "$target/bin"
printf '#!/bin/sh\nPYTHONPATH=%q exec %q -P -m canaryfleet "$@"\n' \
  "$home/generator" "$target/venv/bin/python" >"$target/bin/canaryfleet"
chmod +x "$target/bin/canaryfleet"
echo "$target/bin" >>"${GITHUB_PATH:?}"
