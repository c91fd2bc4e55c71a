# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to the API: few, one after the other, and none in vain once the node does not answer."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Iterator, List, Mapping, Optional, Sequence

from .api import Node, Reply
from .errors import SesamError
from .evidence import without_secrets
from .pipes import Incomplete, Pipes, is_left_out, read_pipes
from .pipes import Limits as PipeLimits
from .state import BY_API, Api, Health, Status, Unanswered, status_of

PATHS = {"health": "health", "status": "status", "license": "license", "scheduler": "metadata", "pipes": "pipes"}
PING = "ping"
PING_SECONDS = 5.0
_HEALTH_BYTES = 65536
_UNWELL = frozenset(("unwell", "unhealthy", "error", "failed", "failing", "critical", "down", "not ok", "bad"))
_ABSENT = frozenset(("missing", "none", "absent", "not found", "unlicensed"))
_INVALID = frozenset((False, "expired", "invalid", "false"))
_GIVE_UP = ("unreachable", "tls", "redirect")
"""After one of these, the next question would have the same answer."""


class Asking:
    """One round of questions."""

    def __init__(self, node: Node, now: float, pipe_limits: Callable[[Optional[Mapping[str, Any]]], PipeLimits], max_pipes: int, settle: float) -> None:
        self.node = node
        self.now = now
        self.pipe_limits = pipe_limits
        self.max_pipes = max_pipes
        self.settle = settle
        self.unanswered: List[Unanswered] = []
        self.ping: Optional[bool] = None
        self.requests = 0
        self.over = ""
        """Why nothing more is asked."""

    def all(self, parts: Sequence[str]) -> Api:
        """Everything that the parts need."""
        asked = tuple(part for part in BY_API if part in parts)
        health = self._read("health", self._health) if "health" in asked else None
        # The start time tells which files the running node has read, and a 503 to everything is no word of its health.
        told = {"status", "scheduler"} & set(parts) or (health is not None and health.status == 503)
        status = self._read("status", lambda: status_of(self._get("status"))) if told else None
        license_there = self._read("license", self._license) if "license" in asked else None
        metadata = self._read("scheduler", self._metadata) if {"scheduler", "pipes"} & set(asked) else None
        pipes = self._read("pipes", lambda: self._pipes(metadata)) if "pipes" in asked else None
        left_out = self._left_out(pipes, status) if "scheduler" in asked else ""
        known = (health, status, license_there, metadata, pipes, left_out)
        return Api(self.node.url, self.node.authenticates, asked, *known, tuple(self.unanswered), self.ping, self.requests)

    def _read(self, part: str, read: Callable[[], Any]) -> Any:
        if self.over:
            self.unanswered.append(Unanswered(part, PATHS[part], "not_asked", "", self.over))
            return None
        try:
            return read()
        except SesamError as exc:
            self._note(part, exc)
        return None

    def _note(self, part: str, exc: SesamError) -> None:
        path = PATHS[part]
        self.unanswered.append(Unanswered(part, path, exc.kind, exc.cause, exc.text, exc.status, exc.connected))
        if exc.kind in _GIVE_UP and (exc.status is None or exc.kind == "redirect"):  # what breaks off is asked on
            self.over = "not asked: %s" % exc.text
        if exc.kind == "timeout":
            if self.ping is None:
                self._ping()
                if not self.ping:
                    self.over = "not asked: neither /%s nor /%s was answered" % (path, PING)
            else:
                self.over = "not asked: a second question, /%s, was not answered either" % path

    def _ping(self) -> None:
        """Asked only to tell one question that hangs from a node that does."""
        self.requests += 1
        try:
            self.node.text(PING, limit=1024, timeout=PING_SECONDS)
            self.ping = True
        except SesamError as exc:
            self.ping = exc.kind not in ("timeout", "unreachable")

    def _get(self, part: str, accept: Sequence[int] = ()) -> Any:
        self.requests += 1
        return self.node.get(PATHS[part], accept=accept)

    def _health(self) -> Health:
        self.requests += 1
        reply = self.node.ask("GET", PATHS["health"], accept=(503,), limit=_HEALTH_BYTES)
        body = _json(reply)
        return Health(reply.status, is_well(reply.status, body), cleaned(body, self._clean), round(reply.seconds, 3))

    def _license(self) -> str:
        self.requests += 1
        reply = self.node.ask("GET", PATHS["license"], accept=(404,))
        return license_word(reply.status, reply.body, _json(reply))

    def _metadata(self) -> Mapping[str, Any]:
        """No metadata is an answer as well."""
        self.requests += 1
        reply = self.node.ask("GET", PATHS["scheduler"], accept=(404,))
        found = {} if reply.status == 404 else reply.json()
        if isinstance(found, list) and len(found) == 1:
            found = found[0]
        if found and not isinstance(found, Mapping):
            raise SesamError("the node's metadata are no object", "not_json", reply.status, connected=True)
        return found or {}

    def _pipes(self, metadata: Optional[Mapping[str, Any]]) -> Pipes:
        self.requests += 1
        found = self.node.stream(PATHS["pipes"], {"fields": "runtime"})
        return read_pipes(self._as_far_as(found), self.now, self.pipe_limits(metadata), self.max_pipes, self._clean)

    def _left_out(self, pipes: Optional[Pipes], status: Optional[Status]) -> str:
        """Where no pipe is due, one that should be shows that the scheduler is off, whatever the files say by now. Only then are configurations read."""
        young = status is not None and status.started is not None and self.now - status.started < self.settle
        if pipes is None or not pipes.total or not pipes.complete or pipes.scheduled or pipes.states["running"] or young or self.over:
            return ""
        self.requests += 1
        found = self.node.stream(PATHS["pipes"], {"fields": "runtime,config"})
        try:
            return next((str(item["_id"]) for item in found if is_left_out(item)), "")
        except SesamError:
            return ""  # it would only have told more

    def _as_far_as(self, found: Iterator[Any]) -> Iterable[Any]:
        """What has come counts, though the rest did not; without any of it there is no answer."""
        some = False
        try:
            for item in found:
                some = True
                yield item
        except SesamError as exc:
            if not some:
                raise
            self._note("pipes", exc)
            raise Incomplete from None

    def _clean(self, text: str) -> str:
        return without_secrets(self.node.sentence(text.encode("utf-8", "replace")))


