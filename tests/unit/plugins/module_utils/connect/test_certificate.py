# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What we read in a certificate, against what the openssl program and Python's ssl read in it; and what is no certificate."""

from __future__ import annotations

import base64
import calendar
import os
import socket
import ssl
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.certificate import (
    Certificate,
    CertificateError,
    of_file,
    of_server,
    parse,
    trusted,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from .certificates import KEYS, Authority, Pair, day, field, openssl
from .servers import answer, serving, silence

AS_WE_WRITE = ("-nameopt", "utf8,esc_2253,esc_ctrl,sname,sep_comma_plus_space")
NAMES = ("DNS:example.org", "DNS:*.example.org", "IP:192.0.2.7", "IP:2001:db8::7", "email:a@example.org", "URI:https://example.org/")

CERTIFICATES: list[tuple[str, dict[str, Any]]] = [
    ("plain", {"subject": "/CN=example.org"}),
    ("names", {"subject": "/C=US/ST=Hawaii/O=Example/OU=Data/CN=example.org", "names": NAMES}),
    ("rsa", {"key": "rsa", "names": ["DNS:a.example.org"]}),
    ("ed25519", {"key": "ed25519", "names": ["DNS:b.example.org"]}),
    ("utf8", {"subject": "/C=CL/O=Observatorio \u00c9l\u00e9ctrico/CN=\u6771\u4eac"}),
    ("odd", {"subject": '/O=a, "b" \\+ <c>; \\\\d=e/OU=#1/OU= x /CN=tab\there'}),
    ("two-in-one", {"subject": "/O=Example/OU=one+CN=two"}),
    ("printable", {"subject": "/O=Example/CN=plain", "mask": "pkix"}),
    ("latin", {"subject": "/O=Observatorio \u00e9/CN=x", "mask": "nombstr"}),
    ("bmp", {"subject": "/O=\u6771\u4eac/CN=x", "mask": "MASK:0x800"}),
    ("universal", {"subject": "/O=\u6771\u4eac/CN=x", "mask": "MASK:0x100"}),
    ("many", {"subject": "/DC=org/DC=example/UID=u1/serialNumber=7/title=T/GN=G/SN=S/L=Hilo/street=1 Road/postalCode=96720/CN=x/emailAddress=a@example.org"}),
    ("unknown", {"subject": "/1.3.6.1.4.1.99999.1=secret/CN=x"}),
    ("long", {"start": "20491231235959Z", "end": "20500101000000Z"}),
    ("forever", {"end": "99991231235959Z"}),
    ("old", {"start": "19500101000000Z", "end": "19700101000000Z"}),
    ("leap", {"start": "20240229120000Z", "end": "20280229120000Z"}),
    ("self", {"selfsigned": True}),
    ("critical", {"extensions": ["basicConstraints=CA:FALSE", "subjectAltName=critical,DNS:c.example.org", "extendedKeyUsage=serverAuth"]}),
]


@pytest.fixture(scope="module")
def made(authority: Authority) -> dict[str, Path]:
    return {name: authority.make("read-" + name, **options).certificate for name, options in CERTIFICATES}


def epoch(text: str | None) -> float:
    """A time as the program and Python print it."""
    assert text is not None
    return float(calendar.timegm(time.strptime(text, "%b %d %H:%M:%S %Y GMT")))


def compare(path: Path) -> Certificate:
    """Read a certificate in three ways; all must see the same."""
    ours = of_file(str(path))
    assert ours.subject == str(field(path, "subject", *AS_WE_WRITE)).replace(" + ", "+")
    assert ours.issuer == field(path, "issuer", *AS_WE_WRITE)
    assert ours.not_before == epoch(field(path, "startdate"))
    assert ours.not_after == epoch(field(path, "enddate"))
    assert ours.serial == field(path, "serial")
    assert ours.sha256 == str(field(path, "fingerprint", "-sha256")).replace(":", "").lower()
    pythons: dict[str, Any] = ssl._ssl._test_decode_cert(str(path))  # type: ignore[attr-defined]
    assert ours.not_after == epoch(pythons["notAfter"])
    assert ours.serial == pythons["serialNumber"]
    assert ours.self_signed == (pythons["subject"] == pythons["issuer"])
    names = [(kind, name.strip()) for kind, name in pythons.get("subjectAltName", ())]
    assert list(ours.names) == [str(ip_address(name)) if kind == "IP Address" else name for kind, name in names if kind in ("DNS", "IP Address")]
    return ours


@pytest.mark.parametrize("name", [name for name, _options in CERTIFICATES])
def test_like_openssl(made: dict[str, Path], name: str) -> None:
    ours = compare(made[name])
    assert ours.self_signed == (name == "self")
    der = ssl.PEM_cert_to_DER_cert(made[name].read_text(encoding="ascii"))
    assert parse(der) == ours


def test_what_a_person_reads(made: dict[str, Path]) -> None:
    found = of_file(str(made["names"]))
    assert found.subject == "C=US, ST=Hawaii, O=Example, OU=Data, CN=example.org"
    assert found.issuer == "CN=Authority of the tests"
    assert found.names == ("example.org", "*.example.org", "192.0.2.7", "2001:db8::7")
    assert of_file(str(made["plain"])).names == ()
    assert of_file(str(made["odd"])).subject == r"O=a\, \"b\" \+ \<c\>\; \\d=e, OU=\#1, OU=\ x\ , CN=tab\09here"
    assert of_file(str(made["forever"])).not_after == 253402300799.0


def test_version_1(tmp_path: Path, authority: Authority) -> None:
    """Without extensions, as authorities in small networks still make them."""
    request = openssl("req", "-new", "-nodes", "-newkey", *KEYS["ec"], "-keyout", str(tmp_path / "key"), "-subj", "/CN=old.example.org")
    more = ("-CA", str(authority.own.certificate), "-CAkey", str(authority.own.key), "-set_serial", "-129", "-days", "3")
    (tmp_path / "pem").write_text(openssl("x509", "-req", *more, text=request), encoding="ascii")
    assert "Version: 1 (0x0)" in openssl("x509", "-in", str(tmp_path / "pem"), "-noout", "-text")
    assert compare(tmp_path / "pem").serial == "-81"


def test_the_authorities_of_this_node() -> None:
    bundle = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    if not os.path.exists(bundle):
        pytest.skip("this node has no list of authorities")
    context = ssl.create_default_context(cafile=bundle)
    for der, pythons in zip(context.get_ca_certs(binary_form=True), context.get_ca_certs()):
        ours = parse(der)
        assert (ours.serial, ours.self_signed) == (pythons["serialNumber"], pythons["subject"] == pythons["issuer"])
        assert (ours.not_before, ours.not_after) == (epoch(pythons["notBefore"]), epoch(pythons["notAfter"]))


class TestFiles:
    def test_the_first_of_a_chain_counts(self, authority: Authority, made: dict[str, Path], tmp_path: Path) -> None:
        pair = authority.make("first", "/CN=first")
        chain = "Some words.\r\n" + pair.key.read_text() + pair.certificate.read_text().replace("\n", "\r\n") + authority.own.certificate.read_text()
        (tmp_path / "chain.pem").write_bytes(chain.encode("ascii"))
        assert of_file(str(tmp_path / "chain.pem")) == of_file(str(pair.certificate))

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "cut off, or not one"),
            (b"0", "cut off, or not one"),
            (b"Hello, this is no certificate", "not one"),
            (b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", "no whole certificate"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n", "no whole certificate"),
            (b"-----BEGIN CERTIFICATE-----\nAAAAA\n-----END CERTIFICATE-----\n", "not base64"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate"),
            (b"-----BEGIN CERTIFICATE-----" + b"\n" * 1000000, "no whole certificate"),
            (b"-----BEGIN CERTIFICATE-----" * 30000, "no whole certificate"),
            (b"x" * (1 << 20) + b"x", "longer than 1048576 bytes"),
        ],
    )
    def test_no_certificates(self, tmp_path: Path, data: bytes, words: str) -> None:
        (tmp_path / "file").write_bytes(data)
        started = time.monotonic()
        with pytest.raises(CertificateError, match=words) as caught:
            of_file(str(tmp_path / "file"))
        assert str(tmp_path / "file") in str(caught.value)
        assert time.monotonic() - started < 5

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        for name, words in (("none", "No such file"), ("", "Is a directory"), ("pipe", "not a regular file"), ("a\0b", "null")):
            with pytest.raises(CertificateError, match=words):
                of_file("%s/%s" % (tmp_path, name))


