"""Decides which names of keys, headers and parameters say that their value is a secret. Pure.

The redactor in the service and the collector's policy are both made from this file. Every pattern here is one that
Python and RE2 (the collector's) read alike: no look-around, no back-references.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from slotel.config.patterns import with_stars

ANYWHERE: Final = (
    "pass word", "passwd", "pass phrase", "pass code", "passwort", "mysql pwd", "api key", "private key", "secret key",
    "access token", "auth token", "refresh token", "client secret", "credential",
    "парол", "密码", "密碼", "口令", "パスワード", "비밀번호", "كلمة المرور", "كلمة السر", "סיסמה", "पासवर्ड",
    "mật khẩu", "κωδικός πρόσβασης", "รหัสผ่าน", "лозинк", "رمز عبور", "slaptažodis",
    "passwrd", "paswd", "pasword", "гасло", "密钥", "私钥", "密鑰", "私鑰", "令牌", "秘密鍵", "暗証番号",
    "パスフレーズ", "סיסמא", "σύνθημα", "পাসওয়ার্ড", "கடவுச்சொல்", "گذرواژه", "پاس ورڈ", "құпия сөз",
)  # fmt: skip
"""Words that make a key sensitive wherever they stand: `db_password`, `new_password1`, `passwordConfirm`, `xpassword`;
not `passwordless`. A space is where `_`, `-` or nothing may stand. Source: Sentry relay's default data scrubbing; the
word for password in the languages most written."""

AT_THE_END: Final = (
    "secret", "secrets", "token", "auth tokens", "access tokens", "refresh tokens", "api tokens", "session tokens",
    "bearer tokens", "id tokens", "csrf tokens", "jwt", "jwts", "bearer",
    "auth", "authorization", "authorisation", "auth ticket", "aspxauth",
    "auth code", "authorization code", "client assertion", "code verifier", "token hint",
    "saml response", "samlresponse", "saml art", "samlart", "cred", "creds", "pass", "pwd", "pwds", "pw", "pswd",
    "psw", "psk", "passw", "pword", "passkey", "passkeys",
    *(
        f"{whose} {word}" for word in ("pass", "pw") for whose in (
            "admin", "app", "cert", "db", "enc", "ftp", "imap", "key", "ldap", "login", "mail", "mysql", "pfx", "pg",
            "pop", "proxy", "redis", "root", "smtp", "ssh", "ssl", "store", "sudo", "user", "vpn", "wifi",
        )
    ),
    "basic auth", "secret id", "unlock code", "magic link", "reset link", "oauth verifier",
    "private pem", "ssh private", "rsa private", "sess", "sess id",
    "tkn", "mnemonic", "seed phrase", "recovery phrase", "secret phrase", "reset code", "activation code",
    "mot de passe", "motdepasse", "mdp", "kennwort", "contrase\u00f1a", "contrasena", "contrasenya", "senha",
    "wachtwoord", "hasło", "haslo", "heslo", "lösenord", "passord", "jelszó", "şifre", "sifre",
    "salasana", "adgangskode", "lozinka", "geslo", "losenord", "slaptazodis", "palavra passe", "palavra de passe",
    "kata sandi", "mat khau", "zaporka", "jelszo", "parolă", "salasõna",
    "contrasinal", "pasahitza", "nenosiri", "wagwoord", "zugangsdaten", "geheimnis", "geheimschlüssel",
    "clave secreta", "clave privada", "token acceso", "token de acceso", "chave secreta", "chave privada",
    "clé secrète", "cle secrete", "clé privée", "cle privee", "clé api", "jeton", "jeton acces",
    "токен", "токены", "ключ доступа", "トークン", "アクセスキー", "토큰",
    "cookie", "cookies", "session", "session id", "session ids", "sessionid", "phpsessid", "jsessionid",
    "aspsessionid", "symfony",
    "csrf", "xsrf", "csrftoken", "csrfmiddlewaretoken", "stripetoken",
    "sig", "signature", "signatures", "hmac", "dsn",
    "otp", "otps", "totp", "otp code", "mfa code", "verification code", "security code", "security answer",
    "recovery code", "recovery codes", "backup code", "backup codes",
    "cvv", "cvc", "credit card", "credit cards", "creditcard", "debit card", "card number", "card numbers",
    "cardnumber", "card no", "cc number", "card num", "cc num",
    "ssn", "social security number",
    *(
        f"{kind} key" for kind in (
            "access", "account", "activation", "admin", "aes", "app", "application", "auth", "cipher", "client",
            "consumer",
            "crypt", "crypto", "encryption", "decryption", "deploy", "enc", "fernet", "functions", "gpg", "hmac",
            "jwt", "license",
            "master", "pgp", "priv", "recovery", "rsa", "secret access", "server", "service", "session",
            "shared access", "shared", "signing", "ssh", "ssl", "storage", "subscription", "tls", "unlock", "unseal",
            "product", "wallet",
        )
    ),
    *(f"{kind} keys" for kind in ("access", "encryption", "decryption", "master", "session", "signing")),
)  # fmt: skip
"""Words that make a key sensitive as its last ones: `x-auth-token`, `userPwd`, `card[cvv]`; not `token.count`.
Source: sentry-sdk's DEFAULT_DENYLIST, all of it, and the parameters of the large cloud and payment providers."""

