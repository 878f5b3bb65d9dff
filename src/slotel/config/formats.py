"""Which format a configuration is in: slotel's own, OpenSLO v1 or Sloth's. A service reads only its own.

Objectives from the other two are PromQL: a service cannot count them, rules can.
"""

from __future__ import annotations

from collections.abc import Mapping

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from slotel.config import openslo, sloth
from slotel.config.document import MAX_CHARACTERS
from slotel.config.service import Reading, read_service


def read_any(environ: Mapping[str, str], text: str, source: str) -> Reading:
    """Return the service that a file of any known format describes, with what was refused and why.

    Args:
        source: the file's name, as problems name it.
    """
    if len(text) <= MAX_CHARACTERS and ("openslo" in text or sloth.VERSION in text):
        try:
            documents = [tree for tree in YAML(typ="rt").load_all(text) if isinstance(tree, Mapping)]
        except YAMLError:
            documents = []  # the native reader says what is wrong with it
        if any(tree.get("apiVersion") == openslo.VERSION for tree in documents):
            return openslo.read_openslo(environ, documents, source)
        if len(documents) == 1 and documents[0].get("version") == sloth.VERSION:
            return sloth.read_sloth(environ, documents[0], source)
    return read_service(environ, text, source)
