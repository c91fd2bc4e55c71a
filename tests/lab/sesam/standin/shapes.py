# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer says of pipes and pumps."""

from __future__ import annotations

import copy
import datetime
import time
from typing import Any

from lab.sesam.standin.pumps import REASON, Pump, Pumps

FIELDS = ("config", "runtime", "storage", "graph")


def moment(seconds: float | None) -> str | None:
    """A point in time, as the node writes it."""
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat().replace("+00:00", "Z")  # noqa: UP017  Python 3.8


class Shapes:
    """Answers of one node."""

    def __init__(self, pumps: Pumps) -> None:
        self.pumps = pumps
        self.config, self.settings = pumps.config, pumps.settings

    def pipe(self, identity: str, entity: Any, fields: tuple[str, ...] = FIELDS, removed: bool = False) -> dict[str, Any]:
        """A pipe. One on a subnode that does not answer is as it was an hour ago."""
        found: dict[str, Any] = {"_id": identity}
        if "config" in fields:
            found["config"] = {"original": copy.deepcopy(entity), "effective": effective(entity)}
        if "runtime" in fields:
            found["runtime"] = self.runtime(identity, entity, removed)
        if "storage" in fields:
            found["storage"] = {"sink_dataset": identity, "size": 4096, "entities": self.pumps.of(identity).processed}
        if "graph" in fields:
            found["graph"] = {"inbound": [], "outbound": [f"dataset:{identity}"]}
        if identity in self.settings["subnode_down"]:
            found["cached_response_info"] = {"timestamp": moment(time.time() - 3600), "age": 3600.0}
            if "runtime" in found:
                found["runtime"].update({"is-running": False, "success": True, "last-message": "OK"})
        return found

    def pump(self, identity: str, entity: Any) -> dict[str, Any]:
        """A pump."""
        return {"_id": identity, "pump": {"mode": self.pumps.mode(entity)}, "runtime": self.runtime(identity, entity)}

    def runtime(self, identity: str, entity: Any, removed: bool = False) -> dict[str, Any]:
        """What a pump is doing."""
        pump, errors = self.pumps.of(identity), self.config.forced.get(identity, [])
        found = {
            "is-running": pump.began is not None,
            "is-disabled": pump.disabled,
            "is-valid-config": not any(error["level"] == "error" for error in errors),
            "config-errors": errors,
            "success": pump.success,
            "last-run": moment(pump.last_run),
            "next-run": moment(pump.next_run),
            "last-message": "OK" if pump.success else "The pump failed",
            "last-seen": pump.last_seen,
            "queues": self._queues(identity),
            "progress": {"processed": pump.processed, "deleted": 0, "last_entity": f"{identity}:{pump.processed}"},
            "supported-operations": self.pumps.supported(entity),
            "dependencies": [f"{identity}-dependency-{number}" for number in range(8)],
            "execution-dataset": f"system:pump:{identity}",
            "state": self._state(identity, removed),
        }
        if not pump.success:
            found["last-original-error-message"] = REASON
        return found

    def _queues(self, identity: str) -> dict[str, Any]:
        size = 12 * self.settings["padding"]
        return {
            "source": {f"{identity}-source-dataset-{number}": number or None for number in range(size)},
            "dependencies": {f"{identity}-dependency-{number}": 0 for number in range(size)},
        }

    def _state(self, identity: str, removed: bool) -> str:
        if removed:
            return "Removing"
        age = time.time() - self.config.touched.get(identity, 0.0)
        return "Deploying" if age < self.settings["deploying_seconds"] else "Deployed"

    def internal(self) -> list[dict[str, Any]]:
        """Pipes of the node's own."""
        entity = {"type": "pipe", "source": {"type": "internal"}, "pump": {"mode": "off"}}
        return [self._internal(f"system:internal-{number}", entity) for number in range(self.settings["internal_pipes"])]

    def _internal(self, identity: str, entity: dict[str, Any]) -> dict[str, Any]:
        return {"_id": identity, "config": {"original": entity}, "runtime": {"is-running": False, "is-valid-config": True}, "storage": {}, "graph": {}}

    def going(self) -> dict[str, Any]:
        """Pipes that are being removed."""
        now, seconds = time.time(), self.settings["deploying_seconds"]
        here = self.config.entities()
        return {
            identity: entity
            for identity, entity in list(self.config.removed.items())
            if identity not in here and entity.get("type") == "pipe" and now - self.config.touched.get(identity, 0.0) < seconds
        }


def effective(entity: Any) -> Any:
    """The configuration with what the node adds."""
    pump = {"mode": "scheduled", "schedule_interval": 30, "rescan_run_count": None, "max_read_retries": 0, "fallback_to_single_entities_on_batch_fail": True}
    return {**copy.deepcopy(entity), "batch_size": 100, "sink": {"type": "dataset", "dataset": entity.get("_id")}, "pump": {**pump, **entity.get("pump", {})}}


__all__ = ["FIELDS", "Pump", "Shapes", "moment"]
