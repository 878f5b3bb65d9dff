"""What counts as a secret: names of keys, shapes of values, and a service's choices. Pure; holds data and patterns.

The redactor in the service and the collector's policy are both made from this file. Every pattern here is one that
Python and RE2 (the collector's) read alike: no look-around, no back-references.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from slotel.config.patterns import with_stars
from slotel.config.value_types import Shapes

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
"""What may follow a sensitive word and changes nothing: `token_value`, `cookie_header`."""

_SEPARATOR: Final = "[-_ ]?"
_TAIL: Final = (
    rf"(?:{_SEPARATOR}(?i:{'|'.join(_ADDITIONS)}))?(?:[-_ ][0-9]|{_SEPARATOR}[vV][0-9])?[\[\].0-9\"']*"
)
"""An addition, a number, brackets and an index: `token_hash`, `token2`, `token_2`, `token_v2`, `user[token]`,
`token[0]`."""


class Shape(NamedTuple):
    """A secret that is recognised by its form alone.

    Args:
        name: several may have one: they are chosen together.
        hint: a text without which the pattern cannot match; '' if there is none.
        pattern: the secret, with nothing around it. It begins and ends at a border of a word.
        source: who defines the form.
        default: whether it is redacted unless the service chooses otherwise: where a false alarm is rare.
    """

    name: str
    hint: str
    pattern: str
    source: str
    default: bool = True


SHAPES: Final = (
    Shape("jwt", "eyJ", r"\beyJ[A-Za-z0-9_-]{8,}\.(?:[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){0,3}"
          r"|\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,})", "RFC 7519, RFC 7516"),
    Shape("paseto", ".", r"\bv[1-4]\.(?:local|public)\.[A-Za-z0-9_-]{20,}", "PASETO, version 1 to 4"),
    Shape("pem", "PRIVATE", r"-----BEGIN[+ ][A-Z0-9+ ]{0,32}PRIVATE[+ ]KEY(?:[+ ]BLOCK)?-----(?:[^-]|-[^-])*(?:-----END"
          r"[+ ][A-Z0-9+ ]{0,32}PRIVATE[+ ]KEY(?:[+ ]BLOCK)?-----)?", "RFC 7468, RFC 4880"),
    Shape("pem", "PRIVATE KEY ----", r"---- BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY ----(?:[^-]|-{1,3}[^-])*"
          r"(?:---- END [A-Z0-9 ]{0,32}PRIVATE KEY ----)?", "RFC 4716"),
    Shape("putty", "Private-Lines: ", r"\bPrivate-Lines: [0-9]{1,4}[^A-Za-z0-9+/=][A-Za-z0-9+/=\s\\]*",
          "PuTTY, key files"),
    Shape("bearer", "earer ", r"\b[Bb]earer[ \t]{1,8}[A-Za-z0-9._~+/-]{16,}=*", "RFC 6750"),
    Shape("bearer", "EARER ", r"\bBEARER[ \t]{1,8}[A-Z._~+/-]{0,64}[a-z0-9][A-Za-z0-9._~+/-]{14,}=*", "RFC 6750"),
    Shape("digest", "igest ", r"\b[Dd]igest (?:username|realm|nonce)=[^\r\n]{0,300}?\bresponse="
          r"[\"\\]{0,8}[^\"\\\s,]{1,256}", "RFC 7616"),
    Shape("negotiate", "egotiate ", r"\b[Nn]egotiate (?:YI|TlRM|oY)[A-Za-z0-9+/]{16,}={0,2}", "RFC 4559"),
    Shape("smtp", "AUTH ", r"\bAUTH (?:PLAIN|LOGIN|XOAUTH2) [A-Za-z0-9+/]{8,}={0,2}", "RFC 4954"),
    Shape("basic", "asic ", r"\b[Bb]asic[ \t]{1,8}[a-z]{0,15}[A-Z0-9+/][A-Za-z0-9+/]{14,}={0,2}", "RFC 7617"),
    Shape("basic", "ASIC ", r"\bBASIC[ \t]{1,8}[A-Z]{0,15}[a-z0-9+/][A-Za-z0-9+/]{14,}={0,2}", "RFC 7617"),
    Shape("scheme", "oken ",
          r"\b(?:[Tt]oken|TOKEN|Zoho-oauthtoken)[ \t]{1,8}[A-Za-z_~+-]{0,40}[0-9][A-Za-z0-9._~+/-]{15,}=*",
          "RFC 9110, schemes of Authorization"),
    Shape("scheme", "ey ", r"\b(?:[Aa]pi-?[Kk]ey|GenieKey|SharedKey(?:Lite)?)[ \t]{1,8}(?:[a-z0-9]{1,64}:)?"
          r"[A-Za-z_~+-]{0,40}[0-9][A-Za-z0-9._~+/-]{15,}=*", "RFC 9110, schemes of Authorization"),
    Shape("scheme", "SSWS", r"\bSSWS[ \t]{1,8}[A-Za-z0-9_-]{20,}", "Okta, API tokens"),
    Shape("negotiate", "NTLM ", r"\bNTLM TlRM[A-Za-z0-9+/]{16,}={0,2}", "MS-NTHT"),
    Shape("aws", "A", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b", "AWS IAM, unique identifiers"),
    Shape("stripe", "k_", r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{10,}", "Stripe, API keys"),
    Shape("stripe-webhook", "whsec_", r"\bwhsec_[A-Za-z0-9+/=]{16,}", "Stripe, webhook signatures"),
    Shape("github", "gh", r"\bgh[pousr]_[A-Za-z0-9]{30,}", "GitHub, token formats"),
    Shape("github-fine", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{22,}", "GitHub, token formats"),
    Shape("gitlab", "gl", r"\bgl(?:pat|oas|dt|rt|rtr|cbt|ptt|ft|imt|soat|agent|ffct)-[A-Za-z0-9_-]{20,}",
          "GitLab, token prefixes"),
    Shape("slack", "xox", r"\bxox[a-z]-[A-Za-z0-9-]{10,}", "Slack, token types"),
    Shape("slack-app", "xapp-", r"\bxapp-[A-Za-z0-9-]{10,}", "Slack, token types"),
    Shape("slack-webhook", "hooks.slack.com/", r"\bhooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]+",
          "Slack, incoming webhooks"),
    Shape("webhook", "hook", r"\b(?:discord(?:app)?\.com/api/webhooks/[0-9]{16,20}/[A-Za-z0-9_-]{20,}"
          r"|[a-z0-9-]{1,64}\.webhook\.office\.com/webhookb2/[A-Za-z0-9@/-]{32,}|hooks\.zapier\.com/hooks/catch/[0-9]+/[A-Za-z0-9]+)",
          "Discord, Microsoft Teams and Zapier, incoming webhooks"),
    Shape("telegram", ":AA", r"\b(?:bot)?[0-9]{8,10}:AA[A-Za-z0-9_-]{33}", "Telegram, bot API"),
    Shape("google", "AIza", r"\bAIza[A-Za-z0-9_-]{35}", "Google Cloud, API keys"),
    Shape("google-oauth", "ya29.", r"\bya29\.[A-Za-z0-9_-]{20,}", "Google Identity, access tokens"),
    Shape("openai", "sk-", r"\bsk-[A-Za-z0-9_-]{20,}", "OpenAI and Anthropic, API keys"),
    Shape("sendgrid", "SG.", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}", "SendGrid, API keys"),
    Shape("npm", "npm_", r"\bnpm_[A-Za-z0-9]{36}", "npm, access tokens"),
    Shape("pypi", "pypi-", r"\bpypi-[A-Za-z0-9_-]{50,}", "PyPI, API tokens"),
    Shape("huggingface", "hf_", r"\bhf_[A-Za-z0-9]{30,}", "Hugging Face, access tokens"),
    Shape("shopify", "shp", r"\bshp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}", "Shopify, access tokens"),
    Shape("digitalocean", "_v1_", r"\bdo[opr]_v1_[a-f0-9]{64}", "DigitalOcean, token prefixes"),
    Shape("vault", "hv", r"\bhv[sbr]\.[A-Za-z0-9_-]{24,}", "HashiCorp Vault, tokens"),
    Shape("sentry", "sntry", r"\bsntry[su]_[A-Za-z0-9_=+/-]{32,}", "Sentry, auth tokens"),
    Shape("grafana", "gl", r"\bgl(?:sa|c)_[A-Za-z0-9_=+/-]{32,}", "Grafana, service account tokens"),
    Shape("doppler", "dp.", r"\bdp\.(?:pt|st|sa|ct|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,}",
          "Doppler, tokens"),
    Shape("linear", "lin_", r"\blin_(?:api|oauth)_[A-Za-z0-9]{32,}", "Linear, API keys"),
    Shape("databricks", "dapi", r"\bdapi[a-f0-9]{32}", "Databricks, personal access tokens"),
    Shape("pulumi", "pul-", r"\bpul-[a-f0-9]{40}", "Pulumi, access tokens"),
    Shape("terraform", ".atlasv1.", r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}", "HCP Terraform, API tokens"),
    Shape("planetscale", "pscale_", r"\bpscale_(?:tkn|pw|oauth)_[A-Za-z0-9_=.-]{32,}", "PlanetScale, tokens"),
    Shape("supabase", "sb", r"\bsb(?:p_[a-f0-9]{40}|_secret_[A-Za-z0-9_-]{20,})", "Supabase, API keys"),
    Shape("age", "AGE-SECRET-KEY-", r"\bAGE-SECRET-KEY-1[A-Z0-9]{58}", "age, the file format"),
    Shape("docker", "dckr_", r"\bdckr_[po]at_[A-Za-z0-9_-]{20,}", "Docker Hub, access tokens"),
    Shape("atlassian", "AT", r"\bAT(?:ATT|CTT)3[A-Za-z0-9_=-]{60,}", "Atlassian, API tokens"),
    Shape("new-relic", "NRAK-", r"\bNRAK-[A-Z0-9]{27}", "New Relic, API keys"),
    Shape("square", "sq0", r"\bsq0[a-z]{3}-[A-Za-z0-9_-]{22,}", "Square, access tokens"),
    Shape("google-client", "GOCSPX-", r"\bGOCSPX-[A-Za-z0-9_-]{28}", "Google Identity, client secrets"),
    Shape("notion", "ntn_", r"\bntn_[A-Za-z0-9]{40,}", "Notion, integration tokens"),
    Shape("figma", "fig", r"\bfig[dou]r?_[A-Za-z0-9_-]{40,}", "Figma, access tokens"),
    Shape("postman", "PMAK-", r"\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}", "Postman, API keys"),
    Shape("rubygems", "rubygems_", r"\brubygems_[a-f0-9]{48}", "RubyGems, API keys"),
    Shape("groq", "gsk_", r"\bgsk_[A-Za-z0-9]{48,}", "Groq, API keys"),
    Shape("replicate", "r8_", r"\br8_[A-Za-z0-9]{37,}", "Replicate, API tokens"),
    Shape("google-refresh", "1//0", r"\b1//0[A-Za-z0-9_-]{40,}", "Google Identity, refresh tokens"),
    Shape("twilio", "SK", r"\bSK[0-9a-f]{32}\b", "Twilio, API keys"),
    Shape("mailgun", "key-", r"\bkey-[0-9a-f]{32}\b", "Mailgun, API keys"),
    Shape("mailchimp", "-us", r"\b[0-9a-f]{32}-us[0-9]{1,2}\b", "Mailchimp, API keys"),
    Shape("azure", "Q~", r"\b[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}", "Microsoft Entra, client secrets"),
    Shape("airtable", "pat", r"\bpat[A-Za-z0-9]{14}\.[a-f0-9]{64}", "Airtable, personal access tokens"),
    Shape("discord", ".", r"\b[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}", "Discord, bot tokens"),
    Shape("plaid", "access-",
          r"\baccess-(?:sandbox|development|production)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
          "Plaid, access tokens"),
    Shape("hubspot", "pat-", r"\bpat-[a-z]{2}[0-9]-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
          "HubSpot, private apps"),
    Shape("sonar", "sq", r"\bsq[pua]_[a-f0-9]{40}", "SonarQube, tokens"),
    Shape("tailscale", "tskey-", r"\btskey-[a-z]{2,10}-[A-Za-z0-9-]{10,}", "Tailscale, keys"),
    Shape("dynatrace", "dt0", r"\bdt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}", "Dynatrace, tokens"),
    Shape("onepassword", "ops_ey", r"\bops_ey[A-Za-z0-9_=-]{40,}", "1Password, service accounts"),
    Shape("buildkite", "bk", r"\bbk[a-z]{1,2}_[a-f0-9]{40}", "Buildkite, tokens"),
    Shape("circleci", "CCIPAT_", r"\bCCIPAT_[A-Za-z0-9_]{20,}", "CircleCI, personal tokens"),
    Shape("langsmith", "lsv2_", r"\blsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}", "LangSmith, API keys"),
    Shape("perplexity", "pplx-", r"\bpplx-[A-Za-z0-9]{40,}", "Perplexity, API keys"),
    Shape("xai", "xai-", r"\bxai-[A-Za-z0-9]{60,}", "xAI, API keys"),
    Shape("fly", "fm", r"\bfm[12][ar]?_[A-Za-z0-9+/=_-]{60,}", "Fly.io, tokens"),
    Shape("netlify", "nfp_", r"\bnfp_[A-Za-z0-9]{36,}", "Netlify, personal access tokens"),
    Shape("contentful", "CFPAT-", r"\bCFPAT-[A-Za-z0-9_-]{40,}", "Contentful, personal access tokens"),
    Shape("facebook", "EAA", r"\bEAA[A-Za-z0-9]{60,}", "Meta, access tokens"),
    Shape("razorpay", "rzp_", r"\brzp_(?:live|test)_[A-Za-z0-9]{14,}", "Razorpay, API keys"),
    Shape("crates", "cio", r"\bcio[A-Za-z0-9]{32}\b", "crates.io, API tokens"),
    Shape("email", "@", r"\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,253}\.[A-Za-z]{2,24}\b", "RFC 5322", default=False),
)  # fmt: skip
"""Beside them `card` and `iban`, which have a checksum: no pattern can say that."""

CARD: Final = r"\b[2-6](?:[ -]?[0-9]){12,18}\b"
"""What may be a payment card's number, before its network and checksum are looked at. Source: ISO/IEC 7812-1."""
IBAN: Final = r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\b"
"""What may be an IBAN, before its checksum. Source: ISO 13616."""

