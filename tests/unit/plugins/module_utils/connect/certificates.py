# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real certificates, made by the openssl program."""

from __future__ import annotations

import ssl
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

_CONFIG = """
[ca]
default_ca = it
[it]
database = {work}/index.txt
new_certs_dir = {work}
private_key = {work}/ca.key
certificate = {work}/ca.pem
default_md = sha256
rand_serial = yes
unique_subject = no
policy = any
copy_extensions = copy
email_in_dn = yes
[any]
[req]
distinguished_name = dn
string_mask = {mask}
[dn]
"""
KEYS = {
    "rsa": ("rsa:2048",),
    "ec": ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
    "ed25519": ("ed25519",),
}


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in files."""

    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def openssl(*arguments: str, text: str = "") -> str:
    """Run the openssl program; what it prints."""
    done = subprocess.run(["openssl", *arguments], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def day(offset: float) -> str:
    """A time as the program takes it, so many days from now."""
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + offset * 86400))


class Authority:
    """Signs what it is asked to sign."""

    def __init__(self, work: Path, name: str = "Authority of the tests") -> None:
        self.work = work
        work.mkdir(parents=True)
        (work / "index.txt").touch()
        self.own = self.make("ca", "/CN=" + name, extensions=("basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"), selfsigned=True)

    def make(
        self,
        name: str,
        subject: str = "/CN=localhost",
        names: Sequence[str] = (),
        start: str = "",
        end: str = "",
        key: str = "ec",
        extensions: Sequence[str] = (),
        selfsigned: bool = False,
        mask: str = "utf8only",
    ) -> Pair:
        """A certificate for a subject such as C</O=Example/CN=example.org>, and names such as C<DNS:example.org>; times as ASN.1 has them."""
        pair = Pair(self.work / (name + ".pem"), self.work / (name + ".key"))
        config = self.work / (name + ".cnf")
        config.write_text(_CONFIG.format(work=self.work, mask=mask), encoding="utf-8")
        wanted = [*extensions, *(["subjectAltName=" + ",".join(names)] if names else [])]
        added = [part for extension in wanted for part in ("-addext", extension)]
        request = openssl(
            *("req", "-new", "-nodes", "-utf8", "-config", str(config), "-subj", subject, "-keyout", str(pair.key), "-newkey"), *KEYS[key], *added
        )
        signer = ("-selfsign", "-keyfile", str(pair.key)) if selfsigned else ()
        openssl(
            *("ca", "-batch", "-notext", "-preserveDN", "-utf8", "-config", str(config), *signer, "-in", "/dev/stdin", "-out", str(pair.certificate)),
            *("-startdate", start or day(-2), "-enddate", end or day(30), *(("-md", "null") if key == "ed25519" and selfsigned else ())),
            text=request,
        )
        return pair


def field(certificate: Path, name: str, *more: str) -> str | None:
    """What the program prints of a certificate, after the equals sign."""
    printed = openssl("x509", "-in", str(certificate), "-noout", "-" + name, *more).strip()
    return printed.partition("=")[2] if "=" in printed else None
