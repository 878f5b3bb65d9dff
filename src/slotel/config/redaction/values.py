"""Secrets that their form alone gives away, placeholders that are no secrets, and a service's choices. Pure data.

The redactor in the service and the collector's policy are both made from this file. Every pattern here is one that
Python and RE2 (the collector's) read alike: no look-around, no back-references.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

from slotel.config.value_types import Shapes


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
    Shape("bearer", "earer", r"\b[Bb]earer[ \t]{1,8}[A-Za-z0-9._~+/-]{16,}=*", "RFC 6750"),
    Shape("bearer", "EARER", r"\bBEARER[ \t]{1,8}[A-Z._~+/-]{0,64}[a-z0-9][A-Za-z0-9._~+/-]{14,}=*", "RFC 6750"),
    Shape("digest", "igest ", r"\b[Dd]igest (?:username|realm|nonce)=[^\r\n]{0,300}?\bresponse="
          r"[\"\\]{0,8}[^\"\\\s,]{1,256}", "RFC 7616"),
    Shape("negotiate", "egotiate ", r"\b[Nn]egotiate (?:YI|TlRM|oY)[A-Za-z0-9+/]{16,}={0,2}", "RFC 4559"),
    Shape("smtp", "AUTH ", r"\bAUTH (?:PLAIN|LOGIN|XOAUTH2) [A-Za-z0-9+/]{8,}={0,2}", "RFC 4954"),
    Shape("basic", "asic", r"\b[Bb]asic[ \t]{1,8}[a-z]{0,15}[A-Z0-9+/][A-Za-z0-9+/]{14,}={0,2}", "RFC 7617"),
    Shape("basic", "ASIC", r"\bBASIC[ \t]{1,8}[A-Z]{0,15}[a-z0-9+/][A-Za-z0-9+/]{14,}={0,2}", "RFC 7617"),
    Shape("scheme", "oken",
          r"\b(?:[Tt]oken|Zoho-oauthtoken)[ \t]{1,8}[A-Za-z_~+-]{0,40}[0-9][A-Za-z0-9._~+/-]{15,}=*",
          "RFC 9110, schemes of Authorization"),
    Shape("scheme", "TOKEN", r"\bTOKEN[ \t]{1,8}[A-Za-z_~+-]{0,40}[0-9][A-Za-z0-9._~+/-]{15,}=*",
          "RFC 9110, schemes of Authorization"),
    Shape("scheme", "ey", r"\b(?:[Aa]pi-?[Kk]ey|GenieKey|SharedKey(?:Lite)?)[ \t]{1,8}(?:[a-z0-9]{1,64}:)?"
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
"""A possible number of a payment card, before its network and checksum are verified. Source: ISO/IEC 7812-1."""
IBAN: Final = r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\b"
"""A possible IBAN, before its checksum is verified. Source: ISO 13616."""

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
    """A service's choices for redaction, in addition to `tags.redact`.

    Args:
        values: the shapes of values that are redacted, of VALUE_NAMES.
        sql: `parameterise` replaces the literals of SQL statements by `?`.
        argv: the process's command line in Sentry's events: each argument `redact`ed as any text, all `drop`ped, or
            all `keep`ed.
    """

    values: Shapes = DEFAULT_VALUES
    sql: Literal["keep", "parameterise"] = "keep"
    argv: Literal["redact", "drop", "keep"] = "redact"


def shapes(chosen: Sequence[str] = DEFAULT_VALUES) -> Iterator[Shape]:
    """Yield the chosen shapes, in their order."""
    return (shape for shape in SHAPES if shape.name in chosen)
