"""sentry/apply.sh: sends the bodies with curl, each once. Its text only; nothing is sent from here."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from string import Template
from typing import Final

_SCRIPT: Final = Template(
    """\
#!/bin/sh
# Creates a service's alert rules and dashboard in Sentry; it skips what already exists by name.
# Written by `slotel generate` for the service $named: change slotel.yaml and run it again.
#
#   SENTRY_AUTH_TOKEN=... SENTRY_PROJECT=... SENTRY_TEAM_ID=... sh sentry/apply.sh
#
# The token is of an internal integration with alerts:write, org:write and project:read. SENTRY_URL and SENTRY_ORG
# name another Sentry or organisation. DRY_RUN=1 prints what would be sent.
set -eu
cd "$$(dirname "$$0")"
address=$address organisation=$organisation project=$project
SENTRY_URL="$${SENTRY_URL:-$$address}" SENTRY_ORG="$${SENTRY_ORG:-$$organisation}"
SENTRY_PROJECT="$${SENTRY_PROJECT:-$$project}"
: "$${SENTRY_URL:?the address of Sentry, as https://sentry.io}"
: "$${SENTRY_ORG:?the slug of the organisation}"
: "$${SENTRY_TEAM_ID:?the id of the team that is told by mail}"
[ -n "$${DRY_RUN:-}" ] || : "$${SENTRY_AUTH_TOKEN:?a token of an internal integration}"
case "$$SENTRY_ORG$$SENTRY_PROJECT$$SENTRY_TEAM_ID" in
  *[!A-Za-z0-9_-]*) echo "SENTRY_ORG, SENTRY_PROJECT, SENTRY_TEAM_ID are slugs: letters, digits, -, _" >&2; exit 2 ;;
esac

# The token is no argument: arguments can be seen by every user of the machine.
call() {
  curl --config /dev/fd/3 -sS --fail-with-body "$$@" 3<<EOF
header = "Authorization: Bearer $$SENTRY_AUTH_TOKEN"
EOF
}

fill() {
  sed -e "s/{organization}/$$SENTRY_ORG/g" -e "s/{project}/$$SENTRY_PROJECT/g" -e "s/{team}/$$SENTRY_TEAM_ID/g"
}

create() { # path, file, name
  place="$$SENTRY_URL$$(printf %s "$$1" | fill)"
  if [ -n "$${DRY_RUN:-}" ]; then
    printf 'POST %s\\n' "$$place"
    fill < "$$2"
    return
  fi
  known="$$(call "$$place?per_page=100")"
  case "$$(printf %s "$$known" | sed -e 's/": "/":"/g')" in
    *"\\"name\\":\\"$$3\\""* | *"\\"title\\":\\"$$3\\""*) echo "there already: $$3"; return ;;
  esac
  if ! answer="$$(fill < "$$2" | call -X POST -H 'Content-Type: application/json' --data-binary @- "$$place")"; then
    printf 'refused: %s\\n%s\\n' "$$3" "$$answer" >&2
    exit 1
  fi
  echo "created: $$3"
}

$calls
"""
)


def script(service: str, address: str, organisation: str, calls: Sequence[tuple[str, str, str]]) -> str:
    """Return the script.

    Args:
        calls: path in Sentry's API, file of the body, name by which it is known there.
    """
    lines = [f"create {_quoted(path)} {_quoted(file)} {_quoted(name)}" for path, file, name in calls]
    return _SCRIPT.substitute(
        named=json.dumps(service),
        address=_quoted(address),
        organisation=_quoted(organisation),
        project=_quoted(re.sub(r"[^a-z0-9_-]+", "-", service.lower())),
        calls="\n".join(lines),
    )


def _quoted(text: str) -> str:
    escaped = text.replace("'", "'\\''")
    return f"'{escaped}'"