CHECKED: Final = {"card": True, "iban": False}
"""Values with a checksum, and whether they are redacted by default."""
VALUE_NAMES: Final = (*dict.fromkeys(shape.name for shape in SHAPES), *CHECKED)
DEFAULT_VALUES: Final = (
    *dict.fromkeys(shape.name for shape in SHAPES if shape.default),
    *(name for name, default in CHECKED.items() if default),
)

PLACEHOLDERS: Final = frozenset(
    {"[Filtered]", "[REDACTED]", "REDACTED", "[redacted]", "<redacted>", "redacted", "***", "*****", "********",
     "**********", "[Removed]", "%s", "?", "", "None", "null"}
)  # fmt: skip
"""Values in which somebody upstream has already hidden a secret, or that hold none: they stay as they are."""


class RedactionChoices(NamedTuple):
    """What a service chooses of the redaction, beside `tags.redact`.

    Args:
        values: the shapes of values that are redacted, of VALUE_NAMES.
        sql: `parameterise` replaces the literals of SQL statements by `?`.
        argv: the process's command line in Sentry's events: each argument `redact`ed as any text, all `drop`ped, or
            all `keep`ed.
    """

    values: Shapes = DEFAULT_VALUES
    sql: Literal["keep", "parameterise"] = "keep"
    argv: Literal["redact", "drop", "keep"] = "redact"


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
    """Return the test whether a key, or a dotted path of keys, is sensitive: as `key_pattern` says, ten times faster.

    >>> key_test()("http.request.header.x-api-key")
    True
    """
    is_own = own_test(globs)

    def test(key: str) -> bool:
        key = key[-MAX_KEY:]
        low = key.lower()
        for core in _CORES:
            if core in low:
                if _has_one().search(key) is not None:
                    return True
                break
        else:
            if not key.isascii() and _has_one().search(key) is not None:
                return True
        return _ends(key, low) or low in WHOLE or is_own(key)

    return test


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


