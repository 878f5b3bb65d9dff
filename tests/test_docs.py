"""Each code block in README and docs is run or checked, or says why not; generated pages are up to date; the site builds."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from slotel.cli import LEAN
from slotel.cli.main import COMMANDS
from slotel.config.codes import CODES
from slotel.config.service import read_service
from support.launch import clean_environ

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("README.md")),
]
PAGES = [page for page in PAGES if "decisions" not in page.parts]
NOT_RUN = "<!-- not run here: "
DRAWN = {"", "text", "diff", "promql", "nginx", "ini", "json", "toml"}
"""Languages of what is shown and is no command: output, pictures, fragments of other tools."""
BLOCK = re.compile(
    r"(?:(?P<mark><!-- not run here: [^>]+-->)\s*\n)?(?P<fence>```+)(?P<language>[^\n`]*)\n(?P<text>.*?)\n(?P=fence)",
    re.DOTALL,
)
PROGRAMS = {
    ".", "cd", "cp", "createdb", "curl", "django-admin", "docker", "export", "for", "grep", "kubectl", "make", "mkdir", "opentelemetry-instrument",
    "otelcol", "pip", "pipx", "promtool", "python", "python3", "redis-server", "sh", "slotel", "uvx", "uv", "git", "helm", "npm", "sudo", "kustomize",
    "bash", "eval",
}  # fmt: skip


def blocks():
    for page in PAGES:
        for number, match in enumerate(BLOCK.finditer(page.read_text()), 1):
            yield pytest.param(
                match["mark"],
                match["language"].strip(),
                match["text"],
                id=f"{page.relative_to(ROOT)}:{number}",
            )


def slotel(line):
    """Check one command of slotel: it exists, and so do its options."""
    words = shlex.split(line.partition(" #")[0].partition(" > ")[0].partition(" | ")[0].rstrip(" &\\"))
    words = words[words.index("slotel") + 1 :]
    if not words or words[0].startswith("-"):
        return
    assert words[0] in COMMANDS, line
    own = words[1 : words.index("--")] if "--" in words else words[1:]
    if words[0] in LEAN:
        from importlib import import_module

        known = set(import_module(LEAN[words[0]]).parser()._option_string_actions)
    else:
        from importlib import import_module

        command = import_module(COMMANDS[words[0]][0]).command
        known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    for word in own:
        if word.startswith("-"):
            assert word.partition("=")[0] in known, line


def shell(text):
    text = re.sub(r"\\\n\s*", " ", text)
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("#"):
            continue
        words = [word for word in line.split() if not re.match(r"^[A-Z][A-Z0-9_]*=", word)]
        if words:
            assert words[0] in PROGRAMS, f"unknown program in: {line}"
        for command in re.findall(r"(?:^|&& |; |\$\(|'slotel\[tools\]' )(slotel [^;&)]*)", line):
            slotel(command)
        for extra in re.findall(r"slotel\[([a-z,]+)\]", line):
            assert set(extra.split(",")) <= {"otlp", "socks", "fast", "tools", "demo"}, line
        for target in re.findall(r"\bmake ([a-z][a-z0-9-]*)", line):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE), line


@pytest.mark.parametrize(("mark", "language", "text"), list(blocks()))
def test_each_block_is_right_or_says_why_it_is_not_run(mark, language, text):
    if mark or language in DRAWN:
        return
    if language in ("python", "py"):
        compile(text, "block", "exec")
    elif language in ("yaml", "yml"):
        for document in YAML(typ="safe").load_all(text):
            if isinstance(document, dict) and document.get("version") == 1:
                assert read_service({}, text).problems == ()
    elif language in ("sh", "shell", "bash", "console"):
        shell(text)
    else:
        pytest.fail(f"a block of {language!r} is neither run nor marked '{NOT_RUN}reason -->'")


def test_the_tutorials_code_and_commands_are_those_of_a_service_that_runs(tmp_path):
    """What the tutorial does in one environment is done here in another: app, sink, requests, budget, page."""
    import urllib.request

    from slotel.cli.sink import SentrySink
    from support.launch import Launched, wait_until

    text = (ROOT / "docs/tutorial.md").read_text()
    (code,) = [match["text"] for match in BLOCK.finditer(text) if match["language"] == "python"]
    (tmp_path / "app.py").write_text(code)
    waitress = str(Path(sys.executable).with_name("waitress-serve"))
    with SentrySink() as sink:
        env = {"SENTRY_DSN": sink.dsn(1), "ERROR_BUDGET_LIMIT": "5%"}
        with Launched(waitress, "--listen=127.0.0.1:{port}", "app:app", env=env, cwd=tmp_path) as service:
            service.wait_ready("/")
            for _ in range(10 - service.requests):
                service.get("/")
            wait_until(
                lambda: service.sample("slo_events_total", slo_outcome="good") == 10, "ten good events"
            )
            for _ in range(5):
                service.get("/fail")
            wait_until(lambda: service.sample("slo_events_total", slo_outcome="bad") == 5, "five bad events")
            wait_until(lambda: len(sink.payloads("event")) >= 6, "five errors and an incident")
            with urllib.request.urlopen(f"http://127.0.0.1:{service.metrics_port}/", timeout=30) as answer:
                assert "availability" in answer.read().decode()


GENERATED = ["variables.md", "slotel-yaml.md", "codes/index.md"]


@pytest.mark.parametrize("page", GENERATED)
def test_generated_pages_are_up_to_date(page):
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import generate
    finally:
        sys.path.pop(0)
    made = {"variables.md": generate._variables, "slotel-yaml.md": generate._keys}
    content = made[page]() if page in made else dict(generate._codes())["reference/codes/index.md"]
    assert (ROOT / "docs/reference" / page).read_text() == content, "run: python docs/generate.py"


def test_every_code_has_a_page_and_every_variable_that_the_code_reads_is_in_the_reference():
    from slotel.config.variables import VARIABLES

    assert {path.stem for path in (ROOT / "docs/reference/codes").glob("SLO*.md")} == set(CODES)
    read = set()
    for path in (ROOT / "src/slotel").rglob("*.py"):
        read |= set(re.findall(r'"(SLOTEL_[A-Z_]+[A-Z])"', path.read_text()))
    assert read <= {each.name for each in VARIABLES}


def test_the_site_builds_strictly():
    mkdocs = ROOT / ".venv-docs/bin/mkdocs"
    if not mkdocs.exists():
        message = "the site's tools are not installed: make docs"
        if os.environ.get("REQUIRE_REAL") == "1":
            pytest.fail(message)
        pytest.skip(message)
    done = subprocess.run(
        [str(mkdocs), "build", "--strict", "--quiet", "--site-dir", str(ROOT / ".cache/site-test")],
        cwd=ROOT, env=clean_environ(NO_MKDOCS_2_WARNING="1"), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
