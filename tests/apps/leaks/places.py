"""Puts a marker that is unique to its place everywhere a secret has been seen to stand. Used by app and test alike."""

import json
import logging
import os
import sqlite3
import zlib
from dataclasses import dataclass

TEXTS = {
    "user of a URL": "cannot reach postgresql://u:@@@db/x",
    "odd user of a URL": "postgresql://u:p/@@?x@h/db",
    "query of a URL": "see https://h.test/?token=@@&page=2",
    "fragment of a URL": "https://h.test/#access_token=@@",
    "matrix parameter": "https://h.test/a;jsessionid=@@",
    "bracketed key": "https://h.test/?user[password]=@@",
    "encoded key": "https://h.test/?login%5Bpassword%5D=@@",
    "URL in a URL": "/r?next=https%3A%2F%2Fu%3A@@%40h.test%2F",
    "URL encoded twice": "/r?next=https%253A%252F%252Fh.test%253Ftoken%253D@@",
    "signed URL": "https://b.test/f?X-Amz-Date=1&X-Amz-Signature=@@",
    "connection string": "host=db user=x password=@@ dbname=y",
    "account key": "AccountName=x;AccountKey=@@==;EndpointSuffix=core",
    "camelCase pair": "accessToken=@@",
    "JSON": '{"user": "bob", "password": "@@"}',
    "JSON in JSON": json.dumps({"body": json.dumps({"refreshToken": "@@"})}),
    "object in JSON": '{"credentials": {"user": "bob", "x": ["@@"]}}',
    "repr of a mapping": "{'user': 'bob', 'secret_key': '@@'}",
    "repr of an object": "Cred(user='bob', password='@@')",
    "pair": "('Authorization', 'Bearer @@')",
    "pair of bytes": "[(b'host', b'x'), (b'authorization', b'Bearer @@')]",
    "header": "Authorization: Basic @@",
    "cookie header": "Cookie: theme=dark; id=@@",
    "flag with =": "run --db-password=@@ --verbose",
    "flag with a blank": "run --token @@ --verbose",
    "markup": "<login><password>@@</password></login>",
    "part of a form": '--x\r\nContent-Disposition: form-data; name="password"\r\n\r\n@@\r\n--x--',
    "GraphQL": 'mutation { login(user: "bob", password: "@@") { id } }',
    "name and value": '[{"name": "X-Api-Key", "value": "@@"}]',
    "name and value in a repr": "Cookie(version=0, name='sessionid', value='@@', port=None)",
    "name and value in YAML": "env:\n- name: DB_PASSWORD\n  value: @@",
    "name and value in HTML": '<input type="hidden" name="csrf_token" value="@@">',
    "failed validation": "password\n  too short [type=string_too_short, input_value='@@', input_type=str]",
    "failed validation as data": "{'loc': ('body', 'password'), 'msg': 'x', 'input': '@@'}",
    "SQLAlchemy's parameters": "[SQL: INSERT INTO u (email, password) VALUES (?, ?)]\n[parameters: ('a@b.c', '@@')]",
    "column of an INSERT": "INSERT INTO u (name, password) VALUES ('bob', '@@')",
    "CREATE USER": "CREATE USER bob IDENTIFIED BY '@@'",
    "curl's user": "curl -su admin:@@ https://h",
    "mysql's password": "Command '['mysql', '-u', 'root', '-p@@', 'db']' returned non-zero exit status 1.",
    "digest": 'Authorization: Digest username="bob", response="@@"',
    "body after headers": r"b'POST / HTTP/1.1\r\nX-Api-Key: a\r\n\r\n{\"password\": \"@@\"}'",
    "JSON in HTML": "{&quot;password&quot;: &quot;@@&quot;}",
    "JSON in a form": "data=%7B%22token%22%3A+%22@@%22%7D",
    "SOAP": '<wsse:Password Type="text">@@</wsse:Password>',
    "YAML block": "password: |\n  a\n  @@\nother: 1",
    "ODBC": "DRIVER=x;UID=sa;PWD={a;@@};Trusted=no",
    "address of a URL": "SplitResult(scheme='https', netloc='u:@@@db.test:5432', path='/')",
    "Discord webhook": "https://discord.com/api/webhooks/123456789012345678/@@@@",
    "bearer token": "sent Bearer @@@@",
    "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.@@",
    "Stripe key": "sk_live_@@",
    "part of a form, unquoted": "--x\r\nContent-Disposition: form-data; name=password\r\n\r\n@@\r\n--x--",
    "property of XML": '<property name="connection.password">@@</property>',
    "XML-RPC": "<member><name>password</name><value><string>@@</string></value></member>",
    "XML in HTML": "&lt;password&gt;@@&lt;/password&gt;",
    "YAML anchor": "password: &a @@\nother: 1",
    "YAML tag": "password: !vault |\n  $ANSIBLE_VAULT;1.1\n  @@\n",
    "netrc": "machine api.test login bob password @@",
    "PowerShell": "New-Object PSCredential -UserName bob -Password @@",
    "Go flag": "server -db-password @@ -v",
    "curl --user=": "curl --user=bob:@@ https://h",
    "aws configure": "aws configure set aws_secret_access_key @@",
    "annotated": "password: str = '@@'",
    "default of getenv": "SECRET_KEY = os.environ.get('SECRET_KEY', '@@')",
    "compared": "if password != '@@':",
    "list of a pair": "[('password', ['@@']), ('a', ['b'])]",
    "Digest alone": 'Digest username="bob", realm="x", response="@@"',
    "escaped key": r'{"\u5bc6\u7801": "@@"}',
    "Chinese": "密码：@@",
    "Russian": "пароль='@@'",
    "Japanese": "パスワード: @@",
    "decomposed accent": "contrasen\u0303a=@@",
    "zero-width space": "pass\u200bword=@@",
    "full width": "ｐａｓｓｗｏｒｄ＝@@",
    "colours of a terminal": "\x1b[36mpassword\x1b[0m=\x1b[35m@@\x1b[0m",
    "Kafka": 'PlainLoginModule required username="bob" password="@@";',
    "Azure SAS": "https://a.test/c?sv=2020-08-04&sig=@@%3D",
    "psycopg": "connection failed: host=h user=u password='a @@' dbname=x",
    "Set-Cookie list": "[('Set-Cookie', 'sid=@@; Path=/; HttpOnly')]",
    "kubectl": "kubectl create secret generic s --from-literal=token=@@",
    "docker": "['docker', 'run', '-e', 'DB_PASSWORD=@@', 'img']",
    "Java property": "java -Djavax.net.ssl.keyStorePassword=@@ -jar x",
    "npmrc": "//registry.test/:_authToken=@@",
    "PEM": "-----BEGIN PRIVATE KEY-----\n@@\n-----END PRIVATE KEY-----",
}
KEYS = (
    "password", "passwd", "secret", "api_key", "apikey", "auth", "credentials", "mysql_pwd", "privatekey", "token", "session",
    "sessionid", "csrftoken", "PHPSESSID", "accessToken", "refreshToken", "secret_key", "aws_secret_access_key", "jwt", "sig",
    "signature", "passphrase", "pwd", "dsn", "cvv", "ssn", "x-api-key", "Authorization", "set-cookie", "user[password]",
    "token_v2", "api_token_prod", "密码", "пароль", "motDePasse",
)  # fmt: skip
NOT_REDACTED = {
    "literal of a SQL statement": "a value without a name: set redaction.sql: parameterise",
    "positional argument": "a value without a name, and of no known form",
    "segment of a path": "a value without a name: let routes, not paths, name spans",
    "word in a sentence": "nothing tells it from any other word",
}
"""What leaks on purpose, and what to do about it."""


