# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API of a node: what is sent, what an answer means, and that the token is nowhere else. Real servers, however wrong they answer."""

from __future__ import annotations

import html
import json
from typing import Any
from urllib.parse import quote as percent

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.api import Node, base_url, quote, token_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.errors import KINDS, SesamError
from unit.plugins.module_utils.connect.servers import Behaviour, Server, answer, drip, serving, silence

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJwcmluY2lwYWxzIjp7ImEiOlsiZ3JvdXA6QWRtaW4iXX19.c2lnbmF0dXJlLW9mLWEtdG9rZW4tdGhhdC1pcy1zZWNyZXQ"


def node(server: Server, **options: Any) -> Node:
    return Node({"api_url": server.url(), "jwt": TOKEN, "ca_cert": None, "validate_certs": True, "request_timeout": 10.0, **options})


def told(status: int, body: bytes, kind: str = "application/json", more: bytes = b"") -> Behaviour:
    return answer(b"HTTP/1.1 %d Told\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status, kind.encode(), len(body), more, body))


def failed(behaviour: Behaviour, path: str = "status", **options: Any) -> SesamError:
    """The error of a question, which has no part of the token in it."""
    with serving(behaviour) as server, pytest.raises(SesamError) as failure:
        node(server, **options).get(path)
    error = failure.value
    assert error.kind in KINDS
    for part in TOKEN.split("."):
        assert part not in str(error)
    assert "\n" not in str(error)
    return error


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://localhost:9042/api", "http://localhost:9042/api"),
        ("http://localhost:9042", "http://localhost:9042/api"),
        (" http://localhost:9042/api/ ", "http://localhost:9042/api"),
        ("https://hub.example.org/node/", "https://hub.example.org/node/api"),
        ("http://[::1]:9042", "http://[::1]:9042/api"),
    ],
)
def test_urls(given: str, url: str) -> None:
    assert base_url(given) == url


@pytest.mark.parametrize(
    "given",
    [
        "",
        "localhost",
        "ftp://localhost/api",
        "http:///api",
        "http://u:p@localhost",
        "http://h:0",
        "http://h:x",
        "http://h/api?a",
        "http://h/api#a",
        "http://h/a b",
    ],
)
def test_what_is_no_url(given: str) -> None:
    with pytest.raises(SesamError, match="api_url") as failure:
        base_url(given)
    assert "u:p" not in str(failure.value)


@pytest.mark.parametrize("given", [TOKEN, f"bearer {TOKEN}", f'"{TOKEN}"', f"'Bearer {TOKEN}'", f'Bearer "{TOKEN}"', f"  BEARER\t{TOKEN}\n"])
def test_tokens_as_they_are_kept(given: str) -> None:
    assert token_of(given) == TOKEN


@pytest.mark.parametrize("given", [None, "", "  ", '""', "bearer", "bearer "])
def test_no_token(given: str | None) -> None:
    assert token_of(given) == ""
    with serving(told(200, b"[]")) as server:
        assert node(server, jwt=given).get("pipes") == []
    assert b"authorization" not in server.requests[0].lower()


@pytest.mark.parametrize("given", ["a b", "a\nb", "tök"])
def test_what_no_token_has(given: str) -> None:
    with pytest.raises(SesamError, match="which no token has") as failure:
        token_of(given)
    assert given not in str(failure.value)


@pytest.mark.parametrize(("name", "quoted"), [("a:b/c", "a%3Ab%2Fc"), ("å æ", "%C3%A5%20%C3%A6"), ("a?b#c&d", "a%3Fb%23c%26d"), ("a.b-c_d~e", "a.b-c_d~e")])
def test_ids_are_quoted(name: str, quoted: str) -> None:
    assert quote(name) == quoted


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_ids_that_would_lead_elsewhere(name: str) -> None:
    with pytest.raises(SesamError, match="no id"):
        quote(name)


@pytest.mark.parametrize("timeout", [0, -1, 3601, float("nan"), float("inf")])
def test_times_that_are_none(timeout: float) -> None:
    with pytest.raises(SesamError, match="request_timeout must be"):
        Node({"api_url": "http://h", "jwt": None, "ca_cert": None, "validate_certs": True, "request_timeout": timeout})


