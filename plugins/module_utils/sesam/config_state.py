# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The upload of a configuration: what is sent, what that would change on the node, and what speaks against it. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..procedure.envelope import Change, Finding, Image, Remedy, canonical
from ..procedure.errors import Refusal
from .config_read import DEFAULT_GROUP
from .config_secrets import differences, fingerprint, secrets
from .metadata import KEYS, NODE, SECTION, Entity, bare, deep_merge, digests, is_off, node_entity, plain, replaced, switch

SUBJECT = "entity:"
ALL = "all"
RUNBOOK = ("sesam.rst", "Upload a full node-config with a node metadata entity")
SHOWN = 1000
_NAMED = 20
_LOSS_NAMED = 50


Pair = Tuple[str, Optional[Entity], Optional[Entity]]
"""An id with its entity before and after."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    entities: Sequence[Entity] = field(repr=False)
    group: str = DEFAULT_GROUP
    scheduler_off: bool = True
    key: str = KEYS[0]
    delete: Sequence[str] = ()
    accept_invalid: bool = False

    @property
    def deletes_all(self) -> bool:
        return list(self.delete) == [ALL]


@dataclass(frozen=True)
class ConfigState:
    """The group as the node has it, and what else the plan rests on."""

    wanted: Wanted
    now: Sequence[Entity] = field(repr=False)
    metadata: Optional[Entity] = field(default=None, repr=False)
    """The node's own, whichever way it was read."""
    deploying: Sequence[str] = ()
    problems: Sequence[Mapping[str, Any]] = ()
    """What the node said of the configuration when it took it."""

    # Each is worked out once: a configuration has megabytes.

    @cached_property
    def sent(self) -> List[Entity]:
        return to_send(self.wanted, self.metadata)

    @cached_property
    def version(self) -> str:
        """Names the whole of what the node has."""
        return version(self._old)

    @cached_property
    def pairs(self) -> List[Pair]:
        """Entities that would be added, changed or removed, by id."""
        now, sent, new = by_id(self.now), by_id(self.sent), digests(self.sent)
        return [(name, now.get(name), sent.get(name)) for name in sorted({*self._old, *new}) if self._old.get(name) != new.get(name)]

    @property
    def lacking(self) -> List[str]:
        """Ids of what the node has and the upload does not."""
        return [name for name, _before, after in self.pairs if after is None]

    @cached_property
    def credentials(self) -> List[Dict[str, str]]:
        """Where the upload has what looks like one, in clear."""
        return [{"id": str(entity["_id"]), "key": ".".join(path)} for entity in self.wanted.entities for path, _value in secrets(entity)]

    @cached_property
    def _old(self) -> Mapping[str, str]:
        return digests(self.now)


def to_send(wanted: Wanted, own: Optional[Entity]) -> List[Entity]:
    """The upload with the node's metadata: those of the upload, else the node's own, and the scheduler off in them if that is wanted."""
    entities = list(wanted.entities)
    if wanted.group != DEFAULT_GROUP:
        return entities
    found = node_entity(entities) or own
    base = None if found is None else plain(found)
    if wanted.scheduler_off:
        switch(base, wanted.key, "the metadata to be uploaded")  # which must have a place for it
        base = deep_merge(base or bare(), {SECTION: {wanted.key: True}})
    return entities if base is None else replaced(entities, base)


def version(known: Mapping[str, str]) -> str:
    """Names the whole of a configuration by the digests of its entities, whatever their order."""
    return hashlib.sha256(canonical(known).encode("ascii")).hexdigest()


def image_of(entity: Optional[Entity]) -> Optional[Image]:
    return None if entity is None else {"type": entity.get("type"), "fingerprint": fingerprint(entity)}


def by_id(entities: Sequence[Entity]) -> Dict[str, Entity]:
    return {str(entity.get("_id")): entity for entity in entities}


def loss(names: Sequence[str]) -> str:
    """Shared by all removals of an upload, so that it is accepted once, for just these."""
    more = ", and %d more (%s)" % (len(names) - _LOSS_NAMED, hashlib.sha256(canonical(list(names)).encode("ascii")).hexdigest()[:12])
    what = "1 entity" if len(names) == 1 else "%d entities" % len(names)
    return "%s of the configuration, and what the node keeps for them: %s%s" % (what, ", ".join(names[:_LOSS_NAMED]), more if len(names) > _LOSS_NAMED else "")


def plan(state: ConfigState) -> List[Change]:
    """One change for each entity; the node takes them all in one stroke."""
    lost = loss(state.lacking) if state.wanted.deletes_all and state.lacking else ""
    return [_change(name, before, after, state.version, lost) for name, before, after in state.pairs]


def _change(name: str, before: Optional[Entity], after: Optional[Entity], token: str, lost: str) -> Change:
    subject = SUBJECT + name
    if after is None:
        return Change("remove", subject, image_of(before), None, "the upload does not have it", True, lost, token)
    if before is None:
        return Change("add", subject, None, image_of(after), "the node does not have it", token=token)
    keys = [row["key"] for row in differences(plain(before), plain(after), _NAMED)]
    return Change("replace", subject, image_of(before), image_of(after), "these keys differ: %s" % ", ".join(keys), token=token)


