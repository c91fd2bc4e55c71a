# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container of a Sesam node: found by its image or its command, and what the engine knows of it.

Ids and pids change by themselves, since nodes are updated on their own: nothing here is true a minute later, and whoever acts looks again.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass, field
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..connect.docker import UNNAMED, Docker, timestamp
from ..connect.images import split
from .errors import SesamError

PROGRAM = "lake"
IMAGE = "sesam-node"
ASIDE = ".aside"
"""How the name of a container ends that was put aside for another one; it is no candidate."""
_LONG = r"(?:[-_]?(?:folder|dir|directory|path))?"
_FOLDERS = {
    "data": re.compile(r"(?:-d|--data%s)(?:=(?P<value>.+))?|-d(?P<short>/.+)" % _LONG),
    "logs": re.compile(r"(?:-l|--logs?%s)(?:=(?P<value>.+))?|-l(?P<short>/.+)" % _LONG),
}
_OPERATORS = frozenset((";", "&", "&&", "|", "||", "(", ")", "<", ">", ">>"))


class ContainerError(SesamError):
    """The container, its process or its folders cannot be told. ``kind`` is not_found, or conflict where several fit."""

    def __init__(self, text: str, kind: str = "not_found") -> None:
        super().__init__(text, kind)


@dataclass(frozen=True)
class Mount:
    """A folder of the node, and where the container has it."""

    source: str
    destination: str
    kind: str = "bind"
    writable: bool = True


