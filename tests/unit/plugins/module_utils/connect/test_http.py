# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to real servers that answer well, badly, slowly, endlessly, or not at all."""

from __future__ import annotations

import os
import socket
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Mapping

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import dial
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.dial import Failure
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.http import Answer, ask, connects, stream

from .certificates import Authority, Pair, day
from .servers import Behaviour, answer, drip, serving, silence

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def moved(status: int, where: str) -> bytes:
    return b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, where.encode())


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(scope="module")
def localhost(authority: Authority) -> Pair:
    return authority.make("localhost", names=["DNS:localhost", "DNS:web.example.org", "IP:127.0.0.1"])


@pytest.mark.parametrize(
    ("sent", "status", "body", "ok"),
    [
        ([OK], 200, b"good", True),
        ([OK[:20], OK[20:45], OK[45:]], 200, b"good", True),
        ([b"HTTP/1.0 200 OK\r\n\r\nto the end"], 200, b"to the end", True),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], 204, b"", True),
        ([b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno"], 500, b"no", False),
        ([b"HTTP/1.1 503 Busy\r\n\r\n"], 503, b"", False),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", OK], 200, b"good", True),
        ([CHUNKED, b"3\r\nabc\r\n", b"2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\n"], 200, b"abcde", True),
        ([b"HTTP/1.1 304 Not Modified\r\n\r\n"], 304, b"", False),
    ],
)
def test_answers(sent: list[bytes], status: int, body: bytes, ok: bool) -> None:
    with serving(answer(*sent)) as server:
        found = ask(server.url())
    assert (found.status, found.body, found.ok, found.kind, found.error, found.truncated) == (status, body, ok, "", "", False)
    assert 0 < found.seconds < 10
    assert found.url == server.url()