NOTATIONS = {
    "octal": '{"\\160assword": "@@"}',
    "hex": '{"\\x70assword": "@@"}',
    "entity": "&#112;assword=@@",
    "no scheme": "//u:@@@h/x",
    "port": "to u:@@@h:5432/db",
    "like": "SELECT 1 FROM u WHERE token LIKE '@@%'",
    "in": "SELECT 1 FROM u WHERE token IN ('a', '@@')",
    "cast": "SELECT 1 FROM u WHERE token::text = '@@'",
    "typo": "\u201cpassword\u201d: \u201c@@ x\u201d",
    "env": "ENV DB_PASSWORD @@",
    "yaml": "password:\n  @@\nother: 1",
    "input": '<input value="@@" name="password">',
    "nul": "prog\0--token\0@@\0-x",
    "six": "GET /x?next=%252525252Fy%252525253Ftoken%252525253D@@",
    "td": "<td>password</td><td>@@</td>",
    "apikey": "API Key: @@",
    "glued": "dbpwd=@@",
    "glued2": "apitoken=@@",
    "bearer": "BEARER @@@@",
    "slash": r'{"url":"https:\/\/u:@@@h\/"}',
    "ansi": "password\x1b[K=@@",
    "multi": '--x\r\nContent-Disposition: form-data; name="password"\r\n\r\na\r\n@@\r\n--x--',
    "dup": "Duplicate entry '@@' for key 'users.token'",
    "django": "(0.001) UPDATE u SET password = '@@'; args=('@@', 1)",
    "arrow": "password -> @@",
    "win": r"C:\app\token=@@",
}  # fmt: skip
"""More texts, in other notations: each as an attribute of a span, in a log message, and in an exception's message."""


