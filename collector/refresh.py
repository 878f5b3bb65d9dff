"""Writes the tag policy of an empty slotel.yaml into the configurations: run it when the redacted keys change."""

import io
import textwrap
from pathlib import Path

from ruamel.yaml import YAML

from slotel.compile.collector.policy import PROCESSOR, escaped, policy
from slotel.config.service import Service

HERE = Path(__file__).parent
BEGIN, END = f"  {PROCESSOR}:\n", "\n  filter/dropped:"


def main() -> None:
    """Replace the block in both files."""
    stream = io.StringIO()
    yaml = YAML()
    yaml.width = 100_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump({PROCESSOR: escaped(policy([Service()]))["processors"][PROCESSOR]}, stream)
    block = textwrap.indent(stream.getvalue(), "  ").rstrip()
    for name in ("otel-collector.yaml", "agent.yaml"):
        path = HERE / name
        text = path.read_text()
        before, after = text[: text.index(BEGIN)], text[text.index(END) :]
        path.write_text(before + block + after)


if __name__ == "__main__":
    main()