def element(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    length = bytes([size]) if size < 128 else b"\x83" + size.to_bytes(3, "big")
    return bytes([tag]) + length + content


def certificate(serial: bytes = b"\1", subject: bytes = b"", start: bytes = b"\x17\x0d260101000000Z", more: bytes = b"") -> bytes:
    """A hand-made one, which only the reader of this project takes for signed."""
    validity = element(0x30, start, b"\x17\x0d270101000000Z")
    fields = [element(0x02, serial), element(0x30), element(0x30), validity, element(0x30, subject), element(0x30), more]
    return element(0x30, element(0x30, *fields), element(0x30), element(0x03))


def attribute(oid: bytes, value: bytes) -> bytes:
    return element(0x31, element(0x30, element(0x06, oid), value))


CN = b"\x55\x04\x03"
SAN = b"\x06\x03\x55\x1d\x11"


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        (b"", ""),
        (attribute(CN, element(0x0C, b"\xff")), "CN=\ufffd"),
        (attribute(CN, element(0x0C, b"a\x00b\x1b[2J\xc2\x9b")), "CN=a\\00b\\1B[2J\\9B"),
        (attribute(CN, element(0x1E, b"\x00a\x00")), "CN=a\ufffd"),
        (attribute(CN, element(0x0C, b" ")), "CN=\\ "),
        (attribute(CN, element(0x0C, b"")), "CN="),
        (attribute(CN, element(0x03, b"\x00\xaf")), "CN=#00AF"),
        (attribute(b"\x88\x37\x81\x00", element(0x0C, b"x")), "2.999.128=x"),
        (attribute(b"\x27", element(0x0C, b"x")), "0.39=x"),
    ],
)
def test_names_that_openssl_does_not_make(subject: bytes, shown: str) -> None:
    assert parse(certificate(subject=subject)).subject == shown


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (certificate() + b"\0", "1 bytes follow"),
        (certificate()[:-1], "cut off"),
        (certificate(start=b"\x17\x0d261301000000Z"), "invalid time.*20261301000000Z"),
        (certificate(start=b"\x17\x0d260230000000Z"), "invalid time"),
        (certificate(start=b"\x17\x0b2601010000Z"), "invalid time"),
        (certificate(start=b"\x17\x112601010000+0100"), "invalid time"),
        (certificate(start=b"\x18\x0f00000101000000Z"), "invalid time"),
        (certificate(start=b"\x18\x0d260101000000Z"), "invalid time"),
        (certificate(start=b"\x04\x0d260101000000Z"), "0x04 where a time belongs"),
        (certificate(subject=element(0x30)), "0x30 in a name"),
        (certificate(subject=attribute(b"", element(0x0C, b"x"))), "object identifier"),
        (certificate(subject=attribute(b"\x88", element(0x0C, b"x"))), "object identifier"),
        (certificate(subject=attribute(b"\x88" * 100000 + b"\1", element(0x0C, b"x"))), "object identifier"),
        (certificate(subject=element(0x31, element(0x30))), "cut off"),
        (certificate(more=b"\x1f\x81\x00"), "tag 0x1f"),
        (certificate(more=b"\xa3\x80\0\0"), "length that DER does not allow"),
        (certificate(more=b"\xa3\x85\0\0\0\0\1\0"), "length that DER does not allow"),
        (certificate(more=b"\xa3\x84\xff\xff\xff\xff"), "cut off"),
        (
            certificate(more=element(0xA3, element(0x30, element(0x30, element(0x06, b"\x55\x1d\x11"), element(0x04, element(0x30, b"\x87\x03abc")))))),
            "3 bytes",
        ),
    ],
)
def test_broken_ones(broken: bytes, words: str) -> None:
    with pytest.raises(CertificateError, match=words):
        parse(broken)


