"""Writes the tag policy of an empty slotel.yaml into the configurations: run it when the redacted keys change."""

import textwrap
from pathlib import Path

from slotel.compile.collector.policy import PROCESSOR, collector_yaml, policy
from slotel.config.service import Service

HERE = Path(__file__).parent
BEGIN, END = f"  {PROCESSOR}:\n", "\n  filter/dropped:"


def main() -> None:
    """Replace the block in both files."""
    processors = policy([Service()])["processors"]
    block = textwrap.indent(collector_yaml({PROCESSOR: processors[PROCESSOR]}), "  ").rstrip()
    for name in ("otel-collector.yaml", "agent.yaml"):
        path = HERE / name
        text = path.read_text()
        before, after = text[: text.index(BEGIN)], text[text.index(END) :]
        path.write_text(before + block + after)


if __name__ == "__main__":
    main()
