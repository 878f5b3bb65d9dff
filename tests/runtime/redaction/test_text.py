"""The redactor on single texts: what it finds, what it leaves, and that no text takes long."""

import json
import re
import time
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slotel.config.redaction.keys import AT_THE_END
from slotel.config.redaction.values import DEFAULT_VALUES, SHAPES, VALUE_NAMES, RedactionChoices
from slotel.runtime.redaction.redactor import Redactor
from slotel.runtime.redaction.text import CORES
from slotel.runtime.redaction.values import Values

SECRET = "SEK7RETx9"
REDACTOR = Redactor(("*.pin", "iban"))

FOUND = [
    # URLs
    "postgresql://u:SEK7RETx9@db/x",
    "https://SEK7RETx9@sentry.test/1",
    "cannot reach https://u:p@SEK7RETx9@h/x",
    "https://u:p/SEK7RETx9?x#y@h/db",
    "redis://:SEK7RETx9@h:6379/0",
    "GET /a?token=SEK7RETx9&page=2",
    "/a#access_token=SEK7RETx9",
    "https://h/a;jsessionid=SEK7RETx9?x=1",
    "https://h/?user[password]=SEK7RETx9",
    "https://h/?login%5Bpassword%5D=SEK7RETx9",
    "https://h/?%74oken=SEK7RETx9",
    "/r?next=https%3A%2F%2Fu%3ASEK7RETx9%40h%2F",
    "/r?next=https%3A%2F%2Fh%2F%3Ftoken%3DSEK7RETx9",
    "/r?next=https%253A%252F%252Fh%253Ftoken%253DSEK7RETx9",
    "/r/https%3A%2F%2Fh%2F%3Ftoken%3DSEK7RETx9",
    "https://bucket.test/f?X-Amz-Signature=SEK7RETx9&X-Amz-Date=1",
    "https://x.blob.test/f?sv=1&sig=SEK7RETx9",
    r"{\"url\": \"https://h/?token=SEK7RETx9\"}",
    r"https://h/?a=1\u0026token=SEK7RETx9",
    "https://h/?a=1&amp;token=SEK7RETx9",
    # pairs
    "password=SEK7RETx9",
    "login failed: password=SEK7RETx9, user=bob",
    "host=db user=x password=SEK7RETx9 dbname=y",
    "password='SEK7RETx9 SEK7RETx9' user=x",
    "Server=a;User Id=b;Password=SEK7RETx9;Database=c",
    "DefaultEndpointsProtocol=https;AccountKey=SEK7RETx9/c==;EndpointSuffix=core",
    "jdbc:mysql://h/db?user=u&password=SEK7RETx9",
    "a=1&b[pin]=SEK7RETx9",
    "Authorization=Bearer SEK7RETx9",
    "password=it's-SEK7RETx9",
    r"first line\ntoken=SEK7RETx9",
    "accessToken=SEK7RETx9",
    "os.environ['DB_PASSWORD'] = 'SEK7RETx9'",
    'password := "SEK7RETx9"',
    '"password" => "SEK7RETx9"',
    # colons
    '{"password": "SEK7RETx9"}',
    '{"a": {"refreshToken":"SEK7RETx9 and more"}}',
    '{"cvv": 7777777, "x": "SEK"}'.replace("7777777", "SEK7RETx9"),
    '{"credentials": {"user": "a", "list": [1, "}"], "x": "SEK7RETx9"}}',
    r"{\"password\": \"SEK7RETx9\"}",
    r"{\\\"password\\\": \\\"SEK7RETx9\\\"}",
    "{'password': 'SEK7RETx9', 'user': 'bob'}",
    "{'password': b'SEK7RETx9'}",
    '{"password": "SEK7RETx9 cut of',
    "password: SEK7RETx9",
    "X-Auth-Token: SEK7RETx9",
    "invalid token: SEK7RETx9",
    "Authorization: Basic SEK7RETx9",
    "Cookie: a=1; b=SEK7RETx9",
    "curl -H 'Authorization: Bearer SEK7RETx9' https://h",
    'mutation { login(user: "bob", password: "SEK7RETx9") { id } }',
    # pairs of two, representations, command lines, markup
    "('Authorization', 'Bearer SEK7RETx9')",
    "[(b'host', b'x'), (b'authorization', b'Bearer SEK7RETx9')]",
    '["password", "SEK7RETx9"]',
    "Cred(user='bob', password='SEK7RETx9')",
    "Cred(password=SEK7RETx9, user=bob)",
    "run --db-password=SEK7RETx9 --verbose",
    "run --token SEK7RETx9 --verbose",
    "['run', '--token', 'SEK7RETx9', '--verbose']",
    "<login><password>SEK7RETx9</password></login>",
    '--x\r\nContent-Disposition: form-data; name="password"\r\n\r\nSEK7RETx9\r\n--x--',
    r'name=\"password\"\r\n\r\nSEK7RETx9\r\n--x'.replace(r"\"", '"'),
    '--x\r\nContent-Disposition: form-data; name="password"\r\nContent-Type: text/plain\r\n\r\nSEK7RETx9\r\n--x--',
    '<wsse:Password Type="text">SEK7RETx9</wsse:Password>',
    "<password><![CDATA[SEK7RETx9]]></password>",
    "<property><name>db_password</name>\n<value>SEK7RETx9</value></property>",
    "{&quot;password&quot;: &quot;SEK7RETx9&quot;}",
    r"{\u0022password\u0022: \u0022SEK7RETx9\u0022}",
    'Authorization: Digest username="bob", realm="x", response="SEK7RETx9"',
    r"b'POST / HTTP/1.1\r\nX-Api-Key: abc\r\n\r\n{\"password\": \"SEK7RETx9\"}'",
    "data=%7B%22token%22%3A+%22SEK7RETx9%22%7D",
    "DRIVER=x;UID=sa;PWD={a;SEK7RETx9};Trusted=no",
    "jdbc:sqlserver://h:1433;user=sa;password={SEK7RETx9};encrypt=true",
    "password: |\n  a\n  SEK7RETx9\nother: 1",
    'password = """\nSEK7RETx9\n"""',
    "userPassword:: SEK7RETx9",
    "X-Hub-Signature-256: sha256=SEK7RETx9",
    "token_2=SEK7RETx9",
    "passwort=SEK7RETx9",
    # a name and a value
    '[{"name": "Authorization", "value": "SEK7RETx9"}]',
    "{'key': 'DB_PASSWORD', 'value': 'SEK7RETx9'}",
    "_Metadatum(key='authorization', value='Bearer SEK7RETx9')",
    "Cookie(version=0, name='sessionid', value='SEK7RETx9', port=None)",
    "env:\n- name: DB_PASSWORD\n  value: SEK7RETx9",
    '<add key="ApiKey" value="SEK7RETx9"/>',
    '<input type="hidden" name="csrf_token" value="SEK7RETx9">',
    "1 validation error for Login\npassword\n  too short [type=string_too_short, input_value='SEK7RETx9', input_type=str]",
    "[{'type': 'string_too_short', 'loc': ('body', 'password'), 'msg': 'x', 'input': 'SEK7RETx9'}]",
    '{"loc": ["body", "passwords", 0, "api_key"], "msg": "x", "input": "SEK7RETx9"}',
    # statements in texts
    "failed: ALTER USER bob WITH PASSWORD 'SEK7RETx9'",
    'CREATE USER bob IDENTIFIED BY "SEK7RETx9"',
    "CREATE USER bob IDENTIFIED BY SEK7RETx9",
    "SET PASSWORD FOR 'bob'@'h' = PASSWORD('SEK7RETx9')",
    "INSERT INTO users (name, password) VALUES ('bob', 'SEK7RETx9')",
    "INSERT INTO users (password, name) VALUES ('x', 'bob'), (E'it''s SEK7RETx9', 'eve')",
    "[SQL: INSERT INTO user (email, password) VALUES (?, ?)]\n[parameters: ('a@b.c', 'SEK7RETx9')]",
    "[SQL: UPDATE user SET email=%s, api_key=%s WHERE user.id = %s]\n[parameters: ('a@b.c', 'SEK7RETx9', 1)]",
    "[SQL: INSERT INTO user (email, password) VALUES (?, ?)]\n[parameters: [('a', 'b'), ('c', 'SEK7RETx9')]]",
    "INSERT INTO u (a, password) VALUES (f(g(1, ')')), 'SEK7RETx9')", "INSERT INTO u (a, password) VALUES ('x' || 'y', 'SEK7RETx9')",
    "INSERT INTO u (a, password) VALUES (ARRAY[1, 2], 'SEK7RETx9'), ('b', 'c')", "INSERT INTO u (a, password) VALUES (1::int, crypt('SEK7RETx9', gen_salt('bf')))",
    "WITH x AS (SELECT 1) INSERT INTO u(password) VALUES('SEK7RETx9') RETURNING id", "INSERT INTO u (password) VALUES (x'SEK7RETx9')",
    "UPDATE u SET `password` = 'SEK7RETx9'", "`password`: `SEK7RETx9`",
    "SELECT * FROM u WHERE password LIKE 'SEK7RETx9%'", "SELECT 1 FROM u WHERE u.token NOT IN ('a', 'SEK7RETx9')", "WHERE `token` ILIKE N'%SEK7RETx9'",
    "WHERE token BETWEEN 'SEK7RETx9' AND 'SEK7RETx9z'", "WHERE token::text = 'SEK7RETx9'", "WHERE CAST(token AS text) <> 'SEK7RETx9'",
    "WHERE 'SEK7RETx9' = u.token", "SELECT 'SEK7RETx9' AS password", "WHERE api_key IS NOT DISTINCT FROM 'SEK7RETx9'", "where session_id ~* 'SEK7RETx9'",
    "WHERE token = ANY(ARRAY['SEK7RETx9'])", "HAVING max(token) >= 'SEK7RETx9'", "WHERE token > X'SEK7RETx9'", "WHERE lower(token) = lower('SEK7RETx9')",
    "INSERT INTO u (name, password) SELECT 'bob', 'SEK7RETx9' FROM x", "INSERT INTO u\n(name,\n password)\nVALUES\n('b',\n 'SEK7RETx9')",
    "INSERT INTO u (password) VALUES ($$SEK7RETx9$$)", "INSERT INTO u (password) OVERRIDING SYSTEM VALUE VALUES ('SEK7RETx9')",
    "[SQL: SELECT 1 FROM u WHERE u.token IN (?, ?)]\n[parameters: ('a', 'SEK7RETx9')]", "Duplicate entry 'SEK7RETx9' for key 'users.token'",
    "(0.001) UPDATE \"u\" SET \"password\" = 'SEK7RETx9' WHERE 1; args=('SEK7RETx9', 1); alias=default",
    "AUTH SEK7RETx9", "SET a b\nAUTH default SEK7RETx9\nGET x", "*2\r\n$4\r\nAUTH\r\n$9\r\nSEK7RETx9\r\n", "requirepass SEK7RETx9",
    # short options
    "curl -su admin:SEK7RETx9 https://h",
    "Command '['mysql', '-u', 'root', '-pSEK7RETx9', 'db']' returned non-zero exit status 1.",
    "az login --service-principal -u x -p SEK7RETx9 --tenant t", "twine upload -u __token__ -p SEK7RETx9 dist/a.whl",
    "keytool -list -storepass SEK7RETx9 -alias x", "['jarsigner', '-keypass', 'SEK7RETx9', 'a.jar']",
    "sshpass -p 'SEK7RETx9' ssh h", "redis-cli -h x -a SEK7RETx9 ping", "docker login -u bob -p SEK7RETx9 r.test",
    "curl -ubob:SEK7RETx9 https://h", "http -a bob:SEK7RETx9 https://h",
    # an assignment without a sign
    "setenv DB_PASSWORD SEK7RETx9", "ENV DB_PASSWORD SEK7RETx9", "set -gx API_TOKEN SEK7RETx9", "git config user.password SEK7RETx9",
    'proxy_set_header Authorization "Bearer SEK7RETx9";', "SetEnv DB_PASSWORD SEK7RETx9",
    # the address of a URL alone
    "//user:SEK7RETx9@h/db", "url='//user:SEK7RETx9@h/db'", "connecting to bob:SEK7RETx9@h:5432/db now", "bob:SEK7RETx9@tcp(127.0.0.1:3306)/db",
    "https:/u:SEK7RETx9@h/", r"\\bob:SEK7RETx9@server\share", "jdbc:oracle:thin:scott/SEK7RETx9@//db:1521/x", "login as bob:SEK7RETx9@db.test",
    "SplitResult(scheme='https', netloc='u:SEK7RETx9@h', path='/')",
    # shapes
    "https://api.telegram.org/bot123456789:AAFSEK7RETx9abcdefghijklmnopqrstuvwxyz/send",
    "https://discord.com/api/webhooks/123456789012345678/SEK7RETx9SEK7RETx9abc",
    "Bearer SEK7RETx9SEK7RETx9",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJTRUs3UkVUeDkifQ.SEK7RETx9",
    "sk_live_SEK7RETx9SEK7",
    "xoxb-1234-SEK7RETx9",
    "-----BEGIN PRIVATE KEY-----\nSEK7RETx9\n-----END PRIVATE KEY-----",
    'Digest username="bob", realm="x", response="SEK7RETx9"', "Negotiate YIISEK7RETx9abcdefgh", "AUTH PLAIN SEK7RETx9=",
    "BEARER SEK7RETx9SEK7RETx9", "Bearer  SEK7RETx9SEK7RETx9", "Token SEK7RETx9SEK7RETx9SEK7", "Authorization=Bot SEK7RETx9", "SSWS SEK7RETx9SEK7RETx9ab",
    "eyJhbGciOiJkaXIifQ..SEK7RETx9.SEK7RETx9.SEK7RETx9", "---- BEGIN SSH2 PRIVATE KEY ----\nSEK7RETx9\n---- END SSH2 PRIVATE KEY ----",
    "-----BEGIN+RSA+PRIVATE+KEY-----%0ASEK7RETx9%0A-----END+RSA+PRIVATE+KEY-----",
    # forms, XML and configuration files
    '--x\r\nContent-Disposition: form-data; NAME="password"\r\n\r\nline\r\nSEK7RETx9\r\n--x--', "form-data; name*=utf-8''password\r\n\r\nSEK7RETx9\r\n--x",
    "password:\n  value: SEK7RETx9\nother: 1", "passwords:\n- SEK7RETx9\n- SEK7RETx9\n", "db:\n  password:\n    SEK7RETx9\n  user: bob",
    "<password><value>SEK7RETx9</value></password>", "<password><!-- c -->SEK7RETx9</password>", '<input value="SEK7RETx9" name="password">',
    '<input type="password" value="SEK7RETx9">', '<meta content="SEK7RETx9" name="csrf-token">', "<td>password</td><td>SEK7RETx9</td>",
    "<th>Password:</th><td>SEK7RETx9</td>", "<b>Password:</b> SEK7RETx9", "<dt>api_key</dt>\n<dd>SEK7RETx9</dd>",
    # words and signs
    "API Key: SEK7RETx9", "?api+key=SEK7RETx9", "session id = SEK7RETx9", "invalid token 'SEK7RETx9'", 'the password is "SEK7RETx9"', "password -> SEK7RETx9",
    "password → SEK7RETx9", "“password”: “SEK7RETx9 and more”", "password = ‘SEK7RETx9 SEK7RETx9’", "Passwort: „SEK7RETx9“", "password: «SEK7RETx9»",
    "password                    : SEK7RETx9", "$h{password} = 'SEK7RETx9'",
    "1 validation error for L\n  wrong [type=x, input_value={'user': 'b', 'passw...rd': 'SEK7RETx9'}, input_type=dict]",
    "--x\r\nContent-Disposition: form-data; name=password\r\n\r\nSEK7RETx9\r\n--x--",
    "--x\nContent-Disposition: form-data; name='token'; filename='a.txt'\nContent-Type: text/plain\n\nSEK7RETx9\n--x--",
    '<property name="hibernate.connection.password">SEK7RETx9</property>',
    '<param type="s" name="api_key"><value>SEK7RETx9</value></param>',
    "<member><name>password</name><value><string>SEK7RETx9</string></value></member>",
    "&lt;password&gt;SEK7RETx9&lt;/password&gt;",
    "password: &anchor SEK7RETx9\nother: 1", "password: !!str 'SEK7RETx9 x'", "password: !vault |\n  $ANSIBLE_VAULT;1.1\n  SEK7RETx9\n",
    "password: !SEK7RETx9 user", "**Password:** SEK7RETx9", "machine api.test login bob password SEK7RETx9",
    "machine api.test\n  login bob\n  password SEK7RETx9\n",
    # command lines
    "New-Object PSCredential -UserName bob -Password SEK7RETx9", "Invoke-X -ApiKey 'SEK7RETx9'", "server -db-password SEK7RETx9 -v",
    "['server', '-db-password', 'SEK7RETx9']", "curl --user=bob:SEK7RETx9 https://h", "sshpass -p'SEK7RETx9' ssh h",
    "useradd -p SEK7RETx9 bob", "htpasswd -bB file bob SEK7RETx9", "openssl enc -k SEK7RETx9", "aws configure set aws_secret_access_key SEK7RETx9",
    # source code and representations
    "password: str = 'SEK7RETx9'", 'API_KEY: Final[str] = "SEK7RETx9"', "if password != 'SEK7RETx9':", "password === 'SEK7RETx9'",
    "SECRET_KEY = os.environ.get('SECRET_KEY', 'SEK7RETx9')", "password = x or 'SEK7RETx9'", "token = get(a)[0] or 'SEK7RETx9'",
    "[('password', ['SEK7RETx9']), ('a', ['b'])]", "{'files': [('token', ('a.txt', b'SEK7RETx9'))]}",
    'mutation { login(input: {password: """SEK7RETx9"""}) { id } }',
    # other spellings of a key
    r'{"\u0070assword": "SEK7RETx9"}', r'{"\u5bc6\u7801": "SEK7RETx9"}', "密码：SEK7RETx9", "パスワード: SEK7RETx9", "пароль='SEK7RETx9'",
    "contrasen\u0303a=SEK7RETx9", "pass\u200bword=SEK7RETx9", "ｐａｓｓｗｏｒｄ＝SEK7RETx9", "password\u200f: SEK7RETx9",
    "รหัสผ่าน=SEK7RETx9", "पासवर्ड: SEK7RETx9", "лозинка=SEK7RETx9", "slaptažodis=SEK7RETx9",
    "\x1b[36mpassword\x1b[0m=\x1b[35mSEK7RETx9\x1b[0m", "token_v2=SEK7RETx9", "api_token_prod=SEK7RETx9", "%E5%AF%86%E7%A0%81=SEK7RETx9",
]  # fmt: skip