@pytest.fixture(scope="module")
def real(made: dict[str, Path]) -> list[bytes]:
    return [ssl.PEM_cert_to_DER_cert(made[name].read_text(encoding="ascii")) for name in ("names", "utf8", "many", "critical")]


@settings(deadline=None, max_examples=1500)
@given(st.data())
def test_whatever_is_changed_gives_a_certificate_or_an_error(real: list[bytes], data: st.DataObject) -> None:
    changed = bytearray(data.draw(st.sampled_from(real)))
    for _number in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        kind = data.draw(st.sampled_from(["set", "cut", "put", "swap"]))
        if kind == "set":
            changed[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del changed[at : at + data.draw(st.integers(1, 20))]
        elif kind == "put":
            changed[at:at] = data.draw(st.binary(max_size=20))
        else:
            changed[at:] = changed[at:][::-1]
        if not changed:
            break
    readable(bytes(changed))


@settings(deadline=None, max_examples=500)
@given(st.binary(max_size=200))
@example(b"0\x80" * 50)
@example(b"0\x84\x7f\xff\xff\xff")
def test_anything_gives_a_certificate_or_an_error(data: bytes) -> None:
    readable(data)
    readable(b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(data) + b"\n-----END CERTIFICATE-----")


def readable(data: bytes) -> None:
    try:
        found = parse(data)
    except CertificateError as exc:
        assert str(exc)
    else:
        assert all(char >= " " for char in found.subject + found.issuer + "".join(found.names))
        assert isinstance(found.not_after, float)


class TestServers:
    @pytest.mark.parametrize(
        "make",
        [
            lambda ca: ca.make("s-good", names=["DNS:localhost"]),
            lambda ca: ca.make("s-expired", "/CN=late", names=["DNS:other"], start=day(-9), end=day(-1)),
            lambda ca: ca.make("s-own", selfsigned=True, end=day(4000)),
            lambda ca: ca.make("s-rsa", key="rsa"),
        ],
    )
    def test_whatever_it_is_worth(self, authority: Authority, make: Callable[[Authority], Pair]) -> None:
        pair = make(authority)
        with serving(silence, pair.server_context(), read=False) as server:
            assert of_server("127.0.0.1", server.port) == of_file(str(pair.certificate))
            assert of_server("localhost", server.port, server_name="web.example.org") == of_file(str(pair.certificate))

    def test_the_name_that_is_asked_for(self, authority: Authority) -> None:
        """One address, two certificates."""
        first, second = authority.make("sni-1", "/CN=one"), authority.make("sni-2", "/CN=two")
        context, other = first.server_context(), second.server_context()

        def choose(connection: ssl.SSLSocket, name: str | None, _context: ssl.SSLContext) -> None:
            if name == "two.example.org":
                connection.context = other

        context.sni_callback = choose  # type: ignore[assignment]
        with serving(silence, context, read=False) as server:
            assert of_server("127.0.0.1", server.port).subject == "CN=one"
            assert of_server("127.0.0.1", server.port, "two.example.org").subject == "CN=two"

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"names": ["DNS:localhost"]}, ""),
            ({"names": ["DNS:elsewhere"]}, "Hostname mismatch, certificate is not valid for 'localhost'"),
            ({"names": ["DNS:localhost"], "start": "20200101000000Z", "end": "20210101000000Z"}, "certificate has expired"),
            ({"names": ["DNS:localhost"], "selfsigned": True}, "self-signed certificate"),
        ],
    )
    def test_trusted(self, authority: Authority, options: dict[str, Any], reason: str) -> None:
        pair = authority.make("trusted", **options)
        with serving(silence, pair.server_context(), read=False) as server:
            found = trusted("127.0.0.1", server.port, "localhost", ca_cert=str(authority.own.certificate))
            assert found.replace("self signed", "self-signed") == reason
            assert trusted("127.0.0.1", server.port, "localhost")

    def test_cannot_be_asked(self, authority: Authority, tmp_path: Path) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        for ask in (of_server, trusted):
            with pytest.raises(CertificateError, match="127.0.0.1:%d refuses connections" % port):
                ask("127.0.0.1", port)
            with pytest.raises(CertificateError, match="cannot be resolved"):
                ask("no-such-host.invalid", 443)
            with serving(silence, read=False) as server, pytest.raises(CertificateError, match="did not answer within"):
                ask("127.0.0.1", server.port, timeout=0.4)
            with serving(answer(b"220 mail.example.org ESMTP\r\n"), read=False) as server, pytest.raises(CertificateError, match="no TLS with"):
                ask("127.0.0.1", server.port)
        with pytest.raises(CertificateError, match=r"authorities in .* cannot be read"):
            trusted("127.0.0.1", port, ca_cert=str(tmp_path / "none"))