def mark(place):
    """The marker of a place: a word of letters and digits that stands nowhere else."""
    return f"SEK{zlib.crc32(place.encode()):08x}RET"


def text(place, what):
    marked = mark(f"{place}: {what}")
    MARKS[marked] = f"{place}: {what}"
    return {**TEXTS, **NOTATIONS}[what].replace("@@", marked)


def value(place, what):
    marked = mark(f"{place}: {what}")
    MARKS[marked] = f"{place}: {what}"
    return marked


MARKS = {}
"""Each marker that was put somewhere, with its place."""


@dataclass
class Cred:
    user: str
    password: str


def all_marks(request=True):
    """Fill MARKS as if everything had run: what the test looks for."""
    for place in ("span attribute", "local variable", "exception", "log message", "breadcrumb"):
        for what in TEXTS:
            text(place, what)
    for what in NOTATIONS:
        text("notation", what)
    for place in ("span attribute", "extra", "local variable"):
        for what in KEYS:
            value(place, what)
    for place, what in (
        *(
            ("span", what)
            for what in (
                "name",
                "status",
                "event name",
                "event attribute",
                "link attribute",
                "sequence",
                "header",
            )
        ),
        *(("resource", what) for what in ("key", "URL")),
        *(
            ("sentry", what)
            for what in ("context", "nested extra", "tag", "user", "message", "breadcrumb data")
        ),
        *(("log", what) for what in ("argument", "extra")),
        *(("exception", what) for what in ("note", "group")),
        *(("local", what) for what in ("nested", "object", "bytes", "deep")),
        *(("scope", what) for what in ("span", "meter")),
        *(
            ("metric", what)
            for what in ("label", "URL in a label", "prometheus_client label", "redacted key")
        ),
        *(("outgoing", what) for what in ("user", "query", "header")),
        *(("process", what) for what in ("argument =", "argument", "setting")),
        *(("task", what) for what in ("keyword argument",)),
        *(("database", what) for what in ("named literal", "redis AUTH")),
        *(("request", what) for what in REQUEST if request),
        *(("deliberate", what) for what in NOT_REDACTED),
    ):
        value(place, what)
    return MARKS


REQUEST = ("query", "header", "cookie", "form", "referer")