LEFT = [
    "GET /orders/1234567", "page=2&sort=name", "<starlette.requests.Request object at 0x7f0a>", "https://h:8080/a@b",
    "http://h:80/users/bob@shop.test", "mailto:bob@shop.test", "SyntaxError: Unexpected token: foo",
    "password=%s user=%s", "token={token}", "login(password=%(password)s)", "['user', 'password', 'email']",
    "1234567890123456", "1732812345678901234", "4111111111111112", "0af7651916cd43dd8448eb211c80319c",
    "https://REDACTED:REDACTED@h/", "https://u:***@h/", "token=[Filtered]", "password='***'", "sig=REDACTED",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "session.id=1", "12:30:45", "basic authentication failed",
    '{"token": null, "password": ""}', "secretary=bob", "SELECT token FROM t", "max_tokens=100", "monkey=1",
    "5425233430109904", "the key is under the mat", "AKIA is a prefix", "author: bob", "2026-11-28T17:16:26.123456Z",
    '{"name": "checkout", "value": "blue"}', '{"name": "login.token", "value": 3}', "name: token\n- value: x",
    "<p>the <b>token</b> is gone</p>", "docker run -p 8080:80 -u 1000:1000 img", "mkdir -p /a/b", "curl -o a:b https://h",
    "from:bob@shop.test", "mailto:bob@shop.test", "img:1.2@sha256:0af7651916cd43dd8448eb211c80319c", "10:30 @ office",
    "the password is required", "identified by name", "user identified by name: bob", "password for bob", "Password must be 'long'",
    "INSERT INTO users (name, age) VALUES ('bob', 7)", "SELECT password FROM users WHERE name = 'bob'",
    "[SQL: SELECT a FROM u WHERE u.name = ?]\n[parameters: ('bob',)]", "std::token::kind", "foo::auth::verify(x)",
    "name\n  Input should be a string [type=string_type, input_value=5, input_type=int]", "password = {value}", "a_1=2",
    "mutation($p: String!) { login(password:$p) { id } }", '{"query":"mutation($p:String!){login(password:$p){id}}"}',
    "query ($token: String!, $keys: [String!]!) { me(token: $token) { id } }", "login with the password that you have", "a -b - c", "grep -key x",
    '<option name="colour">blue</option>', "密码学：简介", "\x1b[32mok\x1b[0m", r'{"name": "M\u00fcller"}', "password != confirmation", "tv2=1",
    "password:\n  This field is required.", "Enter password:\nbob logged in", "def check(token) -> bool", "/reset/{token}: 404", "basic internationalization",
    "BASIC AUTHENTICATION FAILED", "Unexpected token 'foo'", "token is 'expired'", "WHERE password LIKE name", "WHERE token IS NULL AND name = 'bob'",
    "the Token: </b> is gone", "reply-to:bob1984x@shop.test", "npm:react@18.2.0/index.js", "img:1.2@sha256:0af7651916cd43dd/x", "// author: bob@shop.test",
    "ENV PATH /usr/bin", "AUTH failed for user bob", "private key: {curve.name!r}", "password -> login -> done", "(0.1) SELECT 1 WHERE a = 'b'; args=('b',)",
    "<td>name</td><td>bob</td>", '<input type="text" name="q" value="shoes">', "“author”: “bob”", "the author, the keyboard and a monkey", "password reset requested",
    "Forgot your password\n\nAsk for another", "negotiate internationalization", '<input name="csrf_token" value="[Filtered]">text', "getattr(a, 'password')", "Einführung：Grundlagen",
]  # fmt: skip


