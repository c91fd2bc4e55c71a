# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configurations."""

from __future__ import annotations

from typing import Any

Entity = dict[str, Any]


def pipe(identity: str, mode: str = "manual", interval: float | None = None, **others: Any) -> Entity:
    """A pipe; one that is scheduled runs every `interval` seconds."""
    pump: Entity = {"mode": mode, **({} if interval is None else {"schedule_interval": interval})}
    source = {"type": "sql", "system": "crm", "table": identity}
    return {"_id": identity, "type": "pipe", "source": source, "pump": {**pump, **others.pop("pump", {})}, **others}


def system(identity: str = "crm") -> Entity:
    """A system."""
    return {"_id": identity, "type": "system:url", "url_pattern": "https://crm.example.org/%s"}


def metadata(**others: Any) -> Entity:
    """The node's own entity, with things that nobody may lose."""
    return {
        "_id": "node",
        "type": "metadata",
        "namespaces": {"identity": {"default": "crm"}},
        "global_defaults": {"use_signalling_internally": True},
        "task_manager": {"concurrent_tasks": 4},
        **others,
    }


def config(pipes: int = 3, scheduled: int = 0, interval: float = 0.5, **others: Any) -> list[Entity]:
    """A small default group: `crm-0`, `crm-1` ... are started by hand, `tick-0` ... by the scheduler, and one id has all that ids may have."""
    found = [system(), metadata(**others), pipe("global:person/merge åæ")]
    found += [pipe(f"crm-{number}") for number in range(pipes)]
    return [*found, *(pipe(f"tick-{number}", "scheduled", interval) for number in range(scheduled))]