def test_what_is_sent() -> None:
    with serving(answer(OK)) as server:
        ask(server.url(path="/a%20b/\u00fc?q=\u00e9&r=1#part"), headers={"X-Token": "t", "accept-encoding": "gzip"})
        ask(server.url(), "POST", b'{"message": "x"}')
        ask(server.url(), "POST")
        ask(server.url(), headers={"Host": "web.example.org"})
    get, post, empty, named = (request.decode("ascii") for request in server.requests)
    assert get.startswith("GET /a%%20b/%%C3%%BC?q=%%C3%%A9&r=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % server.port)
    assert "X-Token: t\r\n" in get
    assert "accept-encoding: gzip\r\n" in get
    assert "identity" not in get
    assert "Connection: close\r\n" in get
    assert post.startswith("POST / HTTP/1.1\r\n")
    assert post.endswith('Content-Length: 16\r\n\r\n{"message": "x"}')
    assert empty.endswith("Content-Length: 0\r\n\r\n")
    assert named.count("Host:") == 1


def test_head_has_no_body() -> None:
    with serving(answer(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")) as server:
        found = ask(server.url(), "HEAD")
    assert (found.ok, found.body, found.headers["content-length"]) == (True, b"", "4000")


def test_headers_have_lower_case_names_and_are_joined() -> None:
    with serving(answer(b"HTTP/1.1 200 OK\r\nX-One: a\r\nx-one: b\r\nContent-Length: 0\r\n\r\n")) as server:
        assert ask(server.url()).headers == {"x-one": "a, b", "content-length": "0"}


@pytest.mark.parametrize(("size", "truncated"), [(99, False), (100, False), (101, True), (70000, True)])
@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", ENDLESS])
def test_no_more_than_the_limit(head: bytes, size: int, truncated: bool) -> None:
    with serving(answer(head % size if b"%d" in head else head, b"x" * size)) as server:
        found = ask(server.url(), limit=100)
    assert (found.body, found.truncated, found.kind) == (b"x" * min(size, 100), truncated, "")


@pytest.mark.parametrize("head", [ENDLESS, CHUNKED])
def test_an_endless_body_ends_at_the_limit(head: bytes) -> None:
    with serving(drip(head, b"400\r\n" + b"x" * 1024 + b"\r\n", 0)) as server:
        found = ask(server.url(), limit=100000)
    assert (len(found.body), found.truncated, found.kind) == (100000, True, "")


@pytest.mark.parametrize(
    ("behaviour", "status", "words"),
    [
        (silence, None, "did not answer within 0.6 s"),
        (drip(b"", b"H", 0.05), None, "did not answer within 0.6 s"),
        (drip(b"HTTP/1.1 200 OK\r\nX: ", b"y", 0.05), None, "did not answer"),
        (drip(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05), None, "did not answer"),
        (drip(ENDLESS, b"z", 0.05), 200, "did not end its answer within 0.6 s"),
        (drip(CHUNKED, b"1\r\nz\r\n", 0.05), 200, "did not end its answer"),
    ],
)
def test_time_is_up_in_all(behaviour: Behaviour, status: int | None, words: str) -> None:
    with serving(behaviour) as server:
        started = time.monotonic()
        found = ask(server.url(), timeout=0.6)
        elapsed = time.monotonic() - started
    assert (found.kind, found.status, found.ok) == ("timeout", status, False)
    assert words in found.error
    assert elapsed < 3
    assert 0.6 <= found.seconds <= elapsed
    if status:
        assert set(found.body) == {ord("z")}


def test_time_is_up_while_the_request_is_sent() -> None:
    """The server reads nothing, and more is to be sent than the kernel takes."""
    with serving(lambda connection, _request: time.sleep(1.5), read=False) as server:
        found = ask(server.url(), "POST", b"x" * (64 << 20), timeout=0.5)
    assert found.kind == "timeout"
    assert found.seconds < 5


@pytest.mark.parametrize(
    ("behaviour", "kind", "words"),
    [
        (answer(), "closed", "closed the connection without an answer"),
        (answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!"), "closed", "in the middle of its answer"),
        (answer(CHUNKED, b"a\r\nfive!"), "closed", "in the middle of its answer"),
        (answer(b"SSH-2.0-OpenSSH_9.2\r\n"), "protocol", "bad status line SSH-2.0-OpenSSH_9.2"),
        (answer(b"HTTP/1.1 abc \x1b[2J\r\n\r\n"), "protocol", "bad status line HTTP/1.1 abc ?[2J"),
        (answer(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n"), "protocol", "got more than 100 headers"),
        (answer(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70000 + b"\r\n\r\n"), "protocol", "more than 65536 bytes"),
        (answer(CHUNKED, b"zz\r\n"), "closed", "in the middle of its answer"),
    ],
)
def test_servers_that_do_not_speak_http(behaviour: Behaviour, kind: str, words: str) -> None:
    with serving(behaviour) as server:
        found = ask(server.url())
    assert (found.kind, found.ok) == (kind, False)
    assert words in found.error
    assert "\x1b" not in found.error


def test_endless_headers_end() -> None:
    with serving(drip(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 1000, 0)) as server:
        assert ask(server.url()).kind == "protocol"


def test_reset() -> None:
    def reset(connection: socket.socket, _request: bytes) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with serving(reset) as server:
        found = ask(server.url())
    assert (found.kind, found.error) == ("closed", "127.0.0.1:%d broke off the connection" % server.port)


def test_nobody_listens() -> None:
    port = free_port()
    found = ask("http://127.0.0.1:%d/" % port)
    assert (found.kind, found.error, found.status) == ("refused", "127.0.0.1:%d refuses connections" % port, None)


def test_a_name_that_does_not_exist() -> None:
    found = ask("http://no-such-host.invalid/", timeout=30)
    assert found.kind == "dns"
    assert "no-such-host.invalid cannot be resolved" in found.error
    assert ask("http://%s.example.org/" % ("x" * 64)).kind == "dns"


def test_a_name_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver's own time limits are longer than ours."""
    look_up = socket.getaddrinfo

    def slow(*arguments: Any, **named: Any) -> Any:
        if not named.get("flags"):
            time.sleep(2)
        return look_up(*arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    found = ask("http://localhost/", timeout=0.3)
    assert (found.kind, found.error) == ("timeout", "the name localhost was not resolved within 0.3 s")
    assert found.seconds < 1.5


def test_the_second_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with an address where nobody listens, and one where somebody does."""
    with serving(answer(OK)) as server:
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, server.port)) for ip in ("127.0.0.2", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_named: addresses)
        assert ask(server.url("two.example.org")).ok


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://example.org/", "neither with http:// nor with https://"),
        ("example.org/", "neither with http:// nor with https://"),
        ("file:///etc/passwd", "neither"),
        ("", "neither"),
        ("http:///path", "names no host"),
        ("http://example.org:0/", "names no host"),
        ("http://example.org:99999/", "is no URL"),
        ("http://example.org:x/", "is no URL"),
        ("http://[::1/", "is no URL"),
        ("http://example.org/a b", "blanks or control characters"),
        ("http://example.org/a\r\nX: y", "blanks or control characters"),
        ("http://user:s3cret@example.org/", "http://********@example.org/ has credentials in it"),
        ("http://s3cret@example.org/", "has credentials"),
        ("gopher://user:s3cret@example.org/", "gopher://********@example.org/ begins"),
        ("http://user:s3cret@example.org:x/", "is no URL"),
        ("http://user:s3cret@example.org/a b", "blanks"),
    ],
)
def test_bad_urls(url: str, words: str) -> None:
    found = ask(url)
    assert found.kind == "bad_url"
    assert words in found.error
    assert "s3cret" not in found.error + found.url


@pytest.mark.parametrize(
    ("method", "headers"), [("GET", {"X-Token": "s3cret\r\nX: y"}), ("GET", {"X\n": "s3cret"}), ("GE T\r\n", {}), ("GET", {"X": "s3cret\u20ac"})]
)
def test_what_cannot_be_sent(method: str, headers: Mapping[str, str]) -> None:
    with serving(answer(OK)) as server:
        found = ask(server.url(), method, headers=headers)
    assert (found.kind, found.status) == ("bad_request", None)
    assert "s3cret" not in found.error


def test_no_proxy_is_ever_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        for spelling in (name, name.upper()):
            monkeypatch.setenv(spelling, "http://127.0.0.1:%d" % free_port())
    monkeypatch.setenv("no_proxy", "")
    with serving(answer(OK)) as server:
        assert ask(server.url()).ok


def test_ipv6() -> None:
    with serving(answer(OK), address="::1") as server:
        assert ask(server.url("[::1]")).ok
        assert server.requests[0].split(b"\r\n")[1] == b"Host: [::1]:%d" % server.port
        assert connects("::1", server.port)[0]
    assert ask(server.url("[::1]")).error == "[::1]:%d refuses connections" % server.port


def test_another_address_than_the_name_says() -> None:
    with serving(answer(OK)) as server:
        assert ask(server.url("web.example.org"), address="127.0.0.1").ok
    assert b"Host: web.example.org:%d" % server.port in server.requests[0]


def test_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with serving(answer(OK), unix_socket=path):
        assert ask("http://docker/version", unix_socket=path).ok
    assert ask("http://docker/version", unix_socket=path).kind == "refused"
    os.unlink(path)
    gone = ask("http://docker/version", unix_socket=path)
    assert (gone.kind, gone.error) == ("unreachable", "%s cannot be reached: No such file or directory" % path)
    assert ask("http://docker/", unix_socket="/" + "x" * 200).kind == "unreachable"


class TestRedirects:
    @staticmethod
    def by_path(answers: Mapping[str, bytes]) -> Behaviour:
        def behave(connection: socket.socket, request: bytes) -> None:
            connection.sendall(answers[request.split(b" ")[1].decode()])

        return behave

    def test_followed(self) -> None:
        answers = {"/": moved(302, "a"), "/a": moved(301, "/b\u00fc"), "/b%C3%BC": moved(307, "?c=1"), "/b%C3%BC?c=1": OK}
        with serving(self.by_path(answers)) as server:
            found = ask(server.url())
            assert (found.ok, found.url) == (True, server.url(path="/b%C3%BC?c=1"))
            assert found.body == b"good"
            tired = ask(server.url(), follow=2)
        assert (tired.kind, tired.error) == ("redirects", "%s redirects more often than 2 times" % server.url())

    def test_not_followed(self) -> None:
        with serving(answer(moved(302, "/elsewhere"))) as server:
            found = ask(server.url(), follow=0)
        assert (found.kind, found.status, found.headers["location"]) == ("", 302, "/elsewhere")

    def test_round_and_round(self) -> None:
        with serving(answer(moved(302, "/"))) as server:
            found = ask(server.url())
        assert found.kind == "redirects"
        assert len(server.requests) == 4

    def test_the_time_counts_for_all(self) -> None:
        def slow(connection: socket.socket, _request: bytes) -> None:
            time.sleep(0.3)
            connection.sendall(moved(302, "/"))

        with serving(slow) as server:
            found = ask(server.url(), timeout=0.5, follow=100)
        assert found.kind == "timeout"
        assert found.seconds < 2

    @pytest.mark.parametrize(
        ("status", "method", "then", "body"),
        [(302, "POST", "GET", b""), (303, "PUT", "GET", b""), (303, "HEAD", "HEAD", b""), (307, "POST", "POST", b"data"), (308, "PUT", "PUT", b"data")],
    )
    def test_method(self, status: int, method: str, then: str, body: bytes) -> None:
        with serving(self.by_path({"/": moved(status, "/next"), "/next": OK})) as server:
            assert ask(server.url(), method, b"data" if method != "HEAD" else None).ok
        assert server.requests[1].startswith(then.encode() + b" /next ")
        assert server.requests[1].partition(b"\r\n\r\n")[2] == body

    def test_secrets_stay_with_their_server(self) -> None:
        with serving(answer(OK)) as other, serving(self.by_path({"/": moved(302, "/same"), "/same": moved(302, other.url())})) as server:
            assert ask(server.url(), headers={"Authorization": "Bearer s3cret", "Cookie": "s3cret", "X-Kept": "yes"}).ok
        assert b"s3cret" in server.requests[1]
        assert b"s3cret" not in other.requests[0]
        assert b"X-Kept: yes" in other.requests[0]

    @pytest.mark.parametrize("where", ["ftp://example.org/", "http://user:s3cret@127.0.0.1/", "http://[", "http://:80/"])
    def test_to_what_cannot_be_asked(self, where: str) -> None:
        with serving(answer(moved(302, where))) as server:
            found = ask(server.url())
        assert found.kind == "redirects"
        assert "redirects to what cannot be asked" in found.error
        assert "s3cret" not in found.error

    def test_never_from_https_to_http(self, localhost: Pair, authority: Authority) -> None:
        with serving(answer(OK)) as plain, serving(answer(moved(302, plain.url())), localhost.server_context()) as server:
            found = ask(server.url("localhost"), ca_cert=str(authority.own.certificate))
        assert (found.kind, plain.requests) == ("redirects", [])
        assert "from https to http" in found.error

    def test_an_address_is_for_its_name_only(self) -> None:
        with serving(answer(moved(302, "http://other.invalid/"))) as server:
            assert ask(server.url("web.example.org"), address="127.0.0.1").kind == "dns"

    def test_not_away_from_a_socket(self, tmp_path: Path) -> None:
        path = str(tmp_path / "socket")
        with serving(answer(moved(302, "http://example.org/")), unix_socket=path):
            found = ask("http://docker/", unix_socket=path)
        assert (found.kind, "not behind %s" % path in found.error) == ("redirects", True)


class TestTls:
    @pytest.fixture
    def ca(self, authority: Authority) -> str:
        return str(authority.own.certificate)

    def test_trusted(self, localhost: Pair, ca: str) -> None:
        with serving(answer(OK), localhost.server_context()) as server:
            assert ask(server.url("localhost"), ca_cert=ca).ok
            assert ask(server.url("127.0.0.1"), ca_cert=ca).ok
            assert ask(server.url("web.example.org"), ca_cert=ca, address="127.0.0.1").ok

    def test_an_end_without_goodbye(self, localhost: Pair, ca: str) -> None:
        """As many servers end what has no length."""
        with serving(answer(b"HTTP/1.0 200 OK\r\n\r\nto the end"), localhost.server_context()) as server:
            found = ask(server.url("localhost"), ca_cert=ca)
        assert (found.body, found.kind) == (b"to the end", "")

    def test_much_over_tls(self, localhost: Pair, ca: str) -> None:
        with serving(drip(ENDLESS, b"x" * 50000, 0), localhost.server_context()) as server:
            found = ask(server.url("localhost"), ca_cert=ca, limit=300000)
        assert (found.body, found.truncated, found.kind) == (b"x" * 300000, True, "")

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda ca: ca.make("other", names=["DNS:other.example.org"]), "Hostname mismatch, certificate is not valid for 'localhost'"),
            (lambda ca: ca.make("expired", names=["DNS:localhost"], start=day(-9), end=day(-1)), "certificate has expired"),
            (lambda ca: ca.make("future", names=["DNS:localhost"], start=day(1)), "certificate is not yet valid"),
            (lambda ca: ca.make("own", names=["DNS:localhost"], selfsigned=True), "self-signed certificate"),
            (lambda ca: Authority(ca.work / "unknown", "Somebody").make("x", names=["DNS:localhost"]), "unable to get local issuer certificate"),
        ],
    )
    def test_not_trusted(self, authority: Authority, ca: str, make: Callable[[Authority], Pair], words: str) -> None:
        with serving(answer(OK), make(authority).server_context()) as server:
            found = ask(server.url("localhost"), ca_cert=ca)
            assert (found.kind, found.status) == ("tls", None)
            # OpenSSL 1.1 writes "self signed".
            assert words in found.error.replace("self signed", "self-signed")
            assert found.error.startswith("the certificate of localhost:%d is not trusted: " % server.port)
            assert ask(server.url("localhost"), verify=False).ok

    def test_unknown_to_this_node(self, localhost: Pair) -> None:
        with serving(answer(OK), localhost.server_context()) as server:
            assert ask(server.url("localhost")).kind == "tls"

    def test_authorities_that_cannot_be_read(self, localhost: Pair, tmp_path: Path) -> None:
        (tmp_path / "empty.pem").write_text("nothing\n", encoding="ascii")
        with serving(answer(OK), localhost.server_context()) as server:
            none = ask(server.url("localhost"), ca_cert=str(tmp_path / "none.pem"))
            empty = ask(server.url("localhost"), ca_cert=str(tmp_path / "empty.pem"))
        assert (none.kind, none.error) == ("tls", "the authorities in %s cannot be read: No such file or directory" % (tmp_path / "none.pem"))
        assert (empty.kind, empty.error) == ("tls", "the authorities in %s cannot be read: there is no certificate in it" % (tmp_path / "empty.pem"))

    def test_no_tls_there(self) -> None:
        with serving(answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"), read=False) as server:
            found = ask("https://127.0.0.1:%d/" % server.port)
        assert found.kind == "tls"
        assert found.error.startswith("no TLS with 127.0.0.1:%d: " % server.port)

    def test_tls_there(self, localhost: Pair) -> None:
        with serving(answer(OK), localhost.server_context()) as server:
            assert ask("http://127.0.0.1:%d/" % server.port).kind in ("closed", "protocol")

    def test_closed_while_tls_is_set_up(self) -> None:
        def hang_up(connection: socket.socket, _request: bytes) -> None:
            connection.recv(9999)

        with serving(hang_up, read=False) as server:
            found = ask("https://127.0.0.1:%d/" % server.port)
        assert (found.kind, "while TLS was set up" in found.error) == ("closed", True)

    def test_time_is_up_while_tls_is_set_up(self) -> None:
        """The second one begins a long TLS record, and never comes to its end."""
        for behaviour in (silence, drip(b"\x16\x03\x03\x3f\xff", b"\x02", 0.05)):
            with serving(behaviour, read=False) as server:
                found = ask("https://127.0.0.1:%d/" % server.port, timeout=0.5)
            assert (found.kind, found.error) == ("timeout", "127.0.0.1:%d did not answer within 0.5 s" % server.port)
            assert found.seconds < 3

    def test_time_is_up_after_tls_was_set_up(self, localhost: Pair) -> None:
        with serving(drip(ENDLESS, b"z", 0.05), localhost.server_context()) as server:
            found = ask(server.url("localhost"), verify=False, timeout=0.8)
        assert (found.kind, found.status, set(found.body)) == ("timeout", 200, {ord("z")})
        assert found.seconds < 3


def test_json() -> None:
    assert Answer("x", 200, '{"\u00fc": [1]}'.encode()).json() == {"\u00fc": [1]}
    for bad in (
        Answer("x", 200, b"{"),
        Answer("x", 200, b"\xff"),
        Answer("x", 200, b"[]", truncated=True),
        Answer("x", body=b"[]", kind="closed", error="gone"),
    ):
        with pytest.raises(ValueError):
            bad.json()


def test_connects() -> None:
    with serving(silence) as server:
        yes, kind, seconds = connects("127.0.0.1", server.port)
    assert (yes, kind) == (True, "")
    assert 0 < seconds < 5
    assert connects("127.0.0.1", server.port)[:2] == (False, "refused")
    assert connects("no-such-host.invalid", 80, 30)[:2] == (False, "dns")
    assert connects("127.0.0.1", 70000)[:2] == (False, "unreachable")


@pytest.mark.parametrize(
    ("said", "seconds", "kind"),
    [(b"SSH-2.0-OpenSSH\r\n", 5.0, ""), (b"220 mail\r\n", 5.0, "protocol"), (b"SS", 5.0, "closed"), (None, 0.3, "timeout")],
)
def test_greetings(said: Any, seconds: float, kind: str) -> None:
    """What stands before a server may accept a connection, and then hang up."""

    def behave(connection: socket.socket, _request: bytes) -> None:
        if said is None:
            time.sleep(1)
        else:
            connection.sendall(said)

    with serving(behave, read=False) as server:
        assert connects("127.0.0.1", server.port, seconds, b"SSH-")[1] == kind


def test_the_address_that_answers_tells_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host may have addresses to which there is no way from here, as ::1 where the kernel has no IPv6."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        no_way = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("255.255.255.255", port))  # ENETUNREACH
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)), no_way]
        for order in (addresses, addresses[::-1]):
            monkeypatch.setattr(dial, "_resolve", lambda *_all, order=order: order)
            assert connects("localhost", port, 5.0)[1] == "refused"


def test_connections_that_are_not_accepted_time_out() -> None:
    """A full backlog: the kernel drops what comes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        held = [socket.socket() for _number in range(4)]
        for sock in held:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        time.sleep(0.1)
        yes, kind, seconds = connects("127.0.0.1", port, 0.5)
        for sock in held:
            sock.close()
    assert (yes, kind) == (False, "timeout")
    assert seconds < 3


# -- streams ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 65536])
@pytest.mark.parametrize("sent", [[OK], [CHUNKED, b"2\r\ngo\r\n2\r\nod\r\n0\r\n\r\n"], [ENDLESS, b"good"]])
def test_a_stream_is_read_piece_by_piece(sent: list[bytes], size: int) -> None:
    with serving(answer(*sent)) as server, closing(stream(server.url(path="/a"), {"X-Token": "t"})) as found:
        pieces = list(found.pieces(size=size))
        assert (found.answer.status, found.answer.kind, found.answer.connected) == (200, "", True)
    assert b"".join(pieces) == b"good"
    assert max(map(len, pieces)) <= size
    assert b"X-Token: t" in server.requests[0]


def test_no_more_of_a_stream_than_is_wanted() -> None:
    with serving(drip(ENDLESS, b"x" * 1000, 0)) as server, closing(stream(server.url())) as found:
        assert sum(map(len, found.pieces(wanted=2500))) == 2500


@pytest.mark.parametrize(
    ("behaviour", "kind", "words"),
    [
        (answer(OK[:-1]), "closed", "in the middle of its answer"),
        (answer(CHUNKED, b"5\r\nab"), "closed", "in the middle of its answer"),
        (drip(ENDLESS, b"z", 0.05), "timeout", "did not end its answer within 0.6 s"),
    ],
)
def test_a_stream_that_breaks_off(behaviour: Behaviour, kind: str, words: str) -> None:
    with serving(behaviour) as server, closing(stream(server.url(), timeout=0.6)) as found:
        assert (found.answer.status, found.answer.kind) == (200, "")
        with pytest.raises(Failure, match=words) as failure:
            list(found.pieces())
    assert failure.value.kind == kind


def test_a_stream_that_does_not_begin() -> None:
    with closing(stream(f"http://127.0.0.1:{free_port()}/")) as found:
        assert (found.answer.kind, found.answer.connected) == ("refused", False)
        with pytest.raises(Failure):
            list(found.pieces())
    assert stream("nonsense").answer.kind == "bad_url"


def test_a_stream_follows_no_redirect() -> None:
    with serving(answer(OK)) as other, serving(answer(moved(302, other.url()))) as server, closing(stream(server.url(), {"Authorization": "t"})) as found:
        assert found.answer.status == 302
    assert not other.requests


def test_whether_something_took_the_connection() -> None:
    """What takes it and does not answer is another fault than what is not there."""
    with serving(silence) as server:
        found = ask(server.url(), timeout=0.4)
    assert (found.kind, found.connected) == ("timeout", True)
    found = ask(f"http://127.0.0.1:{free_port()}/")
    assert (found.kind, found.connected) == ("refused", False)
