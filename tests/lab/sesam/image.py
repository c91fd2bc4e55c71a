# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image of the stand-in: busybox, the Python that this runs on with the libraries that it needs, and the stand-in's code. Nothing is fetched for it."""

from __future__ import annotations

import io
import re
import subprocess
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

from lab.engine import Engine, busybox_root
from lab.hosts.common import LabError, call, tail
from lab.sesam.running import interpreter, script

LAB = Path(__file__).resolve().parents[1]
IMAGE = "sesam/sesam-node:weekly-prod"
PYTHON, CODE = "usr/bin/python3", "usr/lib/lake"
CHANGES = ('ENTRYPOINT ["/entrypoint.sh"]', 'CMD ["lake", "-l", "/sesam/logs", "-d", "/sesam/data"]', "ENV PATH=/usr/bin:/bin")
LEFT_OUT = re.compile(
    r"/(test|tests|idlelib|tkinter|turtledemo|ensurepip|lib2to3|distutils|pydoc_data|site-packages|dist-packages|config-[^/]*)(/|$)|\.opt-[12]\.pyc$|\.a$"
)
NEEDLESS = re.compile(r"/(_tkinter|_curses|_curses_panel|readline|_dbm|_gdbm|nis|ossaudiodev|_test\w*|_ctypes_test|xxlimited\w*)\.")
GOSU = """#!/usr/bin/python3
import os
import sys

user, _colon, group = sys.argv[1].partition(":")
os.setgroups([])
os.setgid(int(group or user))
os.setuid(int(user))
os.execvp(sys.argv[2], sys.argv[2:])
"""
SCRIPTS = {
    "entrypoint.sh": '#!/bin/sh\nexec "$@"\n',
    "usr/bin/gosu": GOSU,
    "usr/bin/lake": script(f"/{PYTHON}", Path(f"/{CODE}")),
    "usr/bin/go": script(f"/{PYTHON}", Path(f"/{CODE}")),
}


def provide(engine: Engine, name: str = IMAGE) -> str:
    """The image in an engine, made if it is missing."""
    if engine.inspect(name, "image") is None:
        load(engine, name)
    return name


def load(engine: Engine, name: str = IMAGE, label: str = "lab.release=1") -> None:
    """Make it, in the place of one that has this name: with another label it is another image."""
    changes = [word for change in (*CHANGES, f"LABEL {label}") for word in ("--change", change)]
    command = ["docker", "--host", engine.docker_host, "import", *changes, "-", name]
    done = subprocess.run(command, input=root(), capture_output=True, timeout=120, check=False)
    if done.returncode:
        raise LabError(f"docker import: {tail(done.stderr.decode(errors='replace'))}")


def root() -> bytes:
    """A tar of the root file system."""
    packed = io.BytesIO(busybox_root())
    with tarfile.open(fileobj=packed, mode="a") as archive:
        archive.add(interpreter(), PYTHON, filter=_of_root)
        _add_library(archive)
        for library in sorted(_libraries()):
            where = library if Path(library).name.startswith("ld-linux") else f"/lib/{Path(library).name}"
            archive.add(Path(library).resolve(), where.lstrip("/"), filter=_of_root)
        for name in ("__init__.py", "sesam/__init__.py"):
            archive.add(LAB / name, f"{CODE}/lab/{name}", filter=_of_root)
        for file in sorted((LAB / "sesam/standin").glob("*.py")):
            archive.add(file, f"{CODE}/lab/sesam/standin/{file.name}", filter=_of_root)
        for path, text in SCRIPTS.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(text), 0o755
            archive.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


def _add_library(archive: tarfile.TarFile) -> None:
    """Python's own modules, without what a server never needs."""
    home = Path(sysconfig.get_path("stdlib"))
    for file in sorted(home.rglob("*")):
        path = f"/{file.relative_to(home)}"
        if file.is_file() and not LEFT_OUT.search(path) and not NEEDLESS.search(path):
            archive.add(file.resolve(), f"usr/lib/{home.name}{path}", filter=_of_root)


def _libraries() -> set[str]:
    """Shared libraries that the interpreter and its modules are linked with, as the loader finds them here."""
    modules = [file for file in _modules() if not NEEDLESS.search(str(file))]
    said = call(["ldd", interpreter(), *map(str, modules)], "ldd")
    return {match.group(1) for line in said.splitlines() for match in [re.search(r"(?:=>\s*|^\s+)(/\S+) \(0x", line)] if match}


def _modules() -> Iterator[Path]:
    return Path(sysconfig.get_path("stdlib"), "lib-dynload").glob("*.so")


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode |= 0o444 | (0o111 if member.mode & 0o100 else 0)
    return member