def _json(reply: Reply) -> Any:
    try:
        return reply.json()
    except SesamError:
        return None


def is_well(status: int, body: Any) -> Optional[bool]:
    """200 with an object is well unless the object says otherwise; what is no JSON was not said by the node."""
    if not isinstance(body, Mapping):
        return None
    words = [body.get(key) for key in ("status", "health", "healthy", "ok", "success")]
    return status == 200 and not any(word is False or (isinstance(word, str) and word.strip().lower() in _UNWELL) for word in words)


def license_word(status: int, body: bytes, found: Any) -> str:
    """absent, invalid, present or unknown, and no more than that: nobody has published what the answer looks like, and it may be the licence."""
    if status == 404 or not body.strip() or found in ({}, []):
        return "absent"
    if not isinstance(found, Mapping):
        return "unknown"
    words = {found.get(key) if isinstance(found.get(key), bool) else str(found.get(key) or "").strip().lower() for key in ("status", "state", "valid")}
    if words & _ABSENT:
        return "absent"
    return "invalid" if words & _INVALID else "present"


def cleaned(body: Any, clean: Callable[[str], str], depth: int = 4, most: int = 50) -> Any:
    """What may be shown of an answer whose keys nobody knows: no secrets, and no more than a person reads."""
    if isinstance(body, Mapping):
        rows = list(body.items())[:most]
        return {str(key)[:100]: cleaned(without_name(key, value), clean, depth - 1, most) for key, value in rows} if depth else "..."
    if isinstance(body, list):
        return [cleaned(each, clean, depth - 1, most) for each in body[:most]] if depth else "..."
    return clean(body) if isinstance(body, str) else body


def without_name(key: Any, value: Any) -> Any:
    """Nothing that is called a secret."""
    if isinstance(value, (str, list, Mapping)) and without_secrets("%s=x" % key) != "%s=x" % key:
        return "********"
    return value
