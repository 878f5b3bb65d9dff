"""Whatever a variable says, a start looks at all of the environment, says what is wrong in a line, and goes on."""

import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.util.http import parse_excluded_urls

from slotel.config.load import read_configuration
from slotel.config.problem import INVALID
from slotel.config.service import read_service
from slotel.config.variables import VARIABLES
from slotel.runtime.checks import environment, settings
from slotel.runtime.checks.exports import describe_exports
from slotel.runtime.checks.start import before_start, examined
from slotel.runtime.metrics.scrape.http.port import DEFAULT_PORT, read_address
from slotel.runtime.setup.defaults import LEFT_OUT, set_defaults
from slotel.runtime.status_page.health import otlp
from slotel.runtime.tracing.sampler_env import validate_sampler
from support.launch import LAUNCHER, clean_environ

NAMES = sorted(
    {
        *(each.name for each in VARIABLES), *environment._otel_names(), "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_CONFIG_FILE",
        "OTEL_EXPORTER_PROMETHEUS_HOST", "OTEL_EXPORTER_PROMETHEUS_PORT", "OTEL_PYTHON_EXCLUDED_URLS", "PORT", "SSL_CERT_FILE",
        "HTTPS_PROXY", "http_proxy", "XDG_RUNTIME_DIR", "TMPDIR", "KUBERNETES_SERVICE_HOST",
    }
)  # fmt: skip
ODD = (
    "", " ", "²", "١٢٣", "9" * 5000, "-1", "0", "nan", "1e999", "1e-999", "0x10", "1_000", "null", ",=,", "a=b=c,=,x", "://", "/",
    "http://h:99999/", "http://h:${PORT}", "http://[::1", "http://[bad]:1/", "/" + "a" * 5000, "a" * 5000, "\udcff", "%s {x}", "line\nbreak",
    "1/" + "9" * 400, "9" * 400 + "s", "99." + "9" * 40 + "%", "http://u:p@h:4318/?x#y", "/dev/zero",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_value_of_a_variable_ends_the_look_at_the_others(name, monkeypatch):
    for value in ODD:
        monkeypatch.setattr("slotel.runtime.setup.defaults.LEFT_OUT", {})
        environ = {name: value}
        set_defaults(environ)
        reading = read_configuration(environ)
        found = list(before_start(reading, environ))
        assert [str(each) for each in found if each.code == "SLO170"] == [], value
        assert max((len(str(each)) for each in found if each.status != "ok"), default=0) < 1500, value
        assert 0 <= read_address(environ)[1] <= 65535
        validate_sampler(environ, reading.service.sentry.traces_sample_rate)
        list(environment.samples_nothing(reading.service.sentry, environ))
        assert describe_exports(reading.service, environ)
        otlp({"OTEL_TRACES_EXPORTER": "otlp", **environ}, {})


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:${PORT}"},
         "OTEL_EXPORTER_OTLP_ENDPOINT='http://collector:${PORT}' is not a URL with a valid host and port: write http://HOST:4318 [SLO128]"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "²"}, "OTEL_BSP_MAX_QUEUE_SIZE='²' is not a number: write digits without a unit [SLO127]"),
        ({"OTEL_BSP_SCHEDULE_DELAY": "0"}, "OTEL_BSP_SCHEDULE_DELAY='0' is 0: write more [SLO127]"),
        ({"OTEL_SPAN_EVENT_COUNT_LIMIT": "9" * 5000},
         f"OTEL_SPAN_EVENT_COUNT_LIMIT='{'9' * 80}' is not a number: write digits without a unit [SLO127]"),
        ({"SLOTEL_MAX_SERIES": "²"}, f"SLOTEL_MAX_SERIES='²': write a whole number above 0 (using the default, 2000) [{INVALID}]"),
        ({"ERROR_BUDGET_LIMIT": "1e-999"},
         f"ERROR_BUDGET_LIMIT='1e-999': an error limit is at least one in 10^12: write for example '0.001%' (using the default, 1%) [{INVALID}]"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_what_to_write(variables, line, monkeypatch):
    monkeypatch.setattr("slotel.runtime.setup.defaults.LEFT_OUT", LEFT_OUT)
    environ = {"OTEL_SERVICE_NAME": "x", **variables}
    set_defaults(environ)
    try:
        assert line in [str(each) for each in before_start(read_service(environ), environ)]
    finally:
        LEFT_OUT.clear()


def test_a_port_that_is_none_is_named_and_the_default_stands():
    for value in ("9" * 5000, "²", "65536", "http"):
        host, port, (problem,) = read_address({"OTEL_EXPORTER_PROMETHEUS_PORT": value})
        assert (host, port) == ("localhost", DEFAULT_PORT)
        assert str(problem).startswith(f"OTEL_EXPORTER_PROMETHEUS_PORT='{value[:80]}': write a port number")


def test_a_check_that_fails_is_a_finding_and_the_next_one_is_made():
    def fails(_environ):
        yield from ()
        raise ZeroDivisionError("x")

    (found,) = examined("metrics", fails, {})
    assert (found.subject, found.code) == ("metrics", "SLO170")


@pytest.mark.parametrize(
    "pattern",
    [
        "([a-z0-9]+-?)+",
        "(a|a)*b",
        r"(\\w+\\s?)*",
        "(?:x*)*y",
        "([0-9]{1,9})+k",
        "(((a+)+)+)+b",
        "(ab|ab)*c",
        "id-(foo|foo|x)*",
        "(?:a|b|ab)*c",
        "(customer|customer)+",
        "x(?:ab|a|b|ba){40}y",
        "(.|a)*b",
        "[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*k",
        "(a?){25}a{25}",
        "t:(\\\\w|-|a-)+;",
    ],
)
def test_a_tags_pattern_that_takes_twice_as_long_for_each_character_is_named(pattern):
    document = f"tags: {{required: {{tenant: {{pattern: '{pattern}'}}}}}}"
    found = [
        each
        for each in before_start(read_service({}, document.replace("\\\\", "\\")), {})
        if each.code == "SLO108"
    ]
    assert [each.text.partition(":")[0] for each in found] == ["tags.required.tenant.pattern"]


@pytest.mark.parametrize(
    "pattern",
    [
        "[a-z]+(-[a-z]+)*",
        "[a-z0-9-]{1,40}",
        "(?:[a-z]{1,20}[.]){1,3}x",
        "(a|b)+",
        "(?:[0-9]{3})+",
        "(foo|bar)+",
        "(?:[a-z]+[.])*[a-z]+",
        "[^|]+([|][^|]+)*",
        "[a-z]+-[a-z]+",
    ],
)
def test_a_tags_pattern_that_looks_at_each_character_once_is_not(pattern):
    document = f"tags: {{required: {{tenant: {{pattern: '{pattern}'}}}}}}"
    assert [each for each in before_start(read_service({}, document), {}) if each.code == "SLO108"] == []


def test_a_list_of_excluded_addresses_that_an_address_keeps_busy_is_named():
    def found(value):
        environ = {"OTEL_PYTHON_FLASK_EXCLUDED_URLS": value}
        return [each.code for each in before_start(read_service(environ), environ)]

    assert "SLO108" in found("/healthz,/(a+)+/x$")
    assert "SLO108" not in found("/healthz$,/static/.*[.]js$,/api/v[0-9]+/status")


@pytest.mark.process
@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:${PORT}", "OTEL_TRACES_EXPORTER": "console"},
        {"OTEL_BLRP_MAX_QUEUE_SIZE": "9" * 5000, "PORT": "²"},
    ],
)
def test_a_start_survives_what_it_cannot_read(variables):
    code = "from slotel.runtime.state import current; print('counts:', current().pipeline is not None)"
    done = subprocess.run(
        [str(LAUNCHER), sys.executable, "-c", code],
        env=clean_environ(OTEL_SERVICE_NAME="x", OTEL_METRICS_EXPORTER="none", **variables),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.stdout == "counts: True\n", done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.process
def test_a_folder_that_may_not_be_looked_into_is_one_without_a_file(tmp_path):
    code = (
        "import os, sys; from slotel.config.load import read_configuration; from slotel.runtime.checks.settings import misnamed_file\n"
        "os.chdir(sys.argv[1]); os.chmod('.', 0)\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "print(read_configuration({}).problems, list(misnamed_file({})))"
    )
    folder = tmp_path / "dark"
    folder.mkdir()
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=False)
    folder.chmod(0o700)
    assert done.stdout == "() []\n", done.stderr


