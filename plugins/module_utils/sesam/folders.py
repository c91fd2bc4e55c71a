# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data and the log folder of a node, as this machine has them: from what the program is told and from what its container mounts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Sequence

from .container import PROGRAM, Container, ContainerError, Mount, folder_options

OPTIONS = {"data": "data_folder", "logs": "log_folder"}
_MOST_LINKS = 40


@dataclass(frozen=True)
class Folders:
    """Both are there, and no part of their paths is a link."""

    data: str
    logs: str


def folders(container: Optional[Container], params: Mapping[str, Any], running: Sequence[str] = ()) -> Folders:
    """Options win over what is found. ``running`` is the command line of the node's process, for an image that hides its command in a script."""
    return Folders(folder(container, "data", params, running), folder(container, "logs", params, running))


def folder(container: Optional[Container], key: str, params: Mapping[str, Any], running: Sequence[str] = ()) -> str:
    """One of them: ``data`` or ``logs``."""
    option = OPTIONS[key]
    given = params.get(option)
    if given:
        return _there(str(given), "%s: %s" % (option, given))
    if container is None:
        raise ContainerError("no container tells where the %s folder is: name it with the option %s" % (key, option))
    told = folder_options(container.argv).get(key) or folder_options(running).get(key)
    if told is None:
        letter = {"data": "-d", "logs": "-l"}[key]
        raise ContainerError(
            "the command of container %s does not tell the %s folder (%s %s): name it with the option %s" % (container.name, key, PROGRAM, letter, option)
        )
    inside = os.path.normpath(os.path.join(container.working_dir or "/", told))
    outside = on_node(inside, container.mounts)
    if outside is None:
        raise ContainerError(
            "the %s folder %s of container %s is on none of its mounts, or a link in it leads out of them: name the folder on this machine with the option %s"
            % (key, inside, container.name, option)
        )
    return _there(outside, "the %s folder %s of container %s, on this machine %s" % (key, inside, container.name, outside))


def on_node(inside: str, mounts: Sequence[Mount]) -> Optional[str]:
    """The path on this machine of one in the container, without links; None where it is on no mount.

    A link is followed as the container sees it, and must stay on its mounts: the node's user may write in these folders. A link that means
    nothing in the container is followed as this machine sees it, and must then stay on them just as well.
    """
    parts, done = _parts(inside), "/"
    links = 0
    while parts:
        done = os.path.normpath(os.path.join(done, parts.pop(0)))
        target = _link(done, mounts)
        if target is None:
            continue
        links += 1
        if links > _MOST_LINKS:
            return None
        if target.startswith("/") and _mount_of(target, mounts) is None:
            return _kept(os.path.join(os.path.realpath(target), *parts), mounts)
        parts = _parts(target) + parts
        done = "/" if target.startswith("/") else os.path.dirname(done)
    outside = _outside(done, mounts)
    return None if outside is None else _kept(outside, mounts)


def _parts(path: str) -> List[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _mount_of(inside: str, mounts: Sequence[Mount]) -> Optional[Mount]:
    """The mount that a path is on: the innermost one, since a mount may lie in another one."""
    fitting = [mount for mount in mounts if _below(inside, mount.destination)]
    return max(fitting, key=lambda mount: len(mount.destination.rstrip("/")), default=None)


def _outside(inside: str, mounts: Sequence[Mount]) -> Optional[str]:
    mount = _mount_of(inside, mounts)
    if mount is None:
        return None
    rest = os.path.relpath(inside, mount.destination)
    source = os.path.realpath(mount.source)
    return source if rest == "." else os.path.join(source, rest)


def _link(inside: str, mounts: Sequence[Mount]) -> Optional[str]:
    """Where a link leads; None for what is no link. A place where something is mounted is none, whatever lies below it."""
    mount = _mount_of(inside, mounts)
    if mount is None or mount.destination.rstrip("/") == inside.rstrip("/"):
        return None
    outside = _outside(inside, mounts)
    try:
        return os.readlink(outside) if outside is not None else None
    except OSError:
        return None


def _kept(outside: str, mounts: Sequence[Mount]) -> Optional[str]:
    """The same path without links, if it is below what is mounted."""
    real = os.path.realpath(outside)
    return real if any(_below(real, os.path.realpath(mount.source)) for mount in mounts) else None


def _below(path: str, above: str) -> bool:
    above = above.rstrip("/")
    return path == above or path.startswith(above + "/")


def _there(path: str, what: str) -> str:
    real = os.path.realpath(path)
    if not os.path.isdir(real):
        raise ContainerError("%s %s" % (what, "is no directory" if os.path.exists(real) else "does not exist"))
    return real
