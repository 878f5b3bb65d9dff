"""Which keys are sensitive, and which values look like a secret."""

import re
from pathlib import Path

import opentelemetry.semconv
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentry_sdk.scrubber import DEFAULT_DENYLIST, DEFAULT_PII_DENYLIST

from slotel.config.redaction.keys import _ADDITIONS, ANYWHERE, AT_THE_END, WHOLE, key_pattern, key_test

GLOBS = ("*.pin", "user_pin", "*_id2", "card-*-number", "iban", "a.*.b", "sch$ein", "pass*", "ünï")
BY_TEST, BY_PATTERN = key_test(GLOBS), re.compile(key_pattern(GLOBS))
WORDS = [
    *(word for term in (*ANYWHERE, *AT_THE_END, *_ADDITIONS) for word in term.split()),
    "pin", "user", "id", "id2", "iban", "a", "b", "x", "xs", "ünï", "0", "12", "count", "s", "less", "card", "number",
]  # fmt: skip


@pytest.mark.parametrize(
    "key",
    [
        "password", "db_password", "new_password1", "passwordConfirm", "xpassword", "PASSWORD", "user.password",
        "accessToken", "refreshToken", "ACCESS_TOKEN", "DBToken", "token[0]", "token_hash", "cookie_header",
        "user[password]", "user[token]", "login[pass]", "form[user][pwd]", "http.request.header.authorization",
        "http.request.header.x_api_key", "http.request.header.Set-Cookie", "aws_secret_access_key", "aws.secret_access_key",
        "secret_key", "SECRET_KEY", "AccountKey", "SharedAccessKey", "APIKey", "apiKey", "api-key", "jwt", "sig",
        "X-Amz-Signature", "signature", "passphrase", "pwd", "DB_PASS", "dsn", "SENTRY_DSN", "cvv", "ssn", "auth",
        "session", "PHPSESSID", "sid", "--db-password", "--token", "authorization.0", "-Password",
        "token_v2", "tokenV2", "API-KEY-V2", "cvv2", "token_prod", "secretPrimary", "mdp", "motDePasse", "user_haslo", "пароль",
        "новыйПароль2", "密码", "用户密码", "パスワード", "비밀번호", "كلمة_المرور", "şifre", "lösenord", "priv_key", "seedPhrase",
        "pass_phrase", "pass-word", "userPassWord", "session_tokens", "idTokens", "signing_keys", "encryptionKeys", "card_numbers", "sessionIds", "tls_key",
        "apitoken", "dbpwd", "sharedsecret", "APPSECRET", "webhooksecret2", "idtoken", "userpass", "dbpw", "smtp_pass", "storepass",
        "passwordhash", "passwordconfirmation", "secret_id", "unsealKey", "authorisation", "basicAuth", "tls.key", "pasword", "passw",
        "clave_secreta", "jeton", "токен", "令牌", "トークン", "parolă", "katasandi", "matkhau", "x-token-bin",
        "recoveryKey", "consumer-key", "serverKey", "secret_phrase", "mnemonic", "salasana", "user_adgangskode", "lozinka", "geslo", "slaptažodis", "лозинка",
        "รหัสผ่าน", "رمز عبور",
    ],
)  # fmt: skip
def test_a_sensitive_key_is_known_in_snake_camel_kebab_dotted_and_bracketed_spelling(key):
    assert key_test()(key)
    assert re.fullmatch(key_pattern(), key)