def test_a_link_that_leads_nowhere_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("slotel.yaml").symlink_to("/nowhere/slotel.yaml")
    assert [str(each) for each in read_configuration({}).problems] == [
        f"slotel.yaml: there is no such file (using the environment and defaults) [{INVALID}]"
    ]


@pytest.mark.parametrize(
    "written", ["", "healthz", "healthz,", ",healthz", "healthz, ,ready", ".*", "/", "http", "^", "/api/v1/.*,/x$", "a|", "client/.*/info"]
)  # fmt: skip
def test_a_list_that_leaves_out_every_address_is_named(written):
    """The oracle: what the instrumentations make of the same variable, for addresses of which no list knows."""
    listed = parse_excluded_urls(written)
    leaves_out = [
        listed.url_disabled(f"http://{name}.example:8000/{name}/7") for name in ("unheard-of", "zzz", "q")
    ]
    found = list(settings.excluded_urls({"OTEL_PYTHON_FLASK_EXCLUDED_URLS": written}))
    assert [each.code for each in found] == ["SLO137"] * all(leaves_out)


def test_a_list_of_addresses_that_is_no_regular_expression_is_named():
    (finding,) = settings.excluded_urls({"OTEL_PYTHON_EXCLUDED_URLS": "healthz,(ready"})
    assert (finding.status, finding.code) == ("fail", "SLO137")
    assert "missing )" in finding.text
