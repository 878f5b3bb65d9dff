"""DSN and identity: what is wrong is said without the key, what Sentry would refuse is made valid."""

import pytest
import sentry_relay.processing as relay
from hypothesis import given
from hypothesis import strategies as st
from sentry_sdk.utils import Dsn

from slotel.config.service import SentrySettings
from slotel.runtime.sentry.client.dsn import read_dsn
from slotel.runtime.sentry.client.identity import identify, valid_environment, valid_release
from support.sentry_app import run_app

KEY = "5ecre7"


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("5ecre7", "does not begin with http"),
        ("ftp://5ecre7@sentry.example/1", "does not begin with http"),
        ("https://sentry.example/5ecre7", "public key"),
        ("https://5ecre7@/1", "host"),
        ("https://5ecre7@sentry.example/", "project"),
        ("https://5ecre7@sentry.example/shop", "project"),
        ("https://5ecre7@sentry.example:port/1", "port"),
        ("https://5ecre7@[sentry/1", "URL"),
        ("https://5ecre7@sentry.example/²", "project"),
        ("https://5ecre7@sentry.example/" + "9" * 5000, "project"),
        ("https://5ecre7@sentry.example/1/", "ends with a slash: remove it: write"),
    ],
)
def test_a_malformed_dsn_is_explained_without_its_key(dsn, said):
    with pytest.raises(ValueError, match=said) as caught:
        read_dsn(dsn)
    assert KEY not in str(caught.value)
    assert "https://<public key>@<host>/<project number>" in str(caught.value)


@pytest.mark.parametrize(
    "end", ["1", "1/", "²", "١", "0001", "1?x=1", "1#f", "a/1", "1 ", "-1", "1.5", "9" * 5000]
)
@pytest.mark.parametrize(
    "start", ["https://5ecre7@h/", "HTTP://5ecre7:x@[::1]:9/", " https://5ecre7@h:0/", "https://ключ@хост/"]
)
def test_what_is_taken_for_a_dsn_sentry_sdk_takes_too(start, end):
    try:
        destination = read_dsn(start + end)
    except ValueError:
        return
    assert Dsn((start + end).strip()).host == destination.host.removesuffix(":0").removesuffix(":9")


def test_what_is_shown_of_a_dsn_is_host_and_project():
    destination = read_dsn(f"https://{KEY}:secret@sentry.example:9000/prefix/42")
    assert str(destination) == "sentry.example:9000 project 42"
    assert KEY not in repr(destination)


def test_what_is_set_for_sentry_beats_the_resource():
    settings = SentrySettings(release="9", environment="live")
    resource = {"service.version": "1", "deployment.environment.name": "test", "host.name": "box"}
    identity = identify(settings, resource)
    assert (identity.release, identity.environment, identity.server_name) == ("9", "live", "box")


@pytest.mark.parametrize("key", ["deployment.environment.name", "deployment.environment"])
def test_the_old_and_the_new_name_of_the_environment_are_read(key):
    assert identify(SentrySettings(), {key: "stage"}).environment == "stage"


def test_nothing_known_leaves_the_release_to_sentry_and_names_production():
    identity = identify(SentrySettings(), {})
    assert (identity.release, identity.environment, identity.server_name) == (None, "production", None)


AWKWARD = st.text(st.sampled_from("ab./\\\n\r\t\x0c \x00-_é"), max_size=8) | st.sampled_from(
    ["latest", "Latest", ".", "..", "none", "None", "a" * 300, "a/" * 150, " x ", "/", "\n"]
)


@given(AWKWARD)
def test_sentrys_server_takes_every_release_and_environment(text):
    event = {"event_id": "0" * 32, "environment": valid_environment(text)}
    release = valid_release(text)
    if release is not None:
        event["release"] = release
    normalized = relay.StoreNormalizer().normalize_event(event)
    assert not normalized.get("errors")
    assert not normalized.get("_meta")
    assert normalized["environment"] == event["environment"]
    assert normalized.get("release") == release


@pytest.mark.parametrize(("given", "sent"), [("latest", None), ("rc/1", "rc-1"), ("r", "r")])
def test_no_release_is_sent_that_the_server_refuses(given, sent):
    """sentry-sdk reads SENTRY_RELEASE by itself where slotel names none."""
    ran = run_app("slotel", "raising.py", "slotel", "1", SENTRY_RELEASE=given)
    for payload in (*ran.payloads("event"), *ran.payloads("transaction")):
        assert payload.get("release") == sent
        assert not relay.StoreNormalizer().normalize_event(payload).get("errors")
    assert ran.payloads("event")
