"""What holds a tracer or a meter is copied and pickled under slotel as without it."""

import subprocess
import sys

import pytest

from support.launch import LAUNCHER, clean_environ
from support.ports import free_port

START = """
import copy, pickle
from opentelemetry import metrics, trace
from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer
class Shop:
    def __init__(self):
        self.tracer = trace.get_tracer("shop", "1.0", schema_url="https://schema.example")
shop = Shop()
"""
TRACER = """
for other in (pickle.loads(pickle.dumps(shop)), copy.copy(shop), copy.deepcopy(shop)):
    with other.tracer.start_as_current_span("order") as span:
        scope = getattr(span, "instrumentation_scope", None)
    assert isinstance(other.tracer, Tracer)
    assert scope is None or (scope.name, scope.version, scope.schema_url) == ("shop", "1.0", "https://schema.example")
"""
FUNCTIONS = """
for function in (trace.get_current_span, trace.use_span):
    assert pickle.loads(pickle.dumps(function)) is function
"""
APP = """
from starlette.applications import Starlette
app = Starlette()
for added in copy.deepcopy(app.user_middleware):
    added.cls(app.router, *added.args, **added.kwargs)
"""
METER = """
meter = metrics.get_meter("shop")
other = copy.deepcopy(meter)
assert isinstance(other, Meter) and isinstance(pickle.loads(pickle.dumps(meter)), Meter)
other.create_counter("orders").add(1)
"""


@pytest.mark.parametrize("spans", ["slotel", "sdk"])
@pytest.mark.parametrize(
    ("code", "works_alone"),
    [(TRACER, True), (FUNCTIONS, True), (APP, True), (METER, False)],
    ids=["a tracer", "functions of the API", "middlewares of an app", "a meter"],
)
def test_what_can_be_pickled_or_copied_without_slotel_can_be_with_it(code, works_alone, spans, tmp_path):
    (file := tmp_path / "program.py").write_text(START + code)
    env = clean_environ(OTEL_EXPORTER_PROMETHEUS_PORT=str(free_port()), SLOTEL_SPANS=spans)
    for command in ([sys.executable], [str(LAUNCHER), sys.executable])[not works_alone :]:
        done = subprocess.run(
            [*command, str(file)], env=env, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
