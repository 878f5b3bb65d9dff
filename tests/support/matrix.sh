#!/bin/sh
# Runs the Sentry tests with each sentry-sdk that slotel works with, and once without the optional fast encoders.
# Usage: tests/support/matrix.sh [pytest arguments]; default: tests/runtime/sentry. The venvs in .cache/matrix are made anew each
# time (15 s each): an old one runs another checkout, an old lock, and a sentry-sdk that is no longer the newest.
set -eu
cd "$(dirname "$0")/.."
make .venv/.installed
PATH=$PWD/.venv/bin:$PATH # uv
if [ $# -eq 0 ]; then set -- tests/runtime/sentry; fi
failed=""
for set_up in "2.61.0" "newest-2" "3.0.0b2" "newest-2-plain"; do
    venv=$PWD/.cache/matrix/$set_up
    case $set_up in
        newest-2*) wanted="sentry-sdk<3" ;;
        *) wanted="sentry-sdk==$set_up" ;;
    esac
    uv venv --quiet --clear --python "${PYTHON:-.venv/bin/python}" "$venv"
    uv pip install --quiet --python "$venv/bin/python" --require-hashes -r requirements.lock
    uv pip install --quiet --python "$venv/bin/python" --no-deps -e .
    uv pip install --quiet --python "$venv/bin/python" --upgrade-package sentry-sdk "$wanted"
    case $set_up in *-plain) uv pip uninstall --quiet --python "$venv/bin/python" orjson isal ;; esac
    version=$("$venv/bin/python" -c 'from sentry_sdk.consts import VERSION; print(VERSION)')
    echo "== sentry-sdk $version ($set_up)"
    "$venv/bin/python" -m pytest -q -p no:cacheprovider "$@" || failed="$failed $set_up"
done
if [ -n "$failed" ]; then
    echo "failed with:$failed"
    exit 1
fi