def shapes(chosen: Sequence[str] = DEFAULT_VALUES) -> Iterator[Shape]:
    """Yield the chosen shapes, in their order."""
    return (shape for shape in SHAPES if shape.name in chosen)


_CORES: Final = ("pas", "mysql", "key", "token", "secret", "credential")
"""One of them is in each of ANYWHERE that is ASCII."""
_SPELLINGS: Final = {
    separator.join(term.split(" ")): term.index(" ") if " " in term else len(term)
    for term in AT_THE_END
    for separator in ("", "_", "-", " ")
}
"""AT_THE_END, each in all its spellings, with the length of its first word."""
_LAST: Final = frozenset(spelling[-3:] for spelling in _SPELLINGS)
_LAST_OF_ADDITIONS: Final = frozenset(addition[-3:] for addition in _ADDITIONS)
_BEFORE_A_NUMBER: Final = frozenset("-_ ")
_TAIL_CHARACTERS: Final = "[].0123456789\"'"


def _anywhere() -> str:
    return f"(?i:(?:{_words(ANYWHERE)})s?(?:{'|'.join(_ADDITIONS)})?)"


@functools.cache
def _has_one() -> re.Pattern[str]:
    return re.compile(f"{_anywhere()}(?![a-z])")


def _ends(key: str, low: str) -> bool:
    """Whether a key ends with one of AT_THE_END, which begins where a word does."""
    whole = low
    low = low.rstrip(_TAIL_CHARACTERS)
    is_numbered = whole[len(low) : len(low) + 1].isdigit()
    if is_numbered and low[-1:] in _BEFORE_A_NUMBER:
        return _is_one(key, low[:-1])
    if whole.startswith("64", len(low)) and low.endswith(("b", "base")):  # an addition, no number
        low += "64"
    elif is_numbered and low[-1:] == "v":  # `token_v2`; the v of `cvv2` belongs to the word
        without = low[:-1]
        if _is_one(key, without[:-1] if without[-1:] in _BEFORE_A_NUMBER else without):
            return True
    return _is_one(key, low)


def _is_one(key: str, low: str) -> bool:
    if _may_end(low) and _begins_a_word(key, low):
        return True
    if low[-3:] not in _LAST_OF_ADDITIONS:
        return False
    for addition in _ADDITIONS:
        if low.endswith(addition):
            rest = low[: -len(addition)]
            for shorter in (rest, rest[:-1] if rest[-1:] in _BEFORE_A_NUMBER else ""):
                if _may_end(shorter) and _begins_a_word(key, shorter):
                    return True
    return False


def _may_end(low: str) -> bool:
    return low[-3:] in _LAST or low[-2:] in _LAST


def _begins_a_word(key: str, low: str) -> bool:
    for spelling, first in _SPELLINGS.items():
        if not low.endswith(spelling):
            continue
        start = len(low) - len(spelling)
        before, word = key[start - 1 : start], key[start : start + first]
        if spelling in GLUED or not (before.isascii() and before.isalnum()):
            return True
        if word[:1].isupper() and (not before.isupper() or word[1:].islower()):
            return True
    return False


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
    """The word with a capital, whatever follows: in camelCase."""
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
