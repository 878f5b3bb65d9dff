"""What the commands print quotes values of the environment and the file; it may be in the public log of a CI."""

import json
import re

import pytest
from click.testing import CliRunner

from slotel.cli.commands import app
from slotel.cli.doctor.command import main

SECRET = "SEK7RETx9"
PLACES = {
    "ERROR_BUDGET_LIMIT": f"postgresql://u:{SECRET}@db/x",
    "SLOTEL_SENTRY_MODE": f"password={SECRET}",
    "OTEL_TRACES_EXPORTER": f"token={SECRET}",
    "OTEL_TRACES_SAMPLER": f"api_key={SECRET}",
    "OTEL_EXPORTER_OTLP_ENDPOINT": f"u:{SECRET}@collector:4318",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://u:{SECRET}@collector:${{PORT}}",
    "OTEL_BSP_SCHEDULE_DELAY": f"token={SECRET}",
    "OTEL_PROPAGATORS": f"https://u:{SECRET}@h",
    "OTEL_RESOURCE_ATTRIBUTES": f"deploy.token:{SECRET}",
    "SSL_CERT_FILE": f"/x/?token={SECRET}",
    "HTTPS_PROXY": f"ftp://u:{SECRET}@proxy",
    "SENTRY_DSN": f"https://{SECRET}:{SECRET}@h/x",
}
FILE = (
    f"service: x\nsentry: {{mode: 'password={SECRET}'}}\nslos: [{{name: a, objective: 'token={SECRET}'}}]\n"
)


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slotel.yaml").write_text(FILE)
    for name, value in PLACES.items():
        monkeypatch.setenv(name, value)


@pytest.mark.process  # it tries the port
@pytest.mark.parametrize("arguments", [["--offline"], ["--offline", "--json"]])
def test_doctor_shows_no_secret(arguments, capsys):
    main(arguments)
    said = capsys.readouterr().out
    assert "[Filtered]" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["validate"],
        ["validate", "--format", "json"],
        ["validate", "--format", "github"],
        ["explain"],
    ],
)
def test_the_other_commands_show_none(arguments):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert "[Filtered]" in done.output
    assert SECRET not in done.output
    if "json" in arguments:
        assert json.loads(done.output)["problems"]


HOSTILE = "a\nERROR slotel: forged \x1b[2J\x1b]0;t\x07\u202e\x9b31m"


def is_one_terminal_line_each(said):
    seen = re.sub(r"\x1b\[[0-9;]{0,8}m", "", said)  # colours of its own
    return not [each for each in seen if not each.isprintable() and each != "\n"] and "\nERROR" not in said


@pytest.mark.process  # it tries the port
def test_doctor_shows_what_a_terminal_obeys_as_text_and_each_finding_as_one_line(
    capsys, monkeypatch, tmp_path
):
    (tmp_path / "slotel.yaml").unlink()
    for name in (*PLACES, "OTEL_SERVICE_NAME", "OTEL_EXPORTER_PROMETHEUS_HOST", "SLOTEL_METRICS_WEB_CONFIG"):
        monkeypatch.setenv(name, HOSTILE)
    main(["--offline"])
    said = capsys.readouterr().out
    assert r"a\nERROR slotel: forged \x1b[2J" in said
    assert is_one_terminal_line_each(said)


@pytest.mark.parametrize("command", ["validate", "explain"])
@pytest.mark.parametrize("is_fine", [True, False])
def test_the_other_commands_show_the_same_of_a_file(command, is_fine, tmp_path, monkeypatch):
    for name in PLACES:
        monkeypatch.delenv(name)
    text = json.dumps(HOSTILE)
    document = f"service: {text}\nslos: [{{name: a, objective: '99%', include: {{http.route: [{text}]}}}}]\n"
    (tmp_path / "slotel.yaml").write_text(document if is_fine else f"{document}{text}: 1\n")
    done = CliRunner().invoke(app, [command])
    assert r"ERROR slotel: forged \x1b[2J" in done.output
    assert is_one_terminal_line_each(done.output)
