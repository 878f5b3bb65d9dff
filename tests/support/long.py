"""Whether the long forms run, too: `make long`. A test marked `long`, or a longer list of cases, proves no other kind of thing."""

import os

LONG = os.environ.get("LONG") == "1"
