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
from slotel.cli.commands import COMMANDS
from slotel.config.service import read_service
from slotel.runtime.process import lifecycle
from support.blocks import NOT_RUN, every_block
from support.followed import PAGES as FOLLOWED
from support.launch import clean_environ

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
try:
    import generate
    import outcomes_page
finally:
    sys.path.pop(0)

ROOT = Path(__file__).parents[1]
PROGRAMS = {
    ".", "cd", "cp", "createdb", "curl", "django-admin", "docker", "export", "for", "grep", "kubectl", "make", "mkdir", "opentelemetry-instrument",
    "otelcol", "pip", "pipx", "promtool", "python", "python3", "redis-server", "sh", "slotel", "uvx", "uv", "git", "helm", "npm", "sudo", "kustomize",
    "bash", "eval", "$OTELCOL", ".venv/bin/python",
}  # fmt: skip
SETTINGS = {"version", "service", "tags", "redaction", "slos", "spans", "sentry", "monitoring"}
FROM_EXAMPLES = {f"docs/how-to/{name}.md": f"examples/{name}/README.md" for name in generate.TITLES}
"""Pages with the text of an example's README: that one is followed."""


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
        line = re.sub(r"^[A-Z]+=\$\((.*)\)$", r"\1", line)  # noqa: PLW2901 what a variable is set to
        words = [word for word in line.split() if not re.match(r"^[A-Z][A-Z0-9_]*=", word)]
        if words:
            assert words[0] in PROGRAMS, f"unknown program in: {line}"
        for command in re.findall(r"(?:^|&& |; |\$\(|'slotel\[tools\]' )(slotel [^;&)]*)", line):
            slotel(command)
        for extra in re.findall(r"slotel\[([a-z,]+)\]", line):
            assert set(extra.split(",")) <= {"otlp", "socks", "fast", "tools", "demo"}, line
        for target in re.findall(r"\bmake ([a-z][a-z0-9-]*)", line):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE), line


@pytest.mark.parametrize("block", every_block(), ids=lambda block: f"{block.page}:{block.number}")
def test_each_block_is_right_and_is_run_or_says_why_not(block):
    if block.is_shown:
        return
    assert block.language in ("sh", "python", "yaml", "dockerfile"), (
        "give the block a language; `text` shows something"
    )
    if block.language == "python":
        compile(block.text, "block", "exec")
    elif block.language == "yaml":
        for document in YAML(typ="safe").load_all(block.text):
            if isinstance(document, dict) and document.keys() <= SETTINGS:
                written = block.text if "version" in document else f"version: 1\n{block.text}"
                assert read_service({}, written).problems == ()
                return  # a file of slotel is read, which is all that is done with it
    elif block.language == "sh":
        shell(block.text)
    page = FROM_EXAMPLES.get(block.page, block.page)
    assert block.mark or page in FOLLOWED, (
        f"it is neither followed by tests/test_pages.py nor marked '{NOT_RUN}reason -->'"
    )


def test_a_mark_names_a_test_that_is_there():
    for block in every_block():
        for path in re.findall(r"\b(?:tests|examples)/[\w./-]+", block.mark):
            assert (ROOT / path).exists(), f"{block.page}: {path}"


def test_generated_pages_are_up_to_date():
    """Variables, keys, metrics and labels, commands, log lines, codes, how-tos of the examples, outcomes, lifecycle."""
    stale = [name for name, content in generate.pages() if (ROOT / "docs" / name).read_text() != content]
    assert not stale, "run: python docs/generate.py"
    assert (ROOT / "docs/outcomes.md").read_text() == outcomes_page.page(), (
        "run: python docs/outcomes_page.py"
    )
    assert lifecycle.table_as_markdown() in (ROOT / "docs/architecture.md").read_text()


def test_every_code_has_a_page_and_every_variable_that_the_code_reads_is_in_the_reference():
    from slotel.config.variables import VARIABLES

    assert {path.stem for path in (ROOT / "docs/reference/codes").glob("SLO*.md")} == set(generate.codes())
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
