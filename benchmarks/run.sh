#!/usr/bin/env bash
# Measures clpipe beside its peers and writes benchmarks/RESULTS.md. The machine
# should be idle. Options go to compare.py, as --suites loss gemm; PYTHON names
# an interpreter that has the peers already, else they are installed.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-}
if [ -z "$python" ]; then
  python=benchmarks/.venv/bin/python
  [ -x "$python" ] || python3 -m venv benchmarks/.venv
  "$python" -m pip install --quiet --requirement benchmarks/peers/requirements.txt
  grep -v '^#' benchmarks/peers/optional.txt | while read -r packages; do
    # shellcheck disable=SC2086 # several words
    "$python" -m pip install --quiet $packages || echo "$packages cannot be installed here: what needs it is left out" >&2
  done
fi
mkdir -p benchmarks/results
CGO_ENABLED=0 go build -trimpath -o benchmarks/results/ ./cmd/clpipe ./benchmarks/peers/s3bare
if [ ! -x benchmarks/.bin/versitygw ] && ! command -v versitygw >/dev/null; then # an S3 server, some minutes to build
  GOBIN=$PWD/benchmarks/.bin CGO_ENABLED=0 go install github.com/versity/versitygw/cmd/versitygw@v1.8.0 || echo "no S3 server: the suites s3-… are left out" >&2
fi

"$python" benchmarks/compare.py --binary benchmarks/results/clpipe "$@"
parity=()
if [ -e benchmarks/results/parity.json ]; then # of an earlier parity.py --output
  parity=(--parity benchmarks/results/parity.json)
fi
"$python" benchmarks/tables.py benchmarks/results/compare.json "${parity[@]}"
