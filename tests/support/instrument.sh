#!/bin/sh
# What `opentelemetry-instrument COMMAND` of the first folder on PATH does, without the Python process that it does it in: a
# quarter of a service's start. tests/e2e/test_auto_instrumentation.py compares the two.
bin=${PATH%%:*}
for folder in "$bin"/../lib/python3*/site-packages/opentelemetry/instrumentation/auto_instrumentation; do
  export PYTHONPATH="$folder:$PWD${PYTHONPATH:+:$PYTHONPATH}"
done
exec "$@"