@dataclass(frozen=True)
class Container:
    """One container as it was at one time. ``pid`` is that of its first process on the node, 0 when it does not run."""

    id: str
    name: str
    image: str
    running: bool
    status: str
    started_at: Optional[float] = None
    restart_count: int = 0
    oom_killed: bool = False
    exit_code: Optional[int] = None
    health: str = ""
    """Word of the image's own health check; empty where it has none."""
    pid: int = 0
    argv: Tuple[str, ...] = ()
    """Entry point and command, as the container was created with."""
    mounts: Tuple[Mount, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = "/"
    paused: bool = False
    restarting: bool = False
    finished_at: Optional[float] = None
    restart_policy: str = ""
    image_id: str = ""
    error: str = ""
    """What the engine said when it could not start it."""

    @property
    def life(self) -> Tuple[str, Optional[float], int]:
        """What is another one as soon as it was started again, or made anew."""
        return self.id, self.started_at, self.pid


def container_of(seen: Mapping[str, Any]) -> Container:
    """From the engine's answer to an inspection."""
    config, state, host = seen.get("Config") or {}, seen.get("State") or {}, seen.get("HostConfig") or {}
    running = bool(state.get("Running"))
    return Container(
        id=str(seen["Id"]),
        name=str(seen.get("Name") or "").lstrip("/"),
        image=str(config.get("Image") or ""),
        running=running,
        status=str(state.get("Status") or ("running" if running else "exited")),
        started_at=timestamp(str(state.get("StartedAt") or "")),
        restart_count=int(seen.get("RestartCount") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        exit_code=None if running else state.get("ExitCode"),
        health=str((state.get("Health") or {}).get("Status") or ""),
        pid=int(state.get("Pid") or 0),
        argv=tuple(map(str, [*_words_of(config.get("Entrypoint")), *_words_of(config.get("Cmd"))])),
        mounts=tuple(_mounts(seen.get("Mounts") or ())),
        labels={str(name): str(value) for name, value in (config.get("Labels") or {}).items()},
        working_dir=str(config.get("WorkingDir") or "/"),
        paused=bool(state.get("Paused")),
        restarting=bool(state.get("Restarting")),
        finished_at=timestamp(str(state.get("FinishedAt") or "")),
        restart_policy=str((host.get("RestartPolicy") or {}).get("Name") or ""),
        image_id=str(seen.get("Image") or ""),
        error=str(state.get("Error") or ""),
    )


def _words_of(command: Any) -> List[str]:
    return [command] if isinstance(command, str) else list(command or ())


def _mounts(mounts: Sequence[Mapping[str, Any]]) -> Iterator[Mount]:
    for mount in mounts:
        if mount.get("Source") and mount.get("Destination"):
            yield Mount(str(mount["Source"]), str(mount["Destination"]), str(mount.get("Type") or "bind"), bool(mount.get("RW", True)))


def find(docker: Docker, name: Optional[str] = None) -> Container:
    """The node's container: the one of that name or id, or the only one that looks like a node."""
    if name:
        seen = docker.inspect(name)
        if seen is None:
            raise ContainerError("container: there is no container %s. %s" % (name, _offer(candidates(docker))))
        return container_of(seen)
    found = candidates(docker)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join("%s (%s, %s)" % (each.name, each.image, each.status) for each in found)
        raise ContainerError("%d containers look like a Sesam node: %s. Name one of them with the option container." % (len(found), names), kind="conflict")
    raise ContainerError(
        "no container of the engine at %s looks like a Sesam node: none runs %s, and none is of an image called %s. Name it with the option container."
        % (docker.docker_host, PROGRAM, IMAGE)
    )


def _offer(found: Sequence[Container]) -> str:
    if not found:
        return "None of the others looks like a Sesam node."
    return "These look like a Sesam node: %s." % ", ".join(each.name for each in found)


def candidates(docker: Docker) -> List[Container]:
    """All that look like a node, by name. One that goes away meanwhile is left out."""
    found = []
    for row in docker.containers():
        if may_be_node(str(row.get("Image") or ""), str(row.get("Command") or "")):
            seen = docker.inspect(row["Id"])
            container = container_of(seen) if seen is not None else None
            if container is not None and looks_like_node(container):
                found.append(container)
    return sorted(found, key=lambda each: each.name)


def may_be_node(image: str, command: str) -> bool:
    """From a row of the list. An image that has lost its name shows there as its digest."""
    return PROGRAM in command or IMAGE in image or image.startswith("sha256:") or re.fullmatch(r"[0-9a-f]{12,64}", image) is not None


def looks_like_node(container: Container) -> bool:
    """It runs the program, or is of the vendor's image. What only names a node (an updater, a shipper of logs) is none."""
    if container.name.endswith((ASIDE, UNNAMED)):
        return False
    return bool(folder_options(container.argv)) or is_node_image(container.image)


def is_node_image(image: str) -> bool:
    last = split(image.partition("@")[0])[0].rpartition("/")[2]
    return last == IMAGE or last.startswith(IMAGE + "-")


def words(argv: Sequence[str]) -> List[str]:
    """The words of a command, also of those that a shell is given in one text. A sign between two commands is a word of its own."""
    found: List[str] = []
    for before, word in zip(["", *argv], argv):
        if not re.fullmatch(r"-[a-z]*c", before):
            found.append(word)
            continue
        lexer = shlex.shlex(word, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, ""
        try:
            found += list(lexer)
        except ValueError:  # a quote that is not closed
            found += word.split()
    return found


def arguments(argv: Sequence[str]) -> Tuple[str, List[str]]:
    """The program as a command spells it, empty where it is not in there, and the words that it is given."""
    found = words(argv)
    for position, word in enumerate(found):
        if os.path.basename(word) == PROGRAM:
            rest = found[position + 1 :]
            end = next((number for number, each in enumerate(rest) if each in _OPERATORS), len(rest))
            return word, rest[:end]
    return "", []


def folder_options(argv: Sequence[str]) -> Mapping[str, str]:
    """``data`` and ``logs`` as the program is told them; what it is not told is not in there. The last one counts."""
    given = arguments(argv)[1]
    found = {}
    for word, following in zip(given, [*given[1:], ""]):
        for key, pattern in _FOLDERS.items():
            match = pattern.fullmatch(word)
            if match:
                path = match["value"] or match["short"] or following
                if path and not path.startswith("-"):
                    found[key] = path
    return found