@pytest.mark.parametrize("text", FOUND)
def test_a_secret_is_found_wherever_it_stands_in_a_text(text):
    redacted = REDACTOR.text(text)
    assert SECRET not in redacted
    assert "[Filtered]" in redacted
    assert REDACTOR.text(redacted) == redacted


@pytest.mark.parametrize("text", FOUND)
def test_a_secret_is_found_beside_other_texts_and_in_the_representation_of_any(text):
    several = f"first '\"\n{text}\nlast"
    for whole in (
        f"first\n{text}\nlast", repr(f"first\n{text}\nlast"), json.dumps({"body": f"a\n{text}\n"}), repr(several), repr(repr(several)),
    ):  # fmt: skip
        assert SECRET not in REDACTOR.text(whole)


@given(
    st.lists(st.sampled_from([text for text in FOUND if not text.endswith("cut of")]), min_size=2, max_size=5)
)
def test_secrets_are_found_in_several_texts_below_each_other(texts):
    assert SECRET not in REDACTOR.text("\n".join(texts))


@pytest.mark.parametrize("text", LEFT)
def test_what_is_no_secret_or_is_hidden_already_stays(text):
    assert REDACTOR.text(text) == text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("https://me:pw@shop.test/a?token=abc&page=2", "https://[Filtered]@shop.test/a?token=[Filtered]&page=2"),
        ("host=db password=x dbname=y", "host=db password=[Filtered] dbname=y"),
        ('{"password": "x", "n": [1, 2]}', '{"password": "[Filtered]", "n": [1, 2]}'),
        ('{"cvv": 123, "n": 1}', '{"cvv": "[Filtered]", "n": 1}'),
        ('{"auth": {"a": [1]}, "n": 1}', '{"auth": "[Filtered]", "n": 1}'),
        ("f(password='x', y=1)", "f(password='[Filtered]', y=1)"),
        ("f(y=1, password=x)", "f(y=1, password=[Filtered])"),
        ("a (password=x).", "a (password=[Filtered])."),
        ("/r?next=https%3A%2F%2Fu%3Ap%40h%2F%3Fa%3D1&b=2", "/r?next=https%3A%2F%2F[Filtered]%40h%2F%3Fa%3D1&b=2"),
        ("Authorization: Bearer x\nHost: h", "Authorization: [Filtered]\nHost: h"),
        ("u:x@db.test:5432", "u:[Filtered]@db.test:5432"),
        (r"b'token=x\nother=1'", r"b'token=[Filtered]\nother=1'"),
        ("password: |\n  a\n  b\nother: 1", "password: |\n[Filtered]\nother: 1"),
        ("card 4111 1111 1111 1111 declined", "card [Filtered] declined"),
        ("token = get('TOKEN', 'x') or 'y' # z", "token = [Filtered] # z"),
        ("password：x。", "password:[Filtered]"),
        ("[('password', ['x']), ('a', ['b'])]", "[('password', '[Filtered]'), ('a', ['b'])]"),
        ("-Password x -Force", "-Password [Filtered] -Force"),
    ],
)  # fmt: skip
def test_what_stands_around_a_secret_stays(text, redacted):
    assert REDACTOR.text(text) == redacted


