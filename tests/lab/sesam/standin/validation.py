# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node thinks of a configuration that somebody uploads."""

from __future__ import annotations

from typing import Any

PIPE_KEYS = {"_id", "type", "name", "description", "comment", "source", "sink", "transform", "pump", "metadata", "namespaces", "add_namespaces", "batch_size"}
Entity = dict


def errors_of(entity: Any, systems: set[str]) -> list[dict[str, Any]]:
    """Errors and warnings of one entity."""
    if not isinstance(entity, dict) or not isinstance(entity.get("_id"), str) or not entity["_id"]:
        return [_error("error", "The entity has no '_id' property.")]
    kind = str(entity.get("type", ""))
    if kind == "metadata":
        return [] if entity["_id"] == "node" else [_error("error", "The metadata entity must have the _id 'node'.", "_id")]
    if kind.startswith("system:"):
        return []
    if kind != "pipe":
        return [_error("error", f"Unknown type '{kind}'.", "type")]
    found = [_error("warning", f"Unknown property '{key}'.", key) for key in entity if key not in PIPE_KEYS and not key.startswith("$")]
    source = entity.get("source")
    if not isinstance(source, dict) or "type" not in source:
        return [*found, _error("error", "The pipe has no valid 'source'.", "source")]
    if "system" in source and source["system"] not in systems:
        found.append(_error("warning", f"The system '{source['system']}' does not exist.", "source", "system"))
    return found


def check(entities: list[Any], taken: set[str]) -> list[dict[str, Any]]:
    """The `validation_errors` of an upload; `taken` are the ids of other groups."""
    systems = {str(each["_id"]) for each in entities if isinstance(each, dict) and str(each.get("type", "")).startswith("system:") and "_id" in each}
    found: list[dict[str, Any]] = []
    seen: set[Any] = set()
    for entity in entities:
        identity = entity.get("_id") if isinstance(entity, dict) else None
        errors = errors_of(entity, systems | taken)
        if identity is not None and (identity in seen or identity in taken):
            errors.append(_error("error", f"The _id '{identity}' is used more than once.", "_id"))
        seen.add(identity)
        if errors:
            found.append({"posted-config": {"_id": identity}, "config-errors": errors})
    return found


def severe(found: list[dict[str, Any]]) -> bool:
    """Whether there is an error among them."""
    return any(error["level"] == "error" for each in found for error in each["config-errors"])


def breaker(metadata: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """What the circuit breaker says, where it is on: more than 10 % and more than 10 components at once."""
    if not metadata.get("global_defaults", {}).get("use_config_circuit_breaker"):
        return []
    changed = sum(1 for name in {*before, *after} if before.get(name) != after.get(name))
    if changed <= 10 or changed * 10 <= len(before):
        return []
    return [{"posted-config": {"_id": None}, "config-errors": [_error("error", f"The circuit breaker tripped: {changed} components would change.")]}]


def _error(level: str, message: str, *elements: str) -> dict[str, Any]:
    return {"level": level, "msg": message, "elements": list(elements)}
