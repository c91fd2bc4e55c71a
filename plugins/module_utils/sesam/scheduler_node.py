# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's metadata, read and written so that nothing else of its configuration changes.

There is no version of them that a write could name: they are read again right before it and compared, and read once more after it.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..procedure.envelope import Image, Outcome
from .api import LIMIT, Node
from .errors import SesamError
from .metadata import Entity, bare, digest, node_entity, plain, replaced, switched

MOVED = "the metadata were changed since they were looked at: left alone"
BY_METADATA, BY_CONFIG = "metadata", "config"


def read_config(node: Node, group: str = "", limit: int = LIMIT) -> List[Entity]:
    """All entities of a group; none for a group that is not there."""
    path = "config/%s" % group if group else "config"
    reply = node.ask("GET", path, accept=(404,) if group else (), limit=limit)
    return [] if reply.status == 404 else _entities(reply.json())


def _entities(found: Any) -> List[Entity]:
    if not isinstance(found, list) or not all(isinstance(entity, Mapping) and isinstance(entity.get("_id"), str) for entity in found):
        raise SesamError("the node's configuration is no array of entities", kind="not_json")
    return found


def read_metadata(node: Node) -> Tuple[str, Optional[Entity]]:
    """How they are written, and what they are; None where there are none."""
    reply = node.ask("GET", "metadata", accept=(404,))
    if reply.status == 404:
        return BY_CONFIG, node_entity(read_config(node))
    return BY_METADATA, _object(reply.json())


def _object(found: Any) -> Optional[Entity]:
    if not found:
        return None
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, Mapping):
        raise SesamError("the node's metadata are no object", kind="not_json")
    return None if plain(found) == bare() else found  # which is what a node without metadata says


def write_switch(node: Node, token: str, key: str, image: Image, clear_bare: bool = False) -> Outcome:
    """Only this key. ``token`` is the digest of the metadata as they were looked at."""
    via, entity = read_metadata(node)
    if token_of(entity) != token:
        return Outcome(False, MOVED)
    wanted = dict(bare(), **switched(without_marks(entity or {}), key, image))
    if via == BY_METADATA:
        node.put("metadata", wanted)
    elif not _put_in_config(node, token, wanted, clear_bare):
        return Outcome(False, MOVED)
    return Outcome(True)


def _put_in_config(node: Node, token: str, wanted: Dict[str, Any], clear_bare: bool) -> bool:
    """The whole group as it is, with these metadata in it."""
    entities = read_config(node)
    if token_of(node_entity(entities)) != token:
        return False
    entity = None if clear_bare and wanted == bare() else wanted
    reply = node.put("config", replaced([without_marks(each) for each in entities], entity), accept=(400,))
    if reply.status == 400:
        raise SesamError("the node does not take its own configuration back with these metadata, so nothing was changed: %s" % node.sentence(reply.body))
    return True


def without_marks(entity: Entity) -> Dict[str, Any]:
    return {key: value for key, value in entity.items() if key != "$audit"}


def token_of(entity: Optional[Entity]) -> str:
    """Names the metadata, all of them."""
    return digest(entity) if entity is not None else ""
