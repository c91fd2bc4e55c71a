# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a secret looks like, and what only looks like one."""

from __future__ import annotations

import json

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import redact
from hypothesis import given
from hypothesis import strategies as st

WORD = "Hush4You-9"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nHush4You-9AAAA\nBBBB\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("--password=x --user=y", "--password=******** --user=y"),
        ("--api-key x y", "--api-key ******** y"),
        ("set DB_PASSWORD='a b' next", "set DB_PASSWORD=******** next"),
        ('{"token": "abc", "n": 1}', '{"token": ********, "n": 1}'),
        ("Authorization: Bearer abc.def", "Authorization: ********"),
        ("postgresql://u:pw@h/d", "postgresql://u:********@h/d"),
        ("Environment=A=b\nkept", "Environment=********\nkept"),
    ],
)
def test_secrets_are_left_out(text: str, shown: str) -> None:
    assert redact.text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        f"GET /api HTTP/1.1 bearer {WORD}",
        f"password={WORD}",
        f'password="{WORD} {WORD}", x',
        f'"password": "a\\"b {WORD}"',
        f'{{\\"password\\": \\"a {WORD}\\"}}',
        f"PGPASSWORD={WORD} psql",
        f"DATABASE_URL=mssql+pymssql://reader:{WORD}@db.example.org:1433/x",
        f"dsn: host=db user=x password={WORD} dbname=y",
        f"Server=tcp:db,1433;User ID=x;Password={WORD};Encrypt=yes",
        f"Uid=x;Pwd={WORD};",
        f"https://user:{WORD}@example.org/",
        "https://" + "a1" * 12 + WORD.replace("-", "") + "@example.org/x.git",
        f"eyJhbGciOiJSUzI1NiJ9.eyJhIjoiaHVzaCJ9.{WORD}",
        f"token={WORD}&x=1",
        f"https://h/x?access_token={WORD}&y=1",
        f"authorization: bearer {WORD}",
        f"token: {WORD} is not known",
        f"Cookie: a=b; session={WORD}",
        f"X-Api-Key: {WORD}",
        f"ALTER USER x PASSWORD '{WORD}'",
        f"CREATE USER x IDENTIFIED BY '{WORD}'",
        f"<password>{WORD}</password>",
        f"<graphics type='vnc' passwd='{WORD}'/>",
        f"export GITHUB_TOKEN={WORD}",
        f"mongo --password {WORD} admin",
        f"SESAM_JWT => {WORD}",
        f"AccountKey={WORD}==;EndpointSuffix=x",
        KEY,
        KEY[:50],
        f"x = '{KEY}'",
        "ghp_" + WORD.replace("-", "") * 3,
    ],
)
def test_no_word_of_a_secret_is_left(text: str) -> None:
    shown = redact.text("before " + text)
    assert WORD not in shown
    assert WORD.replace("-", "") not in shown
    assert shown.startswith("before ")
    shown = redact.text("12:00 x\n" + text + "\nafter\n" if "BEGIN" not in text else text)
    assert WORD not in shown
    assert redact.text(shown) == shown


@pytest.mark.parametrize("text", [f"  secret_key: some {WORD}", f"- password: a, b; {WORD}", f"DB_PASSWORD=a {WORD}", f"export TOKEN=a,{WORD}"])
def test_at_the_beginning_of_a_line_a_value_goes_on_to_its_end(text: str) -> None:
    shown = redact.text("12:00 x\n" + text + "\nafter\n")
    assert WORD not in shown
    assert shown.endswith("\nafter\n")


@pytest.mark.parametrize(
    "text",
    [
        "passwords were checked",
        "token ring",
        "PWD=/srv/backend",
        "max_tokens=5",
        "password_file=/run/secrets/x",
        "token: none",
        "git@github.com:x/y",
        "ssh://git@example.org/x",
        "http://localhost:8000/log",
        "basic authentication is on",
        "authentication failed for user x",
        "key=value",
        "a:b@c",
        "jwt: the token has expired",
        "consul_token: which no token has",
        "pass another one as jwt: Missing 'Authorization' header",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact.text(text) == text


def test_command_lines_trees_and_environments() -> None:
    assert redact.words(["x", "--password", WORD, "--token=abc", "plain"]) == ["x", "--password", "********", "--token=********", "plain"]
    shown = redact.tree({"auth": [{"DB_PASSWORD": WORD, "user": "x"}], "secrets": [WORD, {"a": WORD}], "token": 5, "at": f"u://a:{WORD}@b"})
    assert WORD not in json.dumps(shown)
    assert (shown["auth"][0]["user"], shown["token"]) == ("x", 5)
    assert redact.environment([f"A={WORD}", "B"]) == ["A=********", "B=********"]
    assert redact.data(b"\xff password=" + WORD.encode() + b"\x00") == b"\xff password=********"
    assert redact.text(f"it is {WORD}!", [WORD]) == "it is ********!"


secrets = st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters="-_.!%+/="), min_size=8, max_size=30).filter(
    lambda each: not each.startswith(("-", "/")) and any(sign.isalpha() for sign in each)
)
shapes = st.sampled_from(
    [
        "password=%s",
        "DB_PASSWORD=%s",
        '"password": "%s"',
        "'client_secret': '%s'",
        "postgresql://u:%s@h/d",
        "--token %s",
        "api_key: %s",
        "Server=x;Password=%s;",
        "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----",
    ]
)


@given(secrets, shapes, st.text(max_size=20), st.text(max_size=20))
def test_whatever_stands_around_it(secret: str, shape: str, before: str, after: str) -> None:
    secret = secret.replace("/", "_") if "://" in shape else secret
    shown = redact.text(before + " " + shape % secret + "\n" + after)
    if redact.HIDDEN not in secret and secret not in before and secret not in after and secret not in shape:
        assert secret not in shown


@given(st.text())
def test_twice_is_once(text: str) -> None:
    assert redact.text(redact.text(text)) == redact.text(text)


@pytest.mark.parametrize(
    "text",
    [
        " " * 200000 + "password",
        "\n" * 200000 + "password",
        'password="' + '\\"' * 50000,
        "a_" * 100000 + "secret",
        "-" * 100000 + "token",
        "-----BEGIN PRIVATE KEY-----" * 5000,
        "QUJD" * 50000 + " token",
        "token: the x\n" * 10000,
        "<token " * 20000,
        "://" * 50000 + "secret",
        "secret." * 20000,
        "x-" * 100000 + "token",
        "password " * 20000,
        "password=" * 20000,
        "eyJ" * 50000,
        "://a:" * 30000,
    ],
)
def test_a_long_line_takes_no_long_time(text: str) -> None:
    """What is quadratic takes hours."""
    assert redact.text(text) is not None


def test_quotes_that_are_closed_on_no_line() -> None:
    assert redact.text(f'password="a {WORD}\nnext') == "password=********\nnext"
    assert redact.text(f"x password='a {WORD}") == "x password=********"
