# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking back what was done to the configuration and the scheduler of a node. A token is not in the journal: it is given again."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.docker import Docker
from ..procedure.envelope import Change, Image, Outcome
from ..procedure.errors import Refusal
from ..procedure.undo import Store, StoreFactory
from .api import Node
from .config import put_config
from .config_read import DEFAULT_GROUP
from .config_saved import HEADER, Saved
from .config_state import SUBJECT, by_id, image_of, version
from .container import find
from .errors import SesamError
from .metadata import Entity, digests, switch
from .scheduler_memory import KEY
from .scheduler_node import read_config, read_metadata, token_of, without_marks, write_switch
from .scheduler_restart import keep_before, last_start, lock_refusals, restart_node
from .scheduler_state import METADATA, OPTIONS_FILE, PUMP, RESTART, options_name
from .scheduler_watch import await_ready, read_pumps
from .startup_options import Options, read_options, write_options

Seen = Tuple[Optional[Image], Any]
_MOVED = "the configuration was changed since it was looked at: left alone"


def _node(params: Mapping[str, Any], header: Mapping[str, Any]) -> Node:
    known = {name: header[name] for name in ("api_url", "ca_cert", "validate_certs", "request_timeout")}
    return Node(dict(known, jwt=params.get("jwt")))


class SchedulerStore(Store):
    """The metadata, the file and the container of one run."""

    def __init__(self, params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.node = _node(params, header)
        self.docker = Docker(str(header["docker_host"]))
        self.saved = Saved(params["journal_dir"])
        self.journal_dir: Optional[str] = params["journal_dir"]
        self.lock_expiry = float(params["lock_expiry"])
        self.header = header
        self.key = str(header[KEY])
        self.timeout, self.settle = float(header["timeout"]), float(header["settle"])
        self.directory = ""

    def close(self) -> None:
        self.node.close()
        self.docker.close()

    def read(self, changes: Sequence[Change]) -> List[Seen]:
        return [self._now(change) for change in changes]

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        restarts = any(change.subject.startswith(RESTART) for change in plan)
        reasons = [_options(change).unwritable for change in plan if change.subject.startswith(OPTIONS_FILE)]
        rights = [Refusal("rights", reason, "run it as root, or as the node's user.") for reason in reasons if reason]
        return rights + (lock_refusals(self.timeout, self.lock_expiry) if restarts else [])

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """What was written first, then the restart that it needs. What that ends is kept before anything is changed."""
        for change in changes:
            if change.subject.startswith(RESTART):
                self.directory = keep_before(self.journal_dir, self.docker, self.node, change.subject[len(RESTART) :], self.header)
        made: Dict[str, Outcome] = {}
        for change in sorted(changes, key=lambda each: each.subject.startswith(RESTART)):
            made[change.subject] = self._move(change, made)
        return [made[change.subject] for change in changes]

    def _now(self, change: Change) -> Seen:
        subject = change.subject
        if subject.startswith(METADATA):
            entity = read_metadata(self.node)[1]
            return switch(entity, self.key), token_of(entity)
        if subject.startswith(OPTIONS_FILE):
            options = _options(change)
            return options.image(self.key), options.version
        if subject.startswith(PUMP):
            return {"running": any(pump.running for pump in read_pumps(self.node) if pump.id == subject[len(PUMP) :])}, None
        return self._read_by_node(change), None

    def _read_by_node(self, change: Change) -> Optional[Image]:
        """Which options the node was started with, as far as that can be told: not with a file that is younger than itself."""
        path = str((change.after or {}).get("path") or (change.before or {}).get("path") or "")
        options = read_options(os.path.dirname(path))
        since = last_start(find(self.docker, change.subject[len(RESTART) :]), self.node)
        if options.data is not None and since is not None and options.written > since:
            return change.before
        return {"path": path, "options": options_name(options.image(self.key))}

    def _move(self, change: Change, made: Mapping[str, Outcome]) -> Outcome:
        subject = change.subject
        if subject.startswith(METADATA):
            return write_switch(self.node, change.token, self.key, change.after or {}, clear_bare=True)
        if subject.startswith(OPTIONS_FILE):
            name = None if change.after is None else str(change.after["file"])
            return write_options(os.path.dirname(subject[len(OPTIONS_FILE) :]), change.token, None if name is None else self.saved.load(name))
        notes = [outcome.note for outcome in made.values() if not outcome.done]
        if notes:
            return Outcome(False, notes[0])
        restart_node(self.docker, self.node, subject[len(RESTART) :], self.timeout, self.settle)
        return Outcome(True, "the state before was kept in %s" % self.directory)


def _options(change: Change) -> Options:
    return read_options(os.path.dirname(change.subject[len(OPTIONS_FILE) :]))


class ConfigStore(Store):
    """Entities of one group, put back from what was saved of them."""

    def __init__(self, params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.node = _node(params, header)
        self.saved = Saved(params["journal_dir"])
        self.names = [str(name) for name in header[HEADER]]
        self.group = str(header["group"])
        self.timeout, self.limit = float(header["timeout"]), int(header["max_size"])
        self.accept_invalid = bool(header["accept_invalid"])
        self._kept: Optional[List[Dict[str, Entity]]] = None

    def close(self) -> None:
        self.node.close()

    def read(self, changes: Sequence[Change]) -> List[Seen]:
        now = self._read()
        known, token = by_id(now), version(digests(now))
        return [(image_of(known.get(change.subject[len(SUBJECT) :])), token) for change in changes]

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        lost = [change.subject[len(SUBJECT) :] for change in plan if change.after is not None and self._saved(change) is None]
        if not lost:
            return []
        reason = "what was saved of %d entities is gone, first of %s." % (len(lost), lost[0])
        return [Refusal("saved", reason, "upload a configuration that has them: sesam_config; the node keeps the history of each entity.")]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        now = self._read()
        if any(change.token != version(digests(now)) for change in changes):
            return [Outcome(False, _MOVED)] * len(changes)
        reply = put_config(self.node, self.group, self._restored(now, changes), self.accept_invalid)
        if reply.status == 400:
            raise SesamError(
                "the node does not take back what it had, so nothing was changed: %s. It is in %s"
                % (self.node.sentence(reply.body) or "it finds faults in it", self.saved.path(self.names[0]))
            )
        await_ready(self.node, self.timeout)
        return [Outcome(True)] * len(changes)

    def _read(self) -> List[Entity]:
        return read_config(self.node, "" if self.group == DEFAULT_GROUP else self.group, self.limit)

    def _restored(self, now: Sequence[Entity], changes: Sequence[Change]) -> List[Entity]:
        """What is there, with these subjects put back."""
        wanted = {str(entity["_id"]): without_marks(entity) for entity in now}
        for change in changes:
            entity = self._saved(change) if change.after is not None else None
            if entity is not None:
                wanted[change.subject[len(SUBJECT) :]] = dict(entity)
            else:
                wanted.pop(change.subject[len(SUBJECT) :], None)
        return list(wanted.values())

    def _saved(self, change: Change) -> Optional[Entity]:
        """The entity that an image is of."""
        if self._kept is None:
            self._kept = [by_id(json.loads(self.saved.load(name).decode("ascii"))) for name in self.names]
        found = (known.get(change.subject[len(SUBJECT) :]) for known in self._kept)
        return next((entity for entity in found if entity is not None and image_of(entity) == change.after), None)


STORES: Dict[str, StoreFactory] = {"sesam_scheduler": SchedulerStore, "sesam_config": ConfigStore}