@pytest.mark.parametrize(
    "key",
    [
        "token.count", "gen_ai.usage.input_tokens", "max_tokens", "passport", "passwordless", "secretary", "tokenizer",
        "pin", "http.route", "user.id", "session.id", "account_sid", "routing_key", "partition_key", "public_key",
        "messaging.kafka.message.key", "author", "authority", "design", "BYPASS", "COMPASS", "CONFIG", "monkey", "signal",
        "passenger", "encompass", "userpasses", "surpass", "secretariat", "tokenise", "bypassed", "passwordlessLogin", "keypad", "pastoken_count",
        "compass_rose", "pass_rate", "passes", "observer_key_count", "key_server", "admin_keyboard", "tokens", "keys", "ssh_keys", "rev2", "tv2", "sacred", "primary", "production", "phrase", "passive", "activation", "reset", "密", "url.full", "db.query.text", "code.function.name", "error.type", "service.name", "",
    ],
)  # fmt: skip
def test_a_key_that_only_looks_like_a_secret_stays(key):
    assert not key_test()(key)


@pytest.mark.parametrize("key", sorted({*DEFAULT_DENYLIST} - {*DEFAULT_PII_DENYLIST}))
def test_what_sentry_sdk_hides_by_its_key_is_sensitive(key):
    for spelling in (key, key.upper(), f"http.request.header.{key}", f"form[{key}]"):
        assert key_test()(spelling) or key == "connect.sid"
    assert key_test()(key)


@pytest.mark.parametrize(
    ("glob", "matching", "other"),
    [
        ("*.pin", ["card.pin", "card[pin]", "a.b.PIN"], ["pin", "spin", "a.pins"]),
        ("iban", ["iban", "IBAN", "my.iban", "form[iban]"], ["myiban", "ibans", "iban.country"]),
        ("user_pin", ["user_pin", "user-pin", "userPin", "x.user_pin", "USER_PIN"], ["userpin", "user_pins"]),
        ("*_pin", ["user_pin", "userPin"], ["spin", "pin"]),
        ("box.ref", ["box.ref", "box[ref]", "order.box.ref"], ["boxref", "box.refs"]),
        ("a+b(c", ["a+b(c", "x.A+B(C"], ["ab(c"]),
    ],
)
def test_a_glob_matches_a_key_and_the_end_of_a_path_in_every_spelling(glob, matching, other):
    test = key_test([glob])
    assert [key for key in matching if not test(key)] == []
    assert [key for key in other if test(key)] == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(WORDS),
            st.sampled_from([str.lower, str.title, str.upper, str.capitalize]),
            st.sampled_from(["", "", "_", "-", ".", " ", "[", "]", "/", "'", "\n"]),
        ),
        max_size=5,
    )
)
def test_the_test_of_a_key_and_the_pattern_for_the_collector_say_the_same(pieces):
    key = "".join(spell(word) + after for word, spell, after in pieces)
    assert BY_TEST(key) == bool(BY_PATTERN.fullmatch(key))


@given(st.text())
def test_any_text_is_a_key(key):
    assert BY_TEST(key) == bool(BY_PATTERN.fullmatch(key))


@given(st.text(min_size=1).filter(lambda text: not set(text) & set("*_-. ]")))
def test_a_glob_without_wildcards_matches_itself(glob):
    assert key_test([glob])(glob)
    assert key_test([glob])(f"a.{glob}")


def test_the_pattern_of_keys_has_nothing_that_re2_does_not_read():
    assert not re.search(
        r"\(\?(?:[=!>(]|<[=!]|P=|P>)|\\[1-9]|\\Z|\\N|\\[uU]|[*+?}]\+",
        key_pattern(GLOBS),
    )


def test_whole_keys_are_written_as_they_are_compared():
    assert all(key == key.lower() for key in WHOLE)


def test_no_attribute_of_the_semantic_conventions_is_taken_for_a_secret():
    root = Path(opentelemetry.semconv.__path__[0])
    names = {
        name
        for file in root.rglob("*.py")
        for name in re.findall(r'"([a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+)"', file.read_text(encoding="utf-8"))
    }
    assert len(names) > 1000
    assert {name for name in names if key_test()(name)} <= {
        "gen_ai.server.time_per_output_token",  # of metrics, which are no attributes
        "gen_ai.server.time_to_first_token",
    }
