#!/bin/sh
# What `opentelemetry-instrument COMMAND` of the first folder on PATH does, without the Python process that it does it in: a
# quarter of a service's start. tests/e2e/test_auto_instrumentation.py compares the two.
bin=${PATH%%:*}
for folder in "$bin"/../lib/python3*/site-packages/opentelemetry/instrumentation/auto_instrumentation; do
  [ -d "$folder" ] || { echo "$0: no OpenTelemetry in $bin, the first folder on PATH" >&2; exit 1; }
  export PYTHONPATH="$folder:$PWD${PYTHONPATH:+:$PYTHONPATH}"
done
exec "$@"
