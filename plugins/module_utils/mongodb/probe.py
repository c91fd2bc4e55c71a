# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking one server how it stands: over one connection, no question whose answer is not needed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Callable, Dict, Optional, Tuple

from ..connect.mongo import Mongo, MongoError, plain
from .observation import ANSWERED, LOG_IDS, NO_CODE, Observation

NO_REPLICATION = 76
RECOVERING = 3


def observe(mongo: Mongo) -> Observation:
    """One look. It never fails: what could not be had is told by codes, and by ``unreachable`` and ``unsupported``."""
    seen = Observation(mongo.address)
    try:
        return _look(mongo, seen)
    except _Broken as broken:
        exc = broken.error
        return replace(broken.seen, unreachable=exc.unreachable, unsupported=exc.unsupported, error=str(exc))


class _Broken(Exception):
    """The server is gone, or was never there."""

    def __init__(self, seen: Observation, error: MongoError) -> None:
        super().__init__(str(error))
        self.seen = seen
        self.error = error


def _look(mongo: Mongo, seen: Observation) -> Observation:
    seen = _ask(seen, "hello", lambda: _hello(mongo))
    if seen.hello_code != ANSWERED:
        return seen  # even this was refused, so that the others would be as well
    seen = _ask(seen, "version", lambda: str(mongo.command("buildInfo").get("version", "")))
    seen = _ask(seen, "status", lambda: plain(mongo.command("replSetGetStatus")))
    seen = _ask(seen, "command_line", lambda: _command_line_set(mongo))
    if seen.status_code == NO_REPLICATION:
        return _ask(seen, "stored", lambda: plain(next(mongo.find("local", "system.replset", limit=1), {})))
    seen = _ask(seen, "config", lambda: plain(mongo.command("replSetGetConfig"))["config"])
    return _ask(seen, "log", lambda: _log_ids(mongo)) if seen.state == RECOVERING else seen


_FIELDS = {"command_line": "command_line_set", "log": "log_ids"}


def _ask(seen: Observation, what: str, question: Callable[[], Any]) -> Observation:
    """The look with one more answer, or with the code of a refusal."""
    code, changes = _answer(seen, question)
    if code == ANSWERED:
        changes = {_FIELDS.get(what, what): changes["answer"]}
    if what != "version":
        changes[what + "_code"] = code
    return replace(seen, **changes)


def _answer(seen: Observation, question: Callable[[], Any]) -> Tuple[int, Dict[str, Any]]:
    try:
        return ANSWERED, {"answer": question()}
    except MongoError as exc:
        if exc.unreachable or exc.unsupported:
            raise _Broken(seen, exc) from None
        return NO_CODE if exc.code is None else exc.code, {"error": seen.error or str(exc)}


def _hello(mongo: Mongo) -> Dict[str, Any]:
    """By its old name, which servers of all ages know."""
    hello: Dict[str, Any] = plain(mongo.command("isMaster"))
    return dict(hello, isWritablePrimary=bool(hello.get("ismaster") or hello.get("isWritablePrimary")))


def _command_line_set(mongo: Mongo) -> str:
    """From the command line, or the configuration file. A list of seeds may follow the name."""
    options = mongo.command("getCmdLineOpts").get("parsed", {}).get("replication") or {}
    named: Optional[str] = options.get("replSet") or options.get("replSetName")
    return (named or "").partition("/")[0]


def _log_ids(mongo: Mongo) -> Tuple[int, ...]:
    """Of the latest 1024 lines. Before 4.4 lines are text, and have none."""
    found = []
    for line in mongo.command("getLog", "global").get("log", []):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and entry.get("id") in LOG_IDS:
            found.append(int(entry["id"]))
    return tuple(found)
