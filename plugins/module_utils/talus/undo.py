# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking back what was done to containers of Talus."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.docker import Docker
from ..procedure.envelope import Change, Image, Outcome
from ..procedure.errors import Refusal
from ..procedure.undo import Store, StoreFactory
from .web_dev import move, written
from .web_dev_state import SUBJECT, shape

_AGAIN = "fieldops.runbooks.talus_web_dev"


class WebDevStore(Store):
    """Containers for development on the engine that a run was made on."""

    def __init__(self, _params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.docker = Docker(str(header["docker_host"]))

    def close(self) -> None:
        self.docker.close()

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        seen = [self.docker.inspect(change.subject[len(SUBJECT) :]) for change in changes]
        return [((shape(each) or {}) if each else None, None) for each in seen]

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        found = []
        for change in plan:
            name = change.subject[len(SUBJECT) :]
            if change.after is not None and change.after.get("environment"):
                reason = "the values of %s, which %s was given, are kept nowhere." % (", ".join(change.after["environment"]), name)
                found.append(Refusal("environment", reason, "start it again with them: %s." % _AGAIN))
            if change.after is None and change.before is not None and written(self.docker, name, change.before):
                reason = "%s has written files outside its mounts, which would be lost." % name
                found.append(Refusal("written", reason, "copy them out, then remove it with %s, state: absent." % _AGAIN))
        return found

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [move(self.docker, change) for change in changes]


STORES: Dict[str, StoreFactory] = {"talus_web_dev": WebDevStore}