def request_parts():
    """Path, headers and body of the request that the test sends."""
    of = {what: value("request", what) for what in REQUEST}
    path = f"/leak/{value('deliberate', 'segment of a path')}?token={of['query']}&page=2"
    headers = {
        "Authorization": f"Bearer {of['header']}",
        "Cookie": f"sessionid={of['cookie']}; theme=dark",
        "Referer": f"https://h.test/?token={of['referer']}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return path, headers, f"user=bob&password={of['form']}".encode()


def spans():
    from opentelemetry import trace
    from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

    tracer = trace.get_tracer("leaks", attributes={"token": value("scope", "span")})
    link = Link(
        SpanContext(1, 2, True, TraceFlags(1)), {"u": f"https://u:{value('span', 'link attribute')}@h/"}
    )
    with tracer.start_as_current_span("work", links=[link]) as span:
        for number, what in enumerate(TEXTS):
            span.set_attribute(f"note.{number}", text("span attribute", what))
        for number, what in enumerate(NOTATIONS):
            span.set_attribute(f"notation.{number}", text("notation", what))
        for what in KEYS:
            span.set_attribute(what, value("span attribute", what))
        span.set_attribute("many", ("a", f"https://u:{value('span', 'sequence')}@h/"))
        span.set_attribute("http.request.header.authorization", [f"Bearer {value('span', 'header')}"])
        span.add_event(f"see https://u:{value('span', 'event name')}@h/")
        span.add_event("login", {"note": f"https://u:{value('span', 'event attribute')}@h/?a=1"})
        span.set_status(Status(StatusCode.ERROR, f"postgresql://u:{value('span', 'status')}@db/x"))
        span.set_attribute("celery.task_args", f"('bob', '{value('deliberate', 'positional argument')}')")
    with tracer.start_as_current_span(f"GET https://u:{value('span', 'name')}@h/x"):
        pass
    statement = f"UPDATE u SET password='{value('database', 'named literal')}' WHERE id=1"
    with tracer.start_as_current_span(
        "UPDATE", kind=SpanKind.CLIENT, attributes={"db.system": "postgresql", "db.statement": statement}
    ):
        pass
    statement = f"AUTH default {value('database', 'redis AUTH')}"
    with tracer.start_as_current_span(
        "AUTH", kind=SpanKind.CLIENT, attributes={"db.system": "redis", "db.statement": statement}
    ):
        pass
    sqlite3.connect(":memory:").cursor().execute(
        f"select '{value('deliberate', 'literal of a SQL statement')}'"
    )
    statement = f"SELECT 1 FROM t WHERE x = '{value('deliberate', 'literal of a SQL statement')}'"
    with tracer.start_as_current_span(
        "SELECT", kind=SpanKind.CLIENT, attributes={"db.system": "sqlite", "db.statement": statement}
    ):
        pass


def metrics():
    from opentelemetry import metrics as api

    scope = {"token": value("scope", "meter")}
    counter = api.get_meter("leaks", attributes=scope).create_counter("leaks_logins")
    url = f"https://u:{value('metric', 'URL in a label')}@h/"
    counter.add(1, {"token": value("metric", "label"), "url": url})
    COUNTER.labels(token=value("metric", "prometheus_client label")).inc()


def counter_of_prometheus_client():
    from prometheus_client import Counter

    return Counter("leaks_prom", "Leaks.", ["token"])


COUNTER = counter_of_prometheus_client()


def sentry():
    import sentry_sdk

    sentry_sdk.set_context("state", {"accessToken": value("sentry", "context"), "step": 1})
    sentry_sdk.set_extra(
        "cfg", {"a": {"b": {"c": {"d": {"e": {"password": value("sentry", "nested extra")}}}}}}
    )
    for what in KEYS:
        sentry_sdk.set_extra(what, value("extra", what))
    sentry_sdk.set_tag("hint", f"https://u:{value('sentry', 'tag')}@h/")
    # the key of what is redacted is counted in slotel_tag_violations_total
    sentry_sdk.set_extra("by URL", {f"https://h/?token={value('metric', 'redacted key')}&x_token": "x"})
    sentry_sdk.set_user({"id": "1", "api_key": value("sentry", "user")})
    data = {"headers": {"Authorization": f"Bearer {value('sentry', 'breadcrumb data')}"}}
    sentry_sdk.add_breadcrumb(category="http", message="sent", data=data)
    for what in TEXTS:
        sentry_sdk.add_breadcrumb(category="note", message=text("breadcrumb", what))
    sentry_sdk.capture_message(f"bad login at https://u:{value('sentry', 'message')}@h/")


def logs():
    log = logging.getLogger("leaks")
    for what in TEXTS:
        log.warning(text("log message", what))
    for what in NOTATIONS:
        log.warning(text("notation", what))
    log.error(
        "login password=%s of %s",
        value("log", "argument"),
        "bob",
        extra={"accessToken": value("log", "extra")},
    )
    log.error("the word is %s", value("deliberate", "word in a sentence"))


def outgoing():
    import requests

    query = f"token={value('outgoing', 'query')}&page=2"
    try:
        requests.get(
            f"http://u:{value('outgoing', 'user')}@127.0.0.1:1/x?{query}",
            headers={"Authorization": f"Bearer {value('outgoing', 'header')}"},
            timeout=3,
        )
    except requests.RequestException:
        logging.getLogger("leaks").exception("outgoing failed")


def everything():
    """Leak in every way but by an exception."""
    spans()
    metrics()
    logs()
    outgoing()
    sentry()


def boom():
    """Raise, with secrets in every local variable."""
    found = {f"text_{number}": text("local variable", what) for number, what in enumerate(TEXTS)}
    cfg = {"db": {"password": value("local", "nested")}}
    cred = Cred("bob", value("local", "object"))
    raw = f"password={value('local', 'bytes')}".encode()
    deep = {"a": {"b": {"c": {"d": {"e": {"f": {"password": value("local", "deep")}}}}}}}
    by_key = {what: value("local variable", what) for what in KEYS}
    del found["text_0"]
    texts = [text("exception", what) for what in TEXTS] + [text("notation", what) for what in NOTATIONS]
    error = ValueError("\n".join(texts))
    if hasattr(error, "add_note"):
        error.add_note(f"note password={value('exception', 'note')}")
    names = (cfg, cred, raw, deep, by_key)
    del names
    raise error from KeyError(f"mysql://u:{value('exception', 'group')}@h/d")


def init_plain():
    """Sentry alone, as its documentation sets it up, for comparison."""
    import sentry_sdk

    if os.environ.get("LEAKS_PLAIN"):
        sentry_sdk.init(os.environ["LEAKS_PLAIN"], traces_sample_rate=1.0, enable_logs=True)
