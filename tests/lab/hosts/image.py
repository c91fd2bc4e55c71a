# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: a Debian without anything, the kinds in `images/`, and what a site's setup made of them. Each is built once.

An image is named by the hash of all that it was made from, so an image that exists is the right one. A Dockerfile says on which other kind it
builds by `ARG BASE=<kind>`. The Debian without anything is pulled where an engine can do that, and else made by debootstrap; it is also kept as a file,
because the next engine may be a new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from lab.hosts.common import PLACE, LabError, as_root, call, install, locked, say, tail
from lab.hosts.engine import Engine

RECIPES = Path(__file__).parent / "images"
SUITE = "bookworm"
PULLED = f"debian:{SUITE}-slim"
MIRROR = os.environ.get("LAB_DEBIAN_MIRROR", "http://deb.debian.org/debian")
ROOT_FILE = PLACE / f"debian-{SUITE}.tar"
REPOSITORY = "fieldops-lab"
PULL_TIMEOUT = 90.0
BUILD_TIMEOUT = 1200.0


def of_kind(engine: Engine, kind: str) -> str:
    """The image of a kind, built with all below it where it is missing."""
    tag = _tag(kind, *_recipe(kind))
    if engine.inspect(tag, "image") is None:
        with locked("images"):
            _build_chain(engine, kind)
    return tag


def derived(engine: Engine, name: str, base: str, files: Iterable[Path], make: Callable[[str], None]) -> str:
    """An image that `make(tag)` makes of another image and of files; made only when one of them has changed."""
    tag = _tag(f"site-{name}", base, *_contents(files))
    with locked(f"site-{name}"):
        if engine.inspect(tag, "image") is None:
            make(tag)
            _forget_former(engine, f"site-{name}", tag)
    return tag


def kinds() -> list[str]:
    """What can be named as a kind."""
    return sorted(path.parent.name for path in RECIPES.glob("*/Dockerfile"))


def _build_chain(engine: Engine, kind: str) -> None:
    """Build what is missing, the lowest first. With the lock `images` held."""
    tag = _tag(kind, *_recipe(kind))
    if engine.inspect(tag, "image") is not None:
        return
    if kind == "debian":
        _debian(engine, tag)
    else:
        below = _below(kind)
        _build_chain(engine, below)
        _build(engine, kind, tag, _tag(below, *_recipe(below)))
    _forget_former(engine, kind, tag)


def _below(kind: str) -> str:
    found = re.search(r"^ARG BASE=(\S+)$", (RECIPES / kind / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise LabError(f"images/{kind}/Dockerfile names no base: it needs the lines ARG BASE=<kind> and FROM $BASE")
    return found.group(1)


def _recipe(kind: str) -> list[str]:
    """All that decides what an image of this kind holds, those below it included."""
    if kind == "debian":
        return [SUITE]
    if kind not in kinds():
        raise LabError(f"there is no image kind {kind!r}, but {', '.join(kinds())}")
    return [*_recipe(_below(kind)), *_contents([RECIPES / kind])]


def _contents(paths: Iterable[Path]) -> list[str]:
    """Names and contents of files and of whole folders, without what Python leaves beside them."""
    found = []
    for path in sorted(paths):
        files = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts) if path.is_dir() else [path]
        found += [f"{file.relative_to(path.parent)} {file.stat().st_mode:o} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files]
    return found


def _tag(name: str, *made_from: str) -> str:
    return f"{REPOSITORY}/{name}:{hashlib.sha256(chr(10).join(made_from).encode()).hexdigest()[:12]}"


# -- building -----------------------------------------------------------------------------------------------------------


def _build(engine: Engine, kind: str, tag: str, base: str) -> None:
    say(f"building image {kind} ...")
    proxies = [f"--build-arg={name}" for name in ("http_proxy", "https_proxy", "no_proxy") if name in os.environ]
    # The machine's own network: ours lead nowhere else.
    arguments = ["--network=host", "--force-rm", f"--build-arg=BASE={base}", *proxies, "--tag", tag]
    engine.docker("build", *arguments, str(RECIPES / kind), timeout=BUILD_TIMEOUT)


def _debian(engine: Engine, tag: str) -> None:
    if not ROOT_FILE.exists():
        if not engine.own and _pull(engine, tag):
            return
        _debootstrap()
    engine.docker("import", str(ROOT_FILE), tag, timeout=BUILD_TIMEOUT)


def _pull(engine: Engine, tag: str) -> bool:
    """An engine that was here before may be allowed to reach a registry."""
    try:
        engine.docker("pull", "--quiet", PULLED, timeout=PULL_TIMEOUT)
    except LabError as error:
        say(f"{PULLED} cannot be had, so debootstrap makes a Debian ({tail(str(error), 1)})")
        return False
    engine.docker("tag", PULLED, tag)
    return True


def _debootstrap() -> None:
    install({"debootstrap": "debootstrap"})
    say(f"making a Debian {SUITE} from {MIRROR} (once, a minute or two) ...")
    for left in PLACE.glob("debootstrap-*/"):  # by a run that was killed
        _discard(left)
    work = Path(tempfile.mkdtemp(prefix="debootstrap-", dir=PLACE))
    root, part = work / "root", work / "root.tar"
    try:
        path = f"PATH={os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
        call(as_root("env", path, "debootstrap", "--variant=minbase", SUITE, str(root), MIRROR), "debootstrap", timeout=BUILD_TIMEOUT)
        with open(part, "wb") as file:
            packed = subprocess.run(
                as_root("tar", "--directory", str(root), "--exclude=./var/cache/apt/archives/*.deb", "--exclude=./dev/*", "--create", "."),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        if packed.returncode:
            raise LabError(f"tar: {tail(packed.stderr)}")
        part.replace(ROOT_FILE)
    finally:
        _discard(work)


def _discard(work: Path) -> None:
    """Its files are root's, and it mounts /proc and /sys while it works."""
    for name in ("proc", "sys"):
        subprocess.run(as_root("umount", str(work / "root" / name)), stderr=subprocess.DEVNULL, check=False)
    subprocess.run(as_root("rm", "-rf", "--one-file-system", str(work)), check=False)


def _forget_former(engine: Engine, name: str, tag: str) -> None:
    """Remove the images that this one takes the place of; one that is in use stays until the next time."""
    file = PLACE / "images.json"
    with locked("images-list"):
        listed: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        former = [old for old in listed.get(name, []) if old != tag]
        listed[name] = [tag, *(old for old in former if not _removed(engine, old))]
        part = file.with_suffix(".part")
        part.write_text(json.dumps(listed, indent=2), encoding="utf-8")
        part.replace(file)


def _removed(engine: Engine, tag: str) -> bool:
    try:
        if engine.inspect(tag, "image") is not None:
            engine.docker("rmi", tag)
    except LabError:
        return False
    return True