def test_what_is_sent() -> None:
    with serving(told(200, b'{"a": 1}')) as server:
        asking = node(server)
        assert asking.get("pipes", {"fields": "config,runtime", "verbose": True, "since": None}) == {"a": 1}
        assert asking.put("metadata", {"ü": True}, {"force": False}).json() == {"a": 1}
        assert asking.post_form("pipes/%s/pump" % quote("a/b"), {"operation": "start", "profiler": True}).status == 200
        asking.delete("pipes/x")
        asking.text("status/stacktrace", headers={"SESAM-API-PROFILER": "pstats"})
    get, put, post, delete, text = (request.decode("ascii") for request in server.requests)
    assert get.startswith("GET /api/pipes?fields=config%2Cruntime&verbose=true HTTP/1.1\r\n")
    assert f"Authorization: Bearer {TOKEN}\r\n" in get
    assert "Accept: application/json\r\n" in get
    assert put.startswith("PUT /api/metadata?force=false HTTP/1.1\r\n")
    assert "Content-Type: application/json\r\n" in put
    assert put.endswith('{"\\u00fc": true}')
    assert post.startswith("POST /api/pipes/a%2Fb/pump HTTP/1.1\r\n")
    assert "Content-Type: application/x-www-form-urlencoded\r\n" in post
    assert post.endswith("operation=start&profiler=true")
    assert delete.startswith("DELETE /api/pipes/x ")
    assert "Accept: */*\r\n" in text
    assert "SESAM-API-PROFILER: pstats\r\n" in text


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, "bad_request", "answers status with status 400: no such thing"),
        (401, "auth", "does not accept who asks (401)"),
        (403, "auth", "group:Admin"),
        (404, "not_found", "status 404: no such thing"),
        (409, "conflict", "status 409"),
        (500, "server_error", "status 500"),
        (502, "unavailable", "status 502"),
        (503, "unavailable", "status 503"),
    ],
)
@pytest.mark.parametrize("as_html", [False, True])
def test_errors(status: int, kind: str, words: str, as_html: bool) -> None:
    """JSON or HTML: the same sentence."""
    body = json.dumps({"status": status, "message": "no such thing"}).encode()
    if as_html:
        body = b"<html><head><title>Oh</title><style>p {}</style></head><body>\n<p>no such&nbsp;thing</p></body></html>"
    error = failed(told(status, body, "text/html" if as_html else "application/json"))
    assert (error.kind, error.status, error.connected) == (kind, status, True)
    assert words in str(error)
    assert "<" not in str(error)


def test_an_escaped_error_is_readable() -> None:
    error = failed(told(400, b"<p>The pipe &#x27;a&amp;b&#x27; doesn&#39;t exist</p>", "text/html"))
    assert str(error).endswith("The pipe 'a&b' doesn't exist")


def test_a_long_error_is_cut() -> None:
    assert len(str(failed(told(500, b"<b>" + b"word " * 20000, "text/html")))) < 450


@pytest.mark.parametrize("echo", [TOKEN, f"Bearer {TOKEN}", percent(TOKEN), TOKEN.split(".")[1], TOKEN.rpartition(".")[0], "x" * 10 + TOKEN, TOKEN + "AAAA"])
@pytest.mark.parametrize("status", [400, 401, 503])
@pytest.mark.parametrize("as_html", [False, True])
def test_an_echo_of_the_token(echo: str, status: int, as_html: bool) -> None:
    body = f"<html><pre>{html.escape(echo)}</pre></html>" if as_html else json.dumps({"message": f"{echo} is no good"})
    assert "****" in str(failed(told(status, body.encode())))


@pytest.mark.parametrize("where", ["https://elsewhere.example.org/login?back=x", "/api/pipes", "//other/x", "http://user:word@h/"])
def test_redirects_are_not_followed(where: str) -> None:
    """The token would have gone along."""
    error = failed(told(302, b"", more=b"Location: %s\r\n" % where.encode()))
    assert (error.kind, error.status) == ("redirect", 302)
    assert "api_url" in str(error)
    assert "word" not in str(error)


