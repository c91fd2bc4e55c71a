# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One package of Debian 11, unpacked into a directory: for programs that Debian has no longer.

An apt whose lists and state are in a directory of its own fetches it from where this machine has its Debian from, or from `LAB_DEBIAN_MIRROR`.
Debian's signatures are checked as ever, and the system is not changed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.hosts.common import LabError, call, say

SUITE = "bullseye"
DEFAULT_MIRROR = "http://deb.debian.org/debian"


def mirror() -> str:
    """Where this machine has its Debian from."""
    chosen = os.environ.get("LAB_DEBIAN_MIRROR")
    if chosen:
        return chosen
    found = ""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        argv = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"]
        found = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
    own = [uri.rstrip("/") for origin, _blank, uri in (line.partition(" ") for line in found.splitlines()) if origin == "Debian"]
    return next((uri for uri in own if not uri.endswith("security")), DEFAULT_MIRROR)


def unpack(package: str, place: Path) -> None:
    """The files of a package below `place`, which appears in one stroke. Whoever calls it holds a lock."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise LabError(f"this machine has no {program} to get {package} of Debian 11 with")
    say(f"fetching {package} of Debian 11 (once) ...")
    place.parent.mkdir(parents=True, exist_ok=True)
    source = mirror()
    with tempfile.TemporaryDirectory(dir=place.parent, prefix="fetching-") as work:
        folder = Path(work)
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text(f"deb {source} {SUITE} main\n", encoding="utf-8")
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
            call(["env", "-C", str(folder), *apt, "download", package], f"apt-get download {package}", timeout=600)
            (archive,) = folder.glob(f"{package}_*.deb")
            call(["dpkg-deb", "-x", str(archive), str(folder / "root")], "dpkg-deb", timeout=120)
        except (LabError, ValueError) as error:
            raise LabError(f"no {package} from {source} {SUITE}: {error}") from error
        (folder / "root").rename(place)
