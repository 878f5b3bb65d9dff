"""A secret is found however often, and in whatever way, the text around it was written in another notation."""

import base64
import html
import json
import time
from itertools import product
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotel.config.names import REDACTED
from slotel.runtime.redaction.readings import plain, wide_encoding
from slotel.runtime.redaction.redactor import Redactor

SECRET = "SEK7RETx9"
PAIRS = [
    f"password={SECRET}",
    f'{{"password": "{SECRET}"}}',
    f"{{'api_key': '{SECRET}'}}",
    f"https://user:{SECRET}@h/x",
    f"https://h/?token={SECRET}&a=1",
    f"<password>{SECRET}</password>",
    f"user=bob; db_password = {SECRET}",
]


def escaped(form):
    return lambda text: "".join(
        form.format(ord(each)) if each.isalpha() and not each.isupper() else each for each in text
    )


WRITERS = {
    "percent": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "html": html.escape,
    "entities": escaped("&#{};"),
    "hexadecimal entities": escaped("&#x{:x};"),
    "json": json.dumps,
    "json in ASCII": escaped("\\u{:04x}"),
    "javascript": escaped("\\u{{{:x}}}"),
    "bytes": escaped("\\x{:02x}"),
    "octal": escaped("\\{:03o}"),
    "representation": repr,
    "slashes": lambda text: text.replace("/", "\\/"),
    "colours": lambda text: text.replace("=", "\x1b[0m=\x1b[K\x1b[38;5;2m"),
    "overstruck": lambda text: "".join(f"{each}\b{each}" if each.islower() else each for each in text),
    "bell": lambda text: text.replace("=", "\x07="),
    "nothing": lambda text: text,
}
WIDE = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


def is_gone(shown):
    return not any(form(SECRET) in shown for form in WRITERS.values())


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("text", PAIRS)
def test_a_secret_is_found_in_every_notation(text, name):
    assert is_gone(Redactor().text(WRITERS[name](text)))


PACKERS = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
}
ALL = {**WRITERS, **PACKERS}


def shown_in(text, *names):
    for name in names:
        text = ALL[name](text)
    return Redactor().text(f"before {text} after")


ESCAPED = ["json in ASCII", "javascript", "bytes", "octal"]
NOT_READ = {
    *product(ESCAPED, repeat=2),  # these writers leave backslashes as they are, which no real one does
    *product(["overstruck"], ["json", "representation"]),
    ("colours", "overstruck"),
    ("colours", "base64"),  # a command within the first letters
}


@pytest.mark.parametrize("text", PAIRS)
def test_a_secret_is_found_in_two_notations_within_each_other(text):
    shown = {names: shown_in(text, *names) for names in product(ALL, repeat=2) if names not in NOT_READ}
    assert [names for names, text in shown.items() if SECRET in text or REDACTED not in text] == []


@pytest.mark.parametrize("text", PAIRS)
def test_a_secret_is_found_in_more_notations_within_each_other(text):
    common = product(["percent", "html", "json", "representation"], repeat=4)
    assert [names for names in common if SECRET in shown_in(text, *names)] == []


@pytest.mark.hypothesis
@given(st.sampled_from(PAIRS), st.lists(st.sampled_from(list(WRITERS)), max_size=4))
def test_a_secret_is_found_in_any_notations_within_each_other(text, names):
    assert SECRET not in shown_in(text, *names)


@pytest.mark.parametrize("times", [1, 4, 5, 6, 9, 30])
def test_a_secret_is_found_however_often_it_is_percent_encoded(times):
    url = f"/y?token={SECRET}"
    for _ in range(times):
        url = quote(url, safe="")
    assert SECRET not in Redactor().text(f"GET /x?next={url}")


