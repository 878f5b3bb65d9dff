"""The packages that an event lists are those of sentry-sdk, without what it costs to parse their descriptions."""

from __future__ import annotations

import email
from importlib import metadata

import pytest

from slotel.runtime.sentry.transport import modules as installed

pytestmark = pytest.mark.unit


def expected() -> dict[str, str]:
    """What sentry-sdk's ModulesIntegration lists: the first of each name that has a version."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata.get("Name")
        if name is not None and distribution.version is not None:
            found.setdefault(name.lower(), distribution.version)
    return found


def test_modules_are_those_of_sentry_sdk(monkeypatch):
    wanted = expected()

    def parsed(*_: object, **__: object) -> None:
        raise AssertionError("the whole metadata of a package is parsed")

    monkeypatch.setattr(email, "message_from_string", parsed)

    assert installed.versions_of(metadata.distributions()) == wanted
    assert "sentry-sdk" in wanted


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        (
            "Metadata-Version: 2.1\r\nName: One\r\nVersion: 1\r\n\r\nName: of the description\r\n",
            {"one": "1"},
        ),
        ("NAME:  Two  \nversion: 2.0\n", {"two": "2.0"}),
        ("Name: Three\nName: other\nVersion: 3\nVersion: 4\n", {"three": "3"}),
        ("Name: NoVersion\n\nVersion: 1\n", {}),
        ("", {}),
    ],
)
def test_a_description_is_no_header(tmp_path, text, modules):
    place = tmp_path / "some.dist-info"
    place.mkdir()
    (place / "METADATA").write_bytes(text.encode())

    assert installed.versions_of(metadata.distributions(path=[str(tmp_path)])) == modules


def test_what_is_no_text_takes_nothing_from_the_others(tmp_path):
    for name, content in (("bad", b"Name: bad\xff\nVersion: 1\n"), ("good", b"Name: good\nVersion: 1\n")):
        (tmp_path / f"{name}.dist-info").mkdir()
        (tmp_path / f"{name}.dist-info" / "METADATA").write_bytes(content)
    (tmp_path / "old.egg-info").mkdir()
    (tmp_path / "old.egg-info" / "PKG-INFO").write_text("Name: old\nVersion: 0.1\n")

    assert installed.versions_of(metadata.distributions(path=[str(tmp_path)])) == {"good": "1", "old": "0.1"}