def guards(state: ConfigState) -> List[Refusal]:
    wanted, missing = state.wanted, state.lacking
    found: List[Refusal] = []
    refused = [] if wanted.deletes_all else [name for name in missing if name not in wanted.delete]
    if refused:
        names = ", ".join(refused[:_NAMED]) + (" and %d more (the result has them all)" % (len(refused) - _NAMED) if len(refused) > _NAMED else "")
        reason = "an upload replaces the whole group, and this one lacks %d of the %d entities that the node has, which would be deleted: %s." % (
            len(refused),
            len(state.now),
            names,
        )
        found.append(Refusal("delete", reason, "put them into the upload; or name them: delete; or delete: [all] with accept_data_loss."))
    if wanted.group != DEFAULT_GROUP and wanted.scheduler_off and not is_off(switch(state.metadata, wanted.key)):
        reason = "the scheduler is on, and the metadata that could turn it off are not of the group %s: what is uploaded would run at once." % wanted.group
        found.append(Refusal("scheduler", reason, "sesam_scheduler with state: disabled first; or pass scheduler: as_uploaded."))
    return found


# -- what is so ----------------------------------------------------------------------------------------------------------


def counted(changes: Sequence[Pair]) -> Dict[str, int]:
    added = sum(before is None for _name, before, _after in changes)
    removed = sum(after is None for _name, _before, after in changes)
    return {"added": added, "removed": removed, "changed": len(changes) - added - removed}


def diff(state: ConfigState) -> Dict[str, Any]:
    """What the upload changes, for a result: keys and, unless they look like credentials, values."""
    changed = state.pairs
    rows = []
    for name, before, after in changed[:SHOWN]:
        action = "add" if before is None else "remove" if after is None else "replace"
        keys = differences(plain(before), plain(after)) if before is not None and after is not None else []
        rows.append({"id": name, "type": (after or before or {}).get("type"), "action": action, "differences": keys})
    sent = len(state.sent)
    counts = counted(changed)
    told = dict(counts, group=state.wanted.group, entities=sent, unchanged=sent - counts["added"] - counts["changed"])
    return {"upload": told, "entities": rows, "lacking": state.lacking}


def diagnose(state: ConfigState) -> List[Finding]:
    return [*_equal(state), *_problems(state), *_deploying(state), *_credentials(state), *_scheduler(state)]


def _equal(state: ConfigState) -> List[Finding]:
    subject = "group %s" % state.wanted.group
    counts = counted(state.pairs)
    if not any(counts.values()):
        text = "the node has the configuration of the upload, all %d entities of it" % len(state.sent)
        return [Finding("sesam.config.same", "ok", subject, text, {"entities": len(state.sent)}, None, RUNBOOK)]
    text = "the node's configuration is not the upload's: %(added)d entities to add, %(changed)d to replace, %(removed)d to remove" % counts
    return [Finding("sesam.config.differs", "info", subject, text, counts, None, RUNBOOK)]


def _problems(state: ConfigState) -> List[Finding]:
    if not state.problems:
        return []
    first = state.problems[0]
    text = "the node took the configuration and finds %d faults in it, first in %s: %s" % (len(state.problems), first["id"], first["message"])
    remedy = Remedy("mend these entities and upload again, or take the upload back with fieldops.runbooks.runbook_undo")
    return [Finding("sesam.config.invalid", "warning", "group %s" % state.wanted.group, text, {"errors": list(state.problems)}, remedy, RUNBOOK)]


def _deploying(state: ConfigState) -> List[Finding]:
    if not state.deploying:
        return []
    text = "%d pipes are still being deployed or removed: %s" % (len(state.deploying), ", ".join(state.deploying[:_NAMED]))
    remedy = Remedy("look again later: fieldops.runbooks.sesam_node_info")
    return [Finding("sesam.config.deploying", "warning", "pipes", text, {"pipes": list(state.deploying[:SHOWN])}, remedy, RUNBOOK)]


def _credentials(state: ConfigState) -> List[Finding]:
    found = state.credentials
    if not found:
        return []
    text = "%d values of the upload look like credentials in clear, first %s of %s" % (len(found), found[0]["key"], found[0]["id"])
    remedy = Remedy("store them as secrets of the node and refer to them as $SECRET(name)")
    return [Finding("sesam.config.credential", "warning", "group %s" % state.wanted.group, text, {"places": found[:100]}, remedy, RUNBOOK)]


def _scheduler(state: ConfigState) -> List[Finding]:
    entity = node_entity(state.now) or state.metadata
    off = [key for key in KEYS if is_off(switch(entity, key))]
    if not off:
        return []
    text = "the scheduler is off (%s): no pipe starts by itself" % ", ".join("%s.%s" % (SECTION, key) for key in off)
    remedy = Remedy(
        "fieldops.runbooks.sesam_scheduler with state: enabled when the pipes may run",
        "fieldops.runbooks.sesam_scheduler",
        {"sesam_scheduler_state": "enabled"},
    )
    return [Finding("sesam.config.scheduler_off", "info", NODE, text, {"stopped_by": off}, remedy, RUNBOOK)]
