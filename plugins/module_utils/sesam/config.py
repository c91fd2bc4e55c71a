# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads a full configuration, which replaces all of its group on the node: compared entity by entity, saved first, and looked at afterwards."""

from __future__ import annotations

import math
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Outcome
from ..procedure.errors import Refusal, RunbookError
from . import config_state
from .api import Node, Reply
from .config_read import DEFAULT_GROUP, check_entities, check_open, read_source
from .config_saved import HEADER, Saved, name_of, packed
from .config_secrets import scrubbed, secrets
from .config_state import ConfigState, Wanted, diff, version
from .errors import SesamError
from .metadata import Entity, digests, node_entity, switch
from .scheduler_memory import CONFIG, KEY, SWITCH
from .scheduler_node import read_config, read_metadata, without_marks
from .scheduler_state import METADATA
from .scheduler_watch import await_ready, not_ready, read_pumps

_CHANGED = "the configuration was changed by somebody else since it was looked at: nothing was uploaded"
_MESSAGES = 100
_MESSAGE = 300
_AFTER_ALL = ("timeout", "unreachable", "unavailable")
"""Kinds of errors after which the node may have taken the upload nonetheless."""


class ConfigUpload(Procedure[ConfigState]):
    """One upload into one group."""

    name = CONFIG

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.limit: int = params["max_size"]
        if not 1024 <= self.limit <= 1 << 30:
            raise SesamError("max_size must be 1024 to %d bytes, not %d" % (1 << 30, self.limit))
        if not (math.isfinite(params["timeout"]) and 0 <= params["timeout"] <= 86400):
            raise SesamError("timeout must be 0 to 86400 seconds, not %s" % params["timeout"])
        self.wanted = wanted_of(params, self.limit)
        self.node = Node(params)
        self.saved = Saved(params["journal_dir"])
        self.first: Optional[ConfigState] = None
        self.kept: List[bytes] = []
        self.problems: List[Dict[str, Any]] = []
        self.uploaded = False

    def close(self) -> None:
        self.node.close()

    def observe(self) -> ConfigState:
        now = self._read()
        metadata = node_entity(now)
        if metadata is None:
            metadata = read_metadata(self.node)[1]
        state = ConfigState(self.wanted, now, metadata, not_ready(read_pumps(self.node)), tuple(self.problems))
        if self.first is None:
            self.first = state
        return state

    def diagnose(self, state: ConfigState) -> List[Finding]:
        return config_state.diagnose(state)

    def plan(self, state: ConfigState) -> List[Change]:
        return config_state.plan(state)

    def guards(self, state: ConfigState, plan: Sequence[Change]) -> List[Refusal]:
        return config_state.guards(state)

    def batches(self, plan: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """All at once, and only when what is there has been saved whole."""
        self.saved.sweep([self.saved.keep(data) for data in self._both()])
        yield plan

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        state = self.first
        if state is None or version(digests(self._read())) != state.version:
            return [Outcome(False, _CHANGED)] * len(changes)
        self._upload(state)
        self.uploaded = True
        await_ready(self.node, self.params["timeout"])  # what is left is a finding
        return [Outcome(True)] * len(changes)

    def facts(self, state: ConfigState) -> Mapping[str, Any]:
        saved = self.saved.path(name_of(self._both()[0])) if self.uploaded else None
        return dict(diff(self.first or state), validation_errors=list(state.problems), saved=saved, scheduler="disabled" if _off(state) else "enabled")

    def evidence(self, state: ConfigState) -> Mapping[str, Any]:
        return {
            "api_url": self.node.url,
            "group": self.wanted.group,
            "entities_before": len((self.first or state).now),
            "deploying": list(state.deploying[:1000]),
        }

    def context(self) -> Mapping[str, Any]:
        known = {name: self.params[name] for name in ("api_url", "ca_cert", "validate_certs", "request_timeout", "timeout", "accept_invalid", "max_size")}
        names = [name_of(data) for data in self._both()]
        return dict(known, **{HEADER: names, KEY: self.wanted.key, SWITCH: self._switch()}, group=self.wanted.group)

    def _read(self) -> List[Entity]:
        group = "" if self.wanted.group == DEFAULT_GROUP else self.wanted.group
        return read_config(self.node, group, self.limit)

    def _both(self) -> List[bytes]:
        """The configuration as it is and as it will be."""
        if not self.kept and self.first is not None:
            self.kept = [packed([without_marks(entity) for entity in entities]) for entities in (self.first.now, self.first.sent)]
        return self.kept

    def _switch(self) -> Optional[Dict[str, Any]]:
        """How the scheduler's switch is turned along the way, so that it is known later who did it."""
        state = self.first
        if state is None or self.wanted.group != DEFAULT_GROUP:
            return None
        before, after = (switch(entity, self.wanted.key) for entity in (state.metadata, node_entity(state.sent)))
        return {"subject": METADATA + self.node.url, "before": before, "after": after}

    def _upload(self, state: ConfigState) -> None:
        try:
            reply = put_config(self.node, self.wanted.group, state.sent, self.wanted.accept_invalid)
        except SesamError as exc:
            if exc.kind not in _AFTER_ALL or not self._taken(state):
                raise
            return
        self.problems = problems_of(reply, state.sent)
        if reply.status == 400:
            first = "%s: %s" % (self.problems[0]["id"], self.problems[0]["message"]) if self.problems else self.node.sentence(reply.body)
            text = "the node does not take this configuration, and applied nothing of it: %d faults, first %s" % (len(self.problems), first)
            raise RunbookError(text, validation_errors=self.problems)

    def _taken(self, state: ConfigState) -> bool:
        """Whether the node has it although it did not say so."""
        try:
            await_ready(self.node, self.params["timeout"])
            return version(digests(self._read())) == version(digests(state.sent))
        except SesamError:
            return False


def put_config(node: Node, group: str, entities: Sequence[Entity], force: bool) -> Reply:
    """Replace a group as a whole. 400 is an answer as well: nothing was applied, and why."""
    path = "config" if group == DEFAULT_GROUP else "config/%s" % group
    return node.put(path, list(entities), {"force": True} if force else None, accept=(400,))


def problems_of(reply: Reply, sent: Sequence[Entity]) -> List[Dict[str, Any]]:
    """What the node finds wrong, without credentials that it may repeat."""
    try:
        found = reply.json()
    except SesamError:
        return []
    rows = found.get("validation_errors") if isinstance(found, Mapping) else None
    hidden = sorted({value for entity in sent for _path, value in secrets(entity)}) if rows else []
    told = []
    for row in rows if isinstance(rows, list) else []:
        name = str((row.get("posted-config") or {}).get("_id", "")) if isinstance(row, Mapping) else ""
        for error in (row.get("config-errors") or []) if isinstance(row, Mapping) else [{"msg": str(row)}]:
            elements = [str(each)[:_MESSAGE] for each in error.get("elements") or []][:20]
            message = scrubbed(str(error.get("msg", "")), hidden)[:_MESSAGE]
            told.append({"id": name, "level": str(error.get("level", "")), "message": message, "elements": [scrubbed(each, hidden) for each in elements]})
    return told[:_MESSAGES]


def wanted_of(params: Mapping[str, Any], limit: int) -> Wanted:
    """Everything that can be refused without asking the node."""
    group = params["group"]
    if not group or any(sign in group for sign in "/?#%\\ ") or group in (".", ".."):
        raise SesamError("group must be the name of a config group, such as default, not %r" % group)
    if params["src"] is not None:
        entities = check_entities(read_source(params["src"], limit), group, "src: %s" % params["src"])
    else:
        entities = check_entities(params["entities"], group, "entities")
        check_open(entities)
    deleted = tuple(params["delete"])
    there = {str(entity["_id"]) for entity in entities}
    both = sorted(there & set(deleted)) if list(deleted) != [config_state.ALL] else []
    if both:
        raise SesamError("delete names what the upload has: %s" % ", ".join(both[:20]))
    return Wanted(entities, group, params["scheduler"] == "disabled", params["key"], deleted, params["accept_invalid"])


def _off(state: ConfigState) -> bool:
    return any(finding.code == "sesam.config.scheduler_off" for finding in config_state.diagnose(state))
