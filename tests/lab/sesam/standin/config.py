# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration: groups of entities. An upload replaces a whole group."""

from __future__ import annotations

import copy
import random
import threading
import time
from typing import Any

from lab.sesam.standin import validation
from lab.sesam.standin.settings import Settings
from lab.sesam.standin.storage import Storage

DEFAULT = "default"
GROUP = "$config-group"
AUDIT = "$audit"
KEPT_VERSIONS = 50
Entity = dict


class Config:
    """All groups."""

    def __init__(self, storage: Storage, settings: Settings) -> None:
        self.storage, self.settings = storage, settings
        self.lock = threading.RLock()
        self.groups: dict[str, dict[str, Any]] = storage.load("config", {DEFAULT: {}})
        self.history: dict[str, list[Any]] = storage.load("config-history", {})
        self.touched: dict[str, float] = {}  # when a pipe was deployed or removed, for those of which it may still show
        self.removed: dict[str, Any] = {}
        self.forced: dict[str, list[Any]] = storage.load("config-errors", {})

    # -- reading ----------------------------------------------------------------------------------------------------------

    def read(self, group: str | None) -> list[Any] | None:
        """A group, or all with None; in another order at each time, with `$audit` of this answer."""
        with self.lock:
            if group is not None and group not in self.groups:
                return None
            chosen = self.groups if group is None else {group: self.groups[group]}
            found = [self._shown(name, entity) for name, entities in chosen.items() for entity in entities.values()]
        random.shuffle(found)
        self._intrude()
        return found

    def _shown(self, group: str, entity: Any) -> Any:
        shown = list(copy.deepcopy(entity).items())
        random.shuffle(shown)
        marks = {} if group == DEFAULT else {GROUP: group}
        return {**dict(shown), **marks, AUDIT: {"seq": int(time.time() * 1e9) % 10**9, "retrieved": time.time(), "origin": "api"}}

    def entities(self) -> dict[str, Any]:
        """Every entity by its id."""
        with self.lock:
            return {identity: entity for entities in self.groups.values() for identity, entity in entities.items()}

    def pipes(self) -> dict[str, Any]:
        """Those that are pipes."""
        return {identity: entity for identity, entity in self.entities().items() if entity.get("type") == "pipe"}

    def metadata(self, intruded: bool = False) -> Any:
        """The node's own entity, without what only an answer has."""
        with self.lock:
            found = copy.deepcopy(self.groups[DEFAULT].get("node", {"_id": "node", "type": "metadata"}))
        if intruded:
            self._intrude()
        return found

    def _intrude(self) -> None:
        """Somebody else was quicker."""
        intruder = self.settings["intruder"]
        if intruder:
            self.settings.change(intruder=None)
            group, entity = intruder
            with self.lock:
                self._apply(group, {**self.groups.get(group, {}), entity["_id"]: entity})

    # -- writing ----------------------------------------------------------------------------------------------------------

    def replace(self, group: str, posted: list[Any], force: bool) -> tuple[int, list[Any]]:
        """An upload of a group: what is not in it is deleted. Status and validation errors."""
        with self.lock:
            others = {identity for name, entities in self.groups.items() if name != group for identity in entities}
            found = validation.check(posted, others)
            found += [_misplaced(each) for each in posted if group != DEFAULT and isinstance(each, dict) and each.get("type") == "metadata"]
            after = {each["_id"]: _clean(each) for each in posted if isinstance(each, dict) and isinstance(each.get("_id"), str)}
            found += validation.breaker(self.groups[DEFAULT].get("node", {}), self.groups.get(group, {}), after)
            if validation.severe(found) and not force:
                return 400, found
            self._remember_errors(after, found)
            self._apply(group, after)
            return 200, found

    def replace_all(self, posted: list[Any], force: bool) -> tuple[int, list[Any]]:
        """An upload of everything: groups that are not in it are deleted."""
        parts: dict[str, list[Any]] = {DEFAULT: []}
        for each in posted:
            parts.setdefault(each.get(GROUP, DEFAULT) if isinstance(each, dict) else DEFAULT, []).append(each)
        with self.lock:
            found = validation.check(posted, set())
            if validation.severe(found) and not force:
                return 400, found
            for group in {*self.groups, *parts}:
                self._apply(group, {each["_id"]: _clean(each) for each in parts.get(group, []) if isinstance(each, dict) and "_id" in each})
            return 200, found

    def set_entity(self, entity: Any, group: str = DEFAULT) -> None:
        """One entity, in the place of the one of its id."""
        with self.lock:
            self._apply(group, {**self.groups.get(group, {}), entity["_id"]: _clean(entity)})

    def delete_entity(self, identity: str) -> None:
        """One less."""
        with self.lock:
            for group, entities in list(self.groups.items()):
                if identity in entities:
                    self._apply(group, {name: entity for name, entity in entities.items() if name != identity})

    def group_of(self, identity: str) -> str:
        """Where an entity is."""
        return next((group for group, entities in self.groups.items() if identity in entities), DEFAULT)

    def wipe(self) -> None:
        """Nothing is left."""
        with self.lock:
            for group in list(self.groups):
                self._apply(group, {})

    def _apply(self, group: str, after: dict[str, Any]) -> None:
        before, now = self.groups.get(group, {}), time.time()
        for identity in {*before, *after}:
            old, new = before.get(identity), after.get(identity)
            if old == new:
                continue
            versions = self.history.setdefault(identity, [] if old is None else [{**old, "_updated": 0}])
            versions.append({**(new or {"_id": identity, "_deleted": True}), "_updated": int(now * 1e6)})
            del versions[:-KEPT_VERSIONS]
            self.touched[identity] = now
            if new is None:
                self.removed[identity] = old
                self.forced.pop(identity, None)
        self.groups[group] = after
        if not after and group != DEFAULT:
            del self.groups[group]
        self.storage.save("config", self.groups)
        self.storage.save("config-history", self.history)
        self.storage.save("config-errors", self.forced)

    def _remember_errors(self, after: dict[str, Any], found: list[Any]) -> None:
        for identity in after:
            self.forced.pop(identity, None)
        for each in found:
            if each["posted-config"]["_id"] in after:
                self.forced[each["posted-config"]["_id"]] = each["config-errors"]

    def versions(self, identity: str) -> list[Any]:
        """The history of an entity, oldest first."""
        with self.lock:
            return copy.deepcopy(self.history.get(identity, []))


def _misplaced(entity: Any) -> Any:
    error = {"level": "error", "msg": "The node metadata can only be in the default group.", "elements": ["type"]}
    return {"posted-config": {"_id": entity.get("_id")}, "config-errors": [error]}


def _clean(entity: Any) -> Any:
    return {name: copy.deepcopy(value) for name, value in entity.items() if name not in {AUDIT, GROUP}}
