# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mongod that has to be started with another --replSet: by what it is run, what is to be edited, and what refuses. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from ..procedure.envelope import Change, Image
from ..procedure.errors import Refusal
from .errors import MongodbError
from .restart_conf import decoded, drop_in, edit_for, name_in, option, with_replset

FILE, SERVICE = "file:", "service:"
CONFIG = ("--config", "-f")


@dataclass(frozen=True)
class Runner:
    """What runs the mongod that answered. ``trouble`` and ``help`` say why it cannot be restarted here, and what can be done instead."""

    trouble: str = ""
    help: str = ""
    pid: int = 0
    argv: Tuple[str, ...] = field(default=(), repr=False)
    unit: str = ""
    manager: str = ""
    config: str = ""
    """Its configuration file, with links followed; empty where it is started without one."""
    data: bytes = field(default=b"", repr=False)
    """What is in that file."""
    version: str = ""
    """Names this very content in this very inode."""
    drop_in: str = ""
    """Where a drop-in of the unit would lie; empty where the unit's command is not plainly this process."""
    drop_in_text: Optional[str] = None
    """What lies there already."""
    unwritable: str = ""
    """Why what has to be edited cannot be."""

    @property
    def by_command(self) -> bool:
        """The command line names the set, or there is no file in which to name it."""
        return option(self.argv, "--replSet") is not None or not self.config


def plan(runner: Optional[Runner], now: Optional[str], name: str, reason: str, loss: str = "") -> List[Change]:
    """Name the set where the server reads it, and start it again. What is written already is left alone.

    ``loss`` is what the other members of the set will never have.
    """
    if runner is None or runner.trouble or _refusal(runner, name):
        return []
    restart = Change("restart", SERVICE + runner.unit, {"replset": now or None}, {"replset": name}, reason, reversible=False, data_loss=loss)
    edit = _edit(runner, name, "its next start must name the replica set")
    return [edit, restart] if edit else [restart]


def _edit(runner: Runner, name: str, reason: str) -> Optional[Change]:
    if runner.by_command:
        wanted = drop_in(with_replset(runner.argv, name))
        if runner.drop_in_text == wanted:
            return None
        before: Optional[Image] = None if runner.drop_in_text is None else {"text": runner.drop_in_text}
        return Change("set_replset", FILE + runner.drop_in, before, {"text": wanted}, reason)
    text = decoded(runner.data)
    there = name_in(text)
    if there == name:
        return None
    edit = edit_for(text, name)
    images: List[Dict[str, Any]] = [{"replset": there, "text": edit.old}, {"replset": name, "text": edit.new}]
    return Change("set_replset", FILE + runner.config, images[0], images[1], reason, token=runner.version)


def guards(runner: Optional[Runner], name: str) -> List[Refusal]:
    """Why this server is not restarted."""
    if runner is None:
        return []
    if runner.trouble:
        return [Refusal("restart", runner.trouble, runner.help)]
    refusal = _refusal(runner, name)
    return [refusal] if refusal else []


def _refusal(runner: Runner, name: str) -> Optional[Refusal]:
    if runner.by_command and not runner.drop_in:
        reason = "%s is started by %s with another command than its own, so that cannot be given the name of the set." % (_process(runner), runner.unit)
        return Refusal("restart", reason, "add --replSet %s to what %s starts, restart it, and run this again." % (name, runner.unit))
    try:
        if not runner.by_command:
            edit_for(decoded(runner.data), name)
    except MongodbError as exc:
        reason = "%s cannot be edited safely: %s." % (runner.config, exc)
        return Refusal("restart", reason, "set replication.replSetName to %s in it by hand, restart %s, and run this again." % (name, runner.unit))
    if runner.unwritable:
        return Refusal("rights", runner.unwritable, "run it as root.")
    return None


def _process(runner: Runner) -> str:
    return "mongod (pid %d)" % runner.pid
