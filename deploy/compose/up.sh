#!/bin/sh
# Makes the passwords in .env once, then starts everything. `sh deploy/compose/up.sh config` only checks the file.
set -eu
cd "$(dirname "$0")"
umask 077
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
if [ ! -f .env ]; then
  cat > .env <<END
# Made by up.sh for this machine. Not in the repository.
GRAFANA_ADMIN_PASSWORD=$(secret)
GLITCHTIP_DB_PASSWORD=$(secret)
GLITCHTIP_SECRET_KEY=$(secret)
# The DSN of a project in GlitchTip (http://localhost:8000), with the host glitchtip:8000; or Sentry's, as it is.
SENTRY_DSN=
# All traces by the collector to Sentry: set these, OTELCOL_TRACES=policy and SLOTEL_SENTRY_MODE=errors (docs/collector.md).
SENTRY_OTLP_TRACES_URL=http://unused.invalid/
SENTRY_PUBLIC_KEY=
OTELCOL_TRACES=no-sentry
SLOTEL_SENTRY_MODE=transactions
END
  echo "made .env: Grafana's user is admin, its password stands there"
fi
[ $# -gt 0 ] || set -- up --detach --build --wait
exec docker compose "$@"
