# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A parity group that is mended: killed before and after the one write that mends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.client.objects import Objects
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.repair_plan import image
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from crash.scenarios import Effect, Lab, Scenario
from lab.motr.store.cluster import Cluster

OID = "1234567:89abcdef"
UNIT = 4096
N, K = 4, 2
WRONG = 2
DATA = bytes(range(256)) * (N * UNIT // 256)


class MendGroup(Scenario):
    """A data unit of one group went bad."""

    module = "motr_block_repair"
    effects: Sequence[Effect] = ((Objects, "overwrite", lambda *_arguments: "group"),)
    finely = False

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.cluster = Cluster.make(lab.path / "cluster", N, K, K, 10)
        self.cluster.create(OID, DATA, 1)
        self.cluster.damage(OID, 0, WRONG)

    def arguments(self) -> dict[str, Any]:
        """With the units as they are on their devices now."""
        units = []
        for unit in range(N + K):
            path = self.lab.path / f"unit-{unit}"
            path.write_bytes(self.cluster.unit(OID, 0, unit))
            units.append({"unit": unit, "path": str(path)})
        client = {"endpoint": "0@lo:12345:34:101", "ha_endpoint": "0@lo:12345:34:1", "profile": "^p|1:0", "process": "^r|1:100"}
        where = {"conf": str(self.cluster.conf), "tools_dir": str(self.cluster.tools)}
        return {**client, **where, "object": OID, "layout_id": 1, "group": 0, "units": units}

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        """The data. Parity follows them: what it was when it did not fit is not given back."""
        return [self.cluster.unit(OID, 0, unit).hex() for unit in range(N)]

    def restore(self, dump: Any) -> None:
        """The whole group, with parity that fits the sound data; then the fault again."""
        with self.cluster.changing() as state:
            self.cluster.write(state, OID, 0, DATA)
        if dump != [DATA[start : start + UNIT].hex() for start in range(0, len(DATA), UNIT)]:
            self.cluster.damage(OID, 0, WRONG)

    def look(self, change: Change) -> dict[str, Any] | None:
        return image(self.cluster.unit(OID, 0, int(change.subject.rsplit(" ", 1)[1])))


SCENARIOS: dict[str, Sequence[type[Scenario]]] = {"motr_block_repair": (MendGroup,)}
