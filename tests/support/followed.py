"""The pages that tests/test_pages.py follows, and what must come of it."""

METRICS = "curl -s http://localhost:9464/metrics"
SINK = "curl -s http://127.0.0.1:9000/"
GOOD = (f"{METRICS} | grep slo_events", 'slo_name="availability",slo_outcome="good"} 2')
BAD = (f"{METRICS} | grep slo_events", 'slo_name="availability",slo_outcome="bad"} 1')
SHOP = (GOOD, BAD, (SINK, "the payment provider is down"))
APP = """\
from flask import Flask

app = Flask(__name__)


@app.get("/")
def home():
    return "hello"
"""
PAGES = {
    "README.md": {"app": APP, "then": ((METRICS, "slo_events_total"),)},
    "docs/migrating.md": {
        "app": APP,
        "file": "main.py",
        "python": "python main.py",
        "then": ((METRICS, "slo_events_total"),),
    },
    "docs/tutorial.md": {
        "then": (
            (f"{METRICS} | grep slo_events", 'slo_outcome="good"} 10'),
            (f"{METRICS} | grep slo_events", 'slo_outcome="bad"} 5'),
            (SINK, "the payment provider is down"),
            ("curl -s http://localhost:9464/", "availability"),
        )
    },
    "docs/how-to/logs.md": {"python": "opentelemetry-instrument python app.py"},
    "docs/how-to/sampling.md": {},
    "examples/aiohttp/README.md": {"then": SHOP},
    "examples/celery/README.md": {
        "programs": ["redis-server"],
        "then": ((SINK, "the payment provider is down"),),
    },
    "examples/cron/README.md": {"then": ((SINK, "the warehouse is closed on mondays"),)},
    "examples/django/README.md": {"then": SHOP},
    "examples/fastapi/README.md": {"then": SHOP},
    "examples/flask/README.md": {"then": SHOP},
    "examples/grpc/README.md": {"then": ((SINK, "the directory is down"),)},
    "examples/serverless/README.md": {"then": ((SINK, "a width is above 0"),)},
    "examples/starlette/README.md": {"then": SHOP},
    "examples/two-services/README.md": {"then": ((SINK, "the shelf is gone"),)},
}
"""Page → what it is followed with.

`app`: what the reader has in app.py; `file` and `python`: where each block of Python is written to, and the command that runs it;
`programs`: what must be installed; `then`: questions, and what must be in their answers.
"""
LONG_PAGES = frozenset(page for page in PAGES if page.startswith("examples/") and "flask" not in page)
"""Pages that `make long` follows: tests/examples starts the same commands, and looks closer at what comes of them."""