@pytest.mark.parametrize("readings", ["&amp;amp;amp;amp;lt;+a%2Bb ", "\\\\\\\\u0026amp;amp;lt;+"])
def test_readings_within_readings_take_no_more_than_a_time_in_proportion_to_the_length(readings):
    text = "x"
    for _ in range(6):
        text = readings * 30 + quote(text)
    begun = time.thread_time()
    Redactor().text(text)
    assert time.thread_time() - begun < 1.0


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("text", PAIRS[:5])
def test_bytes_of_utf_16_and_32_stay_in_their_encoding_without_the_secret(text, encoding):
    redacted = Redactor().data(text.encode(encoding))
    assert SECRET not in redacted.decode(encoding)
    assert "[Filtered]" in redacted.decode(encoding)


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize(
    "read", [repr, lambda data: data.decode("latin-1"), lambda data: json.dumps(data.decode("latin-1"))]
)
def test_bytes_of_utf_16_and_32_that_were_read_as_others_hide_nothing(encoding, read):
    shown = Redactor().text(read(f"password={SECRET}".encode(encoding)))
    assert SECRET not in shown.replace("\x00", "").replace("\\x00", "").replace("\\u0000", "")


@pytest.mark.parametrize(
    "data", [b"", b"a\x00", b"\x00" * 40, bytes(range(256)), "токен".encode(), b"\xff\xfe\x00"]
)
def test_other_bytes_are_no_utf_16(data):
    assert wide_encoding(data) is None
    assert Redactor().data(data) == data


@pytest.mark.parametrize(
    "pack", [base64.b64encode, base64.urlsafe_b64encode, lambda data: data.hex().encode()]
)
@pytest.mark.parametrize(
    "text", [PAIRS[0] + "&grant_type=password", *PAIRS[1:3], '[{"name": "Cookie", "value": "SEK7RETx9"}]']
)
@pytest.mark.parametrize(
    "around", ["{}", "state={}&x=1", "data:application/json;base64,{}", '{{"state": "{}"}}']
)
def test_a_secret_is_found_in_what_is_packed(text, pack, around):
    packed = pack(text.encode()).decode()
    shown = Redactor().text(around.format(packed))
    assert packed.rstrip("=") not in shown
    assert around.partition("{")[0] in shown


@pytest.mark.parametrize(
    "text",
    [
        "0af7651916cd43dd8448eb211c80319c", "/app/src/shop/orders/views/checkout.py", base64.b64encode(bytes(range(99))).decode(),
        base64.b64encode(b'{"order": 12345, "total": 99.5}').decode(), "AbstractAuthenticationHandlerFactoryBean", "a" * 64,
        b'{"order": 12345, "total": 99.5}'.hex(), "&lt;b&gt; &amp; &quot;x&quot;", r"C:\new\table\x41\users", "\x1b[32mok\x1b[0m done",
        "a\x00b\x00c", "“Forgot your password?” she said.", r"https:\/\/h\/a", "%25252525252525252541",
    ],
)  # fmt: skip
def test_what_has_no_secret_stays_as_it_was_written(text):
    assert Redactor().text(text) == text


def test_a_command_line_of_the_kernel_is_read_with_its_ends():
    line = f"prog\x00--token\x00{SECRET}\x00-u\x00bob\x00"
    assert Redactor().text(line) == "prog\x00--token\x00[Filtered]\x00-u\x00bob\x00"
    assert SECRET not in Redactor().text(repr(f"curl\x00-u\x00bob:{SECRET}\x00https://h"))
    assert (
        Redactor().text(f"HOME=/r\x00DB_PASSWORD={SECRET}\x00A=1")
        == "HOME=/r\x00DB_PASSWORD=[Filtered]\x00A=1"
    )


def test_a_path_of_windows_hides_no_key():
    assert SECRET not in Redactor().text(rf"C:\app\token={SECRET}")
    assert SECRET not in Redactor().text(rf"D:\x\new_password={SECRET}")


@given(st.text())
def test_any_text_has_a_reading(text):
    assert isinstance(plain(text), str)
