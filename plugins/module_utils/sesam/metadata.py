# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's metadata and the switch of its scheduler in it: merged, never replaced. The switch is spelt the same in startup_options.json. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence

from ..procedure.envelope import Image, canonical, same
from .errors import SesamError

NODE = "node"
"""``_id`` of the entity that holds the metadata."""
SECTION = "task_manager"
KEYS = ("disable_pump_scheduler", "disable_user_pipes")
MARKS = ("$audit", "$config-group")
"""What the node adds to an entity by itself."""

Entity = Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """The entities of two configurations, by id."""

    same: int
    added: Sequence[str] = ()
    removed: Sequence[str] = ()
    changed: Sequence[str] = ()

    @property
    def equal(self) -> bool:
        return not (self.added or self.removed or self.changed)

    def to_dict(self) -> Dict[str, Any]:
        return {"same": self.same, "added": list(self.added), "removed": list(self.removed), "changed": list(self.changed), "equal": self.equal}


def plain(entity: Entity) -> Dict[str, Any]:
    """An entity without what the node adds to it."""
    return {key: value for key, value in entity.items() if key not in MARKS}


def digest(entity: Entity) -> str:
    """Equal for equal entities, whatever the order of their keys. It is kept in memory only."""
    return hashlib.sha256(canonical(plain(entity)).encode("ascii")).hexdigest()


def digests(entities: Iterable[Entity]) -> Dict[str, str]:
    """By id; an entity at a time, so that a large configuration need not be held in memory."""
    return {str(entity.get("_id")): digest(entity) for entity in entities}


def compare(before: Mapping[str, str], after: Mapping[str, str], without: Sequence[str] = ()) -> Comparison:
    """Two configurations, by the digests of their entities."""
    ids = (set(before) | set(after)) - set(without)
    both = [name for name in ids if name in before and name in after]
    changed = [name for name in both if before[name] != after[name]]
    return Comparison(
        len(both) - len(changed),
        sorted(name for name in ids if name not in before),
        sorted(name for name in ids if name not in after),
        sorted(changed),
    )


def deep_merge(base: Mapping[str, Any], extra: Mapping[str, Any]) -> Dict[str, Any]:
    """``extra`` over ``base``: objects are merged, everything else is taken from ``extra``."""
    merged = dict(base)
    for key, value in extra.items():
        old = merged.get(key)
        merged[key] = deep_merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def section(document: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The settings of the task manager; empty where there are none."""
    found = document.get(SECTION, {})
    if not isinstance(found, Mapping):
        raise SesamError("%s of %s is %s where an object is wanted: nothing can be merged into it" % (SECTION, where, _kind(found)), kind="bad_request")
    return found


def switch(document: Optional[Mapping[str, Any]], key: str, where: str = "the metadata") -> Image:
    """The image of one key: whether its section is there, whether it is set, and to what."""
    own = section(document or {}, where)
    return {SECTION: SECTION in (document or {}), "set": key in own, "value": own.get(key)}


def switched(document: Mapping[str, Any], key: str, image: Mapping[str, Any], where: str = "the metadata") -> Dict[str, Any]:
    """The document with the key as the image has it. All else stays; a section that is not empty stays as well."""
    changed = dict(document)
    own = {name: value for name, value in section(document, where).items() if name != key}
    if image["set"]:
        own[key] = image["value"]
    if own or image[SECTION]:
        changed[SECTION] = own
    else:
        changed.pop(SECTION, None)
    return changed


def turned_off(document: Optional[Mapping[str, Any]], key: str, where: str = "the metadata") -> Image:
    """The image with the scheduler off."""
    section(document or {}, where)
    return {SECTION: True, "set": True, "value": True}


def turned_on(document: Mapping[str, Any], key: str, remembered: Optional[Mapping[str, Any]], where: str = "the metadata") -> Image:
    """The image with the key as it was before this collection set it; without memory it goes, and its section stays, though empty."""
    others = [name for name in section(document, where) if name != key]
    if remembered is not None and not is_off(remembered):
        keep = bool(others) or bool(remembered.get(SECTION)) or bool(remembered.get("set"))
        return {SECTION: keep, "set": bool(remembered.get("set")), "value": remembered.get("value")}
    return {SECTION: True, "set": False, "value": None}


def is_off(image: Mapping[str, Any]) -> bool:
    """Whether the key stops the scheduler."""
    return bool(image.get("set")) and same(image.get("value"), True)


def other_keys(document: Mapping[str, Any], where: str = "the metadata") -> Dict[str, Any]:
    """Both switches that are known, as they are set."""
    own = section(document, where)
    return {key: own[key] for key in KEYS if key in own}


def node_entity(entities: Iterable[Entity]) -> Optional[Entity]:
    return next((entity for entity in entities if entity.get("_id") == NODE), None)


def bare() -> Dict[str, Any]:
    """Metadata of a node that has none."""
    return {"_id": NODE, "type": "metadata"}


def replaced(entities: Sequence[Entity], entity: Optional[Entity]) -> List[Entity]:
    """The configuration with this metadata: in the place of the present one, else at the end; without any for None."""
    if entity is None:
        return [each for each in entities if each.get("_id") != NODE]
    if node_entity(entities) is None:
        return [*entities, entity]
    return [entity if each.get("_id") == NODE else each for each in entities]


def _kind(value: Any) -> str:
    return {type(None): "null", list: "an array", str: "a text", bool: "a boolean"}.get(type(value), "a number")
