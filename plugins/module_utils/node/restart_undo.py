# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking back a start or a stop."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.procfs import read_process, started_at
from ..connect.service import ServiceError
from ..connect.services import manager_of
from ..procedure.envelope import Change, Image, Outcome
from ..procedure.errors import Refusal
from ..procedure.undo import Store
from .restart import UP, Seen, subject
from .restart_act import Steward, Trouble, Up
from .restart_options import Spec, spec_of


class ServiceStore(Store):
    """Services of one run, steered in the way in which that run steered them."""

    def __init__(self, _params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.started = float(header["started"])
        self.specs = {subject(id_): spec_of(dict(kept, name=id_)) for id_, kept in header["services"].items()}
        self.steward = Steward(manager_of(header["manager"]), bool(header["force_kill"]))
        self.seen: Dict[str, Seen] = {}

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        wanted = [change.subject for change in changes]
        state = self.steward.look([self.specs[each] for each in wanted], dependents=False, probing=False, defaults=Spec(""))
        self.seen = dict(zip(wanted, state.seen))
        return [(self._image(self.seen[each]), None) for each in wanted]

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        """A stop must not take along what nobody asked about."""
        stops = [self.seen[change.subject].spec for change in plan if (change.after or {}).get("active") != UP]
        state = self.steward.look(stops, dependents=True, probing=False, defaults=Spec(""))
        planned = {change.subject for change in plan}
        others = [seen.id for seen in state.seen if seen.because_of and subject(seen.id) not in planned] + list(state.targets.values())
        if not others:
            return []
        return [Refusal("stops_others", "stopping these services would also stop %s." % ", ".join(others), "stop that first, if it may be stopped.")]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        ups: List[Up] = []
        notes = []
        try:
            for change in changes:
                seen = self.seen[change.subject]
                if (change.after or {}).get("active") == UP:
                    ups.append(self.steward.start(seen))
                    notes.append("")
                else:
                    notes.append(self.steward.stop(seen)[0])
        except Trouble as exc:
            raise ServiceError(str(exc)) from exc
        bad = self.steward.settle(ups)
        if bad:
            raise ServiceError(". ".join(bad.values()))
        return [Outcome(True, note) for note in notes]

    def _image(self, seen: Seen) -> Optional[Image]:
        if not seen.service.known:
            return None
        main = read_process(seen.service.main_pid) if seen.service.main_pid else None
        since = seen.service.since or (started_at(main) if main else 0.0)
        return {"active": seen.word, "restarted": seen.word == UP and since >= self.started}


STORES: Dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Store]] = {"service_restart": ServiceStore}
