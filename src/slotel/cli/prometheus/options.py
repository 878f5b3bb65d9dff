"""The options of commands that ask a Prometheus."""

from __future__ import annotations

import click

url_option = click.option(
    "--prometheus",
    "url",
    metavar="URL",
    required=True,
    help="Address of Prometheus, or of what speaks its HTTP API.",
)
header_option = click.option(
    "--header",
    "headers",
    metavar="'NAME: VALUE'",
    multiple=True,
    help="A header of each request, such as Authorization.",
)
