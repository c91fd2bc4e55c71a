# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking back what a repair wrote into a configuration file or a unit. What it did to the set is marked irreversible in the plan."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.mongo import OPTIONS, Mongo
from ..procedure.envelope import Change, Image, Outcome
from ..procedure.undo import Store, StoreFactory
from . import repair_act, restart
from .observation import Observation
from .probe import observe
from .restart_plan import FILE, SERVICE


class RepairStore(Store):
    """The files of one run. The set is asked only to tell how it stands, which needs no login where its configuration is in force."""

    def __init__(self, params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        known = {name: params[name] for name in OPTIONS if name.startswith(("ssl", "timeout")) and name in params}
        self.mongo = Mongo(dict(known, login_host=str(header["login_host"]), login_port=int(header["login_port"])))

    def close(self) -> None:
        self.mongo.close()

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        return [self._now(change) for change in changes]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """The server goes on with what it was started with; it reads the file at its next start."""
        return [restart.edit(change) for change in changes]

    def _now(self, change: Change) -> Tuple[Optional[Image], Any]:
        if change.subject.startswith(FILE):
            return restart.now_image(change)
        if change.subject.startswith(SERVICE):
            seen: Observation = observe(self.mongo)
            return {"replset": seen.command_line_set or seen.hello.get("setName") or None}, None
        return repair_act.now_image(self.mongo, change), None


STORES: Dict[str, StoreFactory] = {"mongodb_replica_set_repair": RepairStore}