GLUED: Final = ("secret", "secrets", "token", "pwd", "pwds")
"""Words of AT_THE_END that need no border before them: `apitoken`, `dbpwd`. No other word ends with one of them."""

WHOLE: Final = ("sid", "connect.sid", "tls.key", "parol")
"""Keys that are sensitive as they are; `account_sid` is an identifier."""

CORES: Final = (
    "pas", "pw", "psw", "secret", "token", "key", "auth", "cookie", "cred", "sess", "srf", "sid",
    "jwt", "bearer", "assertion", "verif", "saml", "sig", "hmac", "dsn", "otp", "mfa", "security", "recovery", "backup",
    "cvv", "cvc", "card", "cc", "ssn", "symfony", "kennwort", "contras", "senha", "wachtwoord",
    "psk", "tkn", "seed", "reset", "activation", "mdp", "haslo", "heslo", "sifre", "priv",
    "mnemonic", "salasana", "adgangskode", "lozinka", "geslo", "losenord", "slaptazodis",
    "парол", "密码", "密碼", "口令", "パスワード", "비밀번호", "كلمة", "סיסמה", "पासवर्ड", "mật", "κωδικός",
    "hasło", "lösenord", "jelszó", "şifre", "รหัสผ่าน", "лозинк", "رمز", "slaptažodis",
    "sandi", "khau", "zaporka", "jelszo", "pword", "nenosiri", "wagwoord", "zugang", "geheim",
    "jeton", "parol", "magic", "unlock",
    "salasõna", "clé", "токен", "ключ", "гасло", "トークン", "アクセスキー", "토큰", "密钥", "私钥", "密鑰", "私鑰",
    "令牌", "秘密鍵", "暗証番号", "パスフレーズ", "סיסמא", "σύνθημα", "পাসওয়ার্ড", "கடவுச்சொல்", "گذرواژه", "پاس", "құпия",
)  # fmt: skip
"""Each sensitive word has one of these in it: a text without any names no sensitive key."""

_ADDITIONS: Final = (
    "value", "raw", "hash", "hashed", "digest", "plain", "encrypted", "text", "header", "string", "str", "bytes",
    "b64", "base64", "bin", "old", "new", "current", "confirm", "confirmation", "repeat", "again", "verify", "data",
    "prod", "production", "staging", "primary", "secondary",
)  # fmt: skip
"""Words after a sensitive word that change nothing: `token_value`, `cookie_header`."""

_SEPARATOR: Final = "[-_ ]?"
_TAIL: Final = (
    rf"(?:{_SEPARATOR}(?i:{'|'.join(_ADDITIONS)}))?(?:[-_ ][0-9]|{_SEPARATOR}[vV][0-9])?[\[\].0-9\"']*"
)
"""An addition, a number, brackets and an index: `token_hash`, `token2`, `token_2`, `token_v2`, `user[token]`,
`token[0]`."""


def key_pattern(globs: Iterable[str] = ()) -> str:
    r"""Return the pattern that a sensitive key matches as a whole, in Python and in RE2.

    Args:
        globs: more keys, of a service's `tags.redact`; `*` is any text. One matches a key, and the end of a path:
            `card.pin` matches `card.pin`, `card[pin]` and `order.card.pin`; `card_pin` also `cardPin` and `card-pin`.

    >>> [bool(re.fullmatch(key_pattern(["*.pin"]), key)) for key in ("userPassword", "card[pin]", "token.count")]
    [True, True, False]
    """
    ends = _words(AT_THE_END)
    camel = f"[a-z0-9](?:{_words(AT_THE_END, _capital)})|[A-Z](?:{_words(AT_THE_END, _title)})"
    parts = [
        f".*{_anywhere()}(?:[^a-z].*)?",
        f"(?:(?:.*[^A-Za-z0-9])?(?i:{ends})|.*(?:{camel})|.*(?i:{'|'.join(GLUED)})){_TAIL}",
        f"(?i:{'|'.join(map(re.escape, WHOLE))})",
    ]
    return f"(?s:{'|'.join((*parts, *_own(globs)))})"