VALUES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=6, max_size=30)
SENSITIVE = st.sampled_from(
    ["password", "accessToken", "x-api-key", "user[secret]", "card.pin", "client_secret"]
)
JUNK = st.text(max_size=40).filter(lambda text: SECRET not in text)
NESTED = st.recursive(
    JUNK | st.none() | st.booleans() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(JUNK, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def with_a_secret(draw):
    """Data in which a secret stands under a sensitive key somewhere."""
    key = draw(SENSITIVE)
    data = draw(
        st.sampled_from(
            [{key: SECRET}, [key, SECRET], (key, f"{SECRET} x"), {key: [SECRET, 1]}, {key: {"a": SECRET}}]
        )
    )
    for _ in range(draw(st.integers(0, 4))):
        sibling = draw(NESTED)
        data = draw(st.sampled_from([{"data": data, "other": sibling}, [sibling, data, 1], {"x": [data]}]))
    return data


@given(with_a_secret())
def test_a_secret_is_found_in_data_and_in_every_text_that_data_is_written_as(data):
    assert SECRET not in repr(REDACTOR.data(data))
    assert SECRET not in REDACTOR.text(json.dumps(data))
    assert SECRET not in REDACTOR.text(json.dumps({"body": json.dumps(data)}))
    assert SECRET not in REDACTOR.text(json.dumps({"body": json.dumps({"body": json.dumps(data)})}))
    assert SECRET not in REDACTOR.text(repr(data))
    assert SECRET not in REDACTOR.text(f"request failed with {data!r} and more")


@given(st.lists(st.tuples(JUNK, JUNK), max_size=3), SENSITIVE, VALUES, st.integers(0, 3))
def test_a_secret_is_found_in_any_query_however_often_it_is_encoded(pairs, key, value, times):
    value = SECRET + value
    query = "&".join(f"{quote(name)}={quote(text)}" for name, text in [*pairs, (key, value), *pairs])
    url = f"https://shop.test/a?{query}"
    for _ in range(times):
        url = f"https://shop.test/r?to={quote(url, safe='')}"
    redacted = REDACTOR.text(url)
    for _ in range(times + 1):
        assert SECRET not in redacted
        redacted = unquote(redacted)


@given(st.text(max_size=200))
def test_any_text_is_redacted_the_same_twice(text):
    once = REDACTOR.text(text)
    assert REDACTOR.text(once) == once


@given(
    st.recursive(
        st.none() | st.text(max_size=30) | st.integers() | st.binary(max_size=30),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_data_is_redacted_and_keeps_its_structure(data):
    redacted = REDACTOR.data(data)
    assert type(redacted) is type(data) or redacted == "[Filtered]"
    assert REDACTOR.data(redacted) == redacted


def test_the_first_look_at_a_text_passes_over_no_sensitive_key():
    for key in (term.replace(" ", separator) for term in AT_THE_END for separator in ("", "_", "-")):
        assert any(core in key for core in CORES), key
        assert SECRET not in REDACTOR.text(f"a {key}={SECRET}")


HOSTILE = [
    "a", "a=", "token=", "token", "://a:b", "://", "@", "%25", "%", "a%3D", "'token','", "\"token\", '", "{token=[",
    "token: ", "--token ", "-", "eyJ", "eyJaaaaaaaaaaaa.", "-----BEGIN PRIVATE KEY-----", "4111 ", "4 1", "1", "\\",
    "\\'", "token=\\\\\\'", "<token>", "[token][", "password ", "name=token ", "name='token',value=", '"loc":["token",', "token\n", "a\n[,input_value=", "<token ", "<a b",
    "<![CDATA[", "<name>token</name>", "password='", "PASSWORD FOR ", "IDENTIFIED BY ", "INSERT INTO a (", "VALUES (", "INSERT a(token) VALUES (",
    "[parameters: (", "curl -u ", "curl ", "mysql -p", "'a:b@", "a:b@", "token: |\n", "token: |\n ", '="', 'token="""', "&quot;", "Content-A: b\n", "\n", 'name="token"\n\n', "x.y-z%", "token=bearer ",
    "Bearer ", "token=<", "'token': <", "'token': <<", "'token': A(", "('token', A('", "('token', <", "`token`=", "INSERT a(b,token) VALUES ('a' || ", "INSERT a(b,token) VALUES (f(", "'token': a<locals>.",
    '{"token":', '{"a":', "%2525252525", "AKIA", "sk_live_", "://u:p/", "token='", 'a["', "((((token=",
    ":x@", "//a:b@", "a:b@h/", "thin:a/", "'token' = ", "token LIKE '", "token IN ('a',", "token IN (((", "'x' = token ", "INSERT u (token) SELECT '", "$a$b",
    "Duplicate entry '", "&amp;quot;", "&#x61;", "%252525252541", "\\x61", "\\u{61}", "\\141", "a\x00", "a\\x00", "\x1b[", "\x1b]8;;", "a\x08", "eyJwYXNzd29yZCI6ICJh ",
    "7b22", "“token”: ", "token “", "token '", "<a name=token ", "<token><a>", "<b>token:</b>", "<td>token</td><a>", "ENV TOKEN ", "set -x ", "config ",
    "input_value={a...", "AUTH a", "$4\r\nAUTH\r\n$1\r\n", "token → ", "api+key=", "Authorization=a ", "BASIC A", "ApiKey a", "password" + 41 * " ",
    "token:\n- a\n", "password:\n  x\n", "{token}=", "\uff41", "\U0001d400", "--token\x00",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_crafted_text_takes_a_time_in_proportion_to_its_length(piece):
    """Four times the text takes about four times as long; what backtracks takes sixteen times, and what nests more."""

    def seconds(length):
        text = (piece * (length // len(piece) + 1))[:length]
        best = float("inf")
        for _ in range(2):
            begun = time.thread_time()
            Redactor(("*.pin",)).text(text)
            Redactor(("*.pin",)).source(text)
            best = min(best, time.thread_time() - begun)
        return best

    small, large = seconds(20_000), seconds(80_000)
    assert large < 4 * 2.5 * small + 0.02
    assert large < 1.0


def test_a_megabyte_of_nested_json_is_redacted_within_seconds():
    text = '{"a":' * 180_000 + '"x"' + "}" * 180_000
    begun = time.thread_time()
    assert REDACTOR.text(text) == text
    assert time.thread_time() - begun < 5


def test_what_is_nested_too_deeply_is_redacted_unseen():
    data = SECRET
    for _ in range(100):
        data = {"a": data}
    assert SECRET not in repr(REDACTOR.data(data))


@pytest.mark.parametrize("name", VALUE_NAMES)
def test_a_shape_is_redacted_if_it_is_chosen(name):
    examples = {"card": "4111111111111111", "iban": "GB82 WEST 1234 5698 7654 32", "email": "bob@shop.test"}
    example = examples.get(name)
    if example is None:
        return
    assert example not in Redactor(choices=RedactionChoices(values=(name,))).text(f"a {example} b")
    assert example in Redactor(choices=RedactionChoices(values=())).text(f"a {example} b")
    assert (example in Redactor().text(f"a {example} b")) == (name not in DEFAULT_VALUES)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_whatever_has_a_shape_is_redacted(shape):
    """Whatever its pattern matches, of any length: what is looked at first leaves nothing out."""

    @settings(max_examples=30)
    @given(st.from_regex(re.compile(shape.pattern, re.ASCII), fullmatch=True))
    def is_redacted(secret):
        text = f"a {secret} b"
        if (found := re.search(shape.pattern, text, re.ASCII)) is not None:
            assert found[0] not in Values(VALUE_NAMES)(text, lambda _: None)

    is_redacted()


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("https://me@h/a%20b", "https://[Filtered]@h/a%20b"),
        ("https://me:pw@h/100%25", "https://[Filtered]@h/100%25"),
        ("https://me%40x@h/%2F?x=1", "https://[Filtered]@h/%2F?x=1"),
        ("git+ssh://git@github.test/a%20b", "git+ssh://[Filtered]@github.test/a%20b"),
        ("https://me@h%3Ftoken%3Dabc", "https://[Filtered]@h%3Ftoken%3D[Filtered]"),
        ("/\udca5%3Ftoken%3Dabc", "/%ED%B2%A5%3Ftoken%3D[Filtered]"),
        ("https://h/x?u=https%3A%2F%2Fme%3Apw%40h%2Fx", "https://h/x?u=https%3A%2F%2F[Filtered]%40h%2Fx"),
    ],
)
def test_the_rest_of_a_url_stays_as_it_was_written(url, redacted):
    assert REDACTOR.text(url) == redacted
    assert REDACTOR.text(redacted) == redacted


def test_slotels_own_log_lines_pass_whole():
    page = Path(__file__).parents[3] / "docs" / "reference" / "log-lines.md"
    lines = re.findall(r"^\| \w+ \| `([^`]+)`", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(lines) >= 40
    assert {line: REDACTOR.text(line) for line in lines} == {line: line for line in lines}
