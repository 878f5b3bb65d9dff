#!/bin/sh
# Runs the Sentry tests with each sentry-sdk that slotel works with, and once without the optional fast encoders.
# Usage: tests/matrix.sh [pytest arguments]; default: tests/runtime/sentry. Venvs stay in .cache/matrix.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
if [ $# -eq 0 ]; then set -- tests/runtime/sentry; fi
failed=""
for set_up in "2.61.0" "newest-2" "3.0.0b2" "newest-2-plain"; do
    venv=.cache/matrix/$set_up
    case $set_up in
        newest-2*) wanted="sentry-sdk<3" ;;
        *) wanted="sentry-sdk==$set_up" ;;
    esac
    if [ ! -x "$venv/bin/pytest" ]; then
        uv venv --quiet --python "$python" "$venv"
        uv pip install --quiet --python "$venv/bin/python" --require-hashes -r requirements.lock
        uv pip install --quiet --python "$venv/bin/python" --no-deps -e .
        uv pip install --quiet --python "$venv/bin/python" --upgrade-package sentry-sdk "$wanted"
        case $set_up in *-plain) uv pip uninstall --quiet --python "$venv/bin/python" orjson isal ;; esac
    fi
    version=$("$venv/bin/python" -c 'from sentry_sdk.consts import VERSION; print(VERSION)')
    echo "== sentry-sdk $version ($set_up)"
    "$venv/bin/python" -m pytest -q -p no:cacheprovider "$@" || failed="$failed $set_up"
done
if [ -n "$failed" ]; then
    echo "failed with:$failed"
    exit 1
fi
