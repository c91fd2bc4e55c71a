# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of a host's web server, from the laboratory's authority, with any dates. Runs on that host, as root.

    python3 -m lab.fits.host_tls renew NAME ... [--from DAYS] [--to DAYS]      days from now, -80 is 80 days ago

The authority is part of the image, so that all hosts made of it trust each other; where there is none, one is made.
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import tempfile
from pathlib import Path

AUTHORITY = Path("/etc/lab-ca/ca.key")
TRUSTED = Path("/usr/local/share/ca-certificates/lab-ca.crt")
LIVE = Path("/etc/letsencrypt/live/site")
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
CONFIGURATION = """[ca]
default_ca = lab
[lab]
database = index.txt
rand_serial = yes
new_certs_dir = .
default_md = sha256
unique_subject = no
policy = any
[any]
commonName = supplied
"""


def authority() -> None:
    """Make the authority, unless it is there, and have the host trust it."""
    if AUTHORITY.exists():
        return
    AUTHORITY.parent.mkdir(mode=0o700, exist_ok=True)
    _openssl(Path("/"), "req", "-x509", *NEW_KEY, "-days", "3650", "-subj", "/CN=lab authority", "-keyout", str(AUTHORITY), "-out", str(TRUSTED))
    subprocess.run(["update-ca-certificates"], check=True, capture_output=True)


def renew(names: list[str], start: float = -1, end: float = 89) -> None:
    """A new key and certificate for these names, valid between two days from now; the web server is not told."""
    authority()
    LIVE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        (work / "ca.cnf").write_text(CONFIGURATION, encoding="utf-8")
        (work / "index.txt").touch()
        subject_names = ",".join(["IP:127.0.0.1", *(f"DNS:{name}" for name in names)])
        (work / "names.cnf").write_text(f"subjectAltName={subject_names}\n", encoding="utf-8")
        _openssl(work, "req", *NEW_KEY, "-subj", f"/CN={names[0]}", "-keyout", "key.pem", "-out", "request.pem")
        signing = ["ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", str(TRUSTED), "-keyfile", str(AUTHORITY), "-extfile", "names.cnf"]
        _openssl(work, *signing, "-startdate", _date(start), "-enddate", _date(end), "-in", "request.pem", "-out", "chain.pem")
        os.replace(_copy(work / "key.pem", 0o600), LIVE / "privkey.pem")
        os.replace(_copy(work / "chain.pem", 0o644), LIVE / "fullchain.pem")


def _copy(source: Path, mode: int) -> Path:
    """Beside its final place, so that it is renamed in one step."""
    target = LIVE / (source.name + ".new")
    target.write_bytes(source.read_bytes())
    target.chmod(mode)
    return target


def _date(days: float) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    return moment.strftime("%Y%m%d%H%M%SZ")


def _openssl(where: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=where, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"openssl {arguments[0]}: {done.stderr}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["renew", "authority"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--from", type=float, default=-1, dest="start")
    parser.add_argument("--to", type=float, default=89, dest="end")
    options = parser.parse_args()
    if options.action == "renew":
        renew(options.names, options.start, options.end)
    else:
        authority()
