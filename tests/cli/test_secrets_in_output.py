"""What the commands print quotes values of the environment and the file; it may be in the public log of a CI."""

import json

import pytest
from click.testing import CliRunner

from slotel.cli.doctor.command import main
from slotel.cli.main import app

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