def test_a_redirect_to_another_server_that_would_take_it() -> None:
    with serving(told(200, b"{}")) as other:
        assert failed(told(307, b"", more=b"Location: %s\r\n" % other.url().encode())).kind == "redirect"
    assert not other.requests


@pytest.mark.parametrize(
    ("behaviour", "kind", "cause"),
    [
        (silence, "timeout", "timeout"),
        (drip(b"HTTP/1.1 200 OK\r\n\r\n", b"z", 0.05), "timeout", "timeout"),
        (answer(), "unreachable", "closed"),
        (answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), "unreachable", "closed"),
        (answer(b"220 mail.example.org ESMTP\r\n"), "unreachable", "protocol"),
        (told(200, b"<html></html>", "text/html"), "not_json", "not_json"),
        (told(200, b""), "not_json", "not_json"),
        (told(200, b"[" * 100000), "not_json", "not_json"),
    ],
)
def test_no_answer(behaviour: Behaviour, kind: str, cause: str) -> None:
    error = failed(behaviour, request_timeout=0.6)
    assert (error.kind, error.cause) == (kind, cause)


def test_down_is_not_frozen() -> None:
    with serving(silence) as server:
        port = server.port
    with pytest.raises(SesamError) as failure:
        Node({"api_url": f"http://127.0.0.1:{port}", "jwt": TOKEN, "ca_cert": None, "validate_certs": True, "request_timeout": 5}).get("status")
    assert (failure.value.kind, failure.value.cause, failure.value.connected) == ("unreachable", "refused", False)
    hanging = failed(silence, request_timeout=0.4)
    assert (hanging.kind, hanging.connected) == ("timeout", True)


def test_accepted_statuses_are_answers() -> None:
    with serving(told(503, b'{"status": "unwell"}')) as server:
        reply = node(server).ask("GET", "health", accept=(503,))
        assert (reply.status, reply.json()) == (503, {"status": "unwell"})
        assert node(server).get("health", accept=(503,)) == {"status": "unwell"}


def test_no_more_than_the_limit() -> None:
    with serving(told(200, b'["%s"]' % (b"x" * 1000))) as server:
        with pytest.raises(SesamError, match="longer than the 100 bytes") as failure:
            node(server).get("pipes", limit=100)
        reply = node(server).text("pipes", limit=100)
    assert failure.value.kind == "too_long"
    assert (len(reply.body), reply.truncated) == (100, True)


def test_a_time_of_its_own_is_never_longer() -> None:
    with serving(silence) as server, pytest.raises(SesamError, match=r"within 0\.3 s"):
        node(server, request_timeout=0.3).get("status", timeout=100)


# -- streams ------------------------------------------------------------------------------------------------------------------


def test_items_one_by_one() -> None:
    rows = [{"_id": str(number), "x": "y" * 1000} for number in range(300)]
    with serving(told(200, json.dumps(rows).encode())) as server:
        assert list(node(server).stream("pipes", {"fields": "runtime"})) == rows
    assert server.requests[0].startswith(b"GET /api/pipes?fields=runtime HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("behaviour", "kind", "count"),
    [
        (told(401, b"<p>no</p>", "text/html"), "auth", 0),
        (told(200, b"<html>"), "not_json", 0),
        (told(200, b'{"_id": 1}'), "not_json", 0),
        (told(200, b'[{"_id": 1}, {"_id"'), "not_json", 1),
        (answer(b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n[{"_id": 1}, {"_id"'), "unreachable", 1),
        (drip(b'HTTP/1.1 200 OK\r\n\r\n[{"_id": 1}', b" ", 0.05), "timeout", 1),
        (told(302, b"", more=b"Location: http://other/\r\n"), "redirect", 0),
        (told(503, json.dumps({"message": TOKEN}).encode()), "unavailable", 0),
    ],
)
def test_what_came_before_the_end(behaviour: Behaviour, kind: str, count: int) -> None:
    found: list[Any] = []
    with serving(behaviour) as server, pytest.raises(SesamError) as failure:
        found.extend(node(server, request_timeout=0.6).stream("pipes"))
    assert (failure.value.kind, len(found)) == (kind, count)
    assert TOKEN not in str(failure.value)