def key_test(globs: Iterable[str] = ()) -> Callable[[str], bool]:
    """Return the test whether a key, or a dotted path of keys, is sensitive: as `key_pattern` says, quickly for most.

    >>> key_test()("http.request.header.x-api-key")
    True
    """
    is_own = own_test(globs)

    def test(key: str) -> bool:
        key = key[-MAX_KEY:]
        low = key.lower()
        may_be = not key.isascii() or any(core in low for core in CORES)
        return (may_be and _of_all_services().fullmatch(key) is not None) or is_own(key)

    return test


@functools.cache
def _of_all_services() -> re.Pattern[str]:
    return re.compile(key_pattern())  # when first asked for: it takes 15 ms


def own_test(globs: Iterable[str]) -> Callable[[str], bool]:
    """Return the test whether one of a service's own globs names a key, or a dotted path of keys."""
    own = "|".join(
        with_stars([rf"(?:.*?[.\[/:])??{first}", *rest], f"glob{number}_") + r"\]*"
        for number, (first, *rest) in enumerate(
            _glob(glob).replace("[-_ ]+.*", "[-_ ].*").split(".*") for glob in dict.fromkeys(globs)
        )
    )
    if not own:
        return lambda _: False
    matches = re.compile(f"(?s:{own})").fullmatch
    return lambda key: matches(key[-MAX_KEY:]) is not None


_MEASURE: Final = re.compile(
    r"(?i:(?:^|[^a-z])(?:per|time[-_ ]to)[^a-z])|(?:(?:^|[^A-Za-z])(?:per|timeTo)|[a-z](?:Per|TimeTo))[A-Z]"
)


def is_no_secret(key: str, value: object) -> bool:
    """Return whether the value of a key that slotel calls sensitive is a truth value or a measurement, not a secret.

    Those are: True and False; a number with a fraction; any number whose key says what it measures: `time_to_…`,
    `…_per_…`. A whole number may be a PIN, a one-time code or a card's number.

    >>> is_no_secret("gen_ai.server.time_to_first_token", 1), is_no_secret("card.cvv", 123), is_no_secret("cvv", "0.5")
    (True, False, False)
    """
    if value.__class__ is bool:
        return True
    if value.__class__ is float:
        return not value.is_integer() or _MEASURE.search(key) is not None
    return value.__class__ is int and _MEASURE.search(key) is not None


MAX_KEY: Final = 300
"""Characters of a key that are looked at, from its end."""


def _anywhere() -> str:
    return f"(?i:(?:{_words(ANYWHERE)})s?(?:{'|'.join(_ADDITIONS)})?)"


def _words(terms: Iterable[str], spelled: Callable[[str], str] = re.escape) -> str:
    """Return the terms as alternatives, those that end alike written once: to compile a pattern takes its time.

    Args:
        spelled: how the first word of a term is written; the others follow in any case.
    """
    starts: dict[str, list[str]] = {}
    for term in terms:
        first, _, rest = term.partition(" ")
        starts.setdefault(rest, []).append(spelled(first))
    return "|".join(
        f"(?:{'|'.join(firsts)}){''.join(f'{_SEPARATOR}(?i:{re.escape(word)})' for word in rest.split())}"
        for rest, firsts in starts.items()
    )


def _capital(word: str) -> str:
    """The word with a capital, for camelCase."""
    return f"{word[0].upper()}(?i:{re.escape(word[1:])})"


def _title(word: str) -> str:
    """The word with a capital and small letters: after another capital nothing else tells where it begins."""
    return re.escape(word.title())


def _own(globs: Iterable[str]) -> Iterator[str]:
    own = "|".join(_glob(glob) for glob in dict.fromkeys(globs))
    if own:
        yield rf"(?:.*[.\[/:])?(?:{own})\]*"


def _glob(glob: str) -> str:
    pattern, follows = "", False
    for character in glob:
        if character in "-_":
            follows = True
            continue
        both = re.escape(character)
        if character.isalpha() and len(character.lower()) == len(character.upper()) == 1:
            both = f"[{character.lower()}{character.upper()}]"
        if follows:
            # `_x` is also `X`, as in camelCase
            either = character.isalpha() and character.upper() != character.lower()
            both = f"(?:[-_ ]+{both}|{re.escape(character.upper())})" if either else f"[-_ ]+{both}"
            follows = False
        if character == "*":
            both = both.replace(re.escape("*"), ".*")
        elif character == ".":
            both = both.replace(re.escape("."), r"\]?[.\[]")
        pattern += both
    return pattern + ("[-_ ]" if follows else "")
