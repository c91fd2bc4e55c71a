# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets Hare's state of one object, by compare-and-set, and tells all hax of it."""

from __future__ import annotations

from typing import Any, Iterator, List, Mapping, Optional, Sequence

from ...procedure.check import Procedure
from ...procedure.envelope import Change, Finding, Outcome
from ...procedure.errors import Refusal
from ..errors import MotrError
from ..ids import parse
from .change import StateView, Wish, diagnose, guards, items_of, plan, target_of, told
from .consul import Consul
from .info import read_cluster
from .publish import Message, Move, carry_out
from .states import check, kind_of


class HareState(Procedure[StateView]):
    name = "hare_state"

    def __init__(self, params: Mapping[str, Any]) -> None:
        fid = parse(params["object"])
        kind = kind_of(fid)
        expected = params["expected"]
        if kind == "service" and params["publish"]:
            raise MotrError(
                "publish: Hare has no event for a service, so nothing would be told of %s. What hctl status lists as services are processes: "
                "set the state of its process, or leave publish out." % fid.hare
            )
        publish = kind != "service" if params["publish"] is None else bool(params["publish"])
        self.wish = Wish(fid, kind, check(kind, params["state"]), None if expected is None else check(kind, expected, "expected"), publish)
        self.consul = Consul(params)
        self.reach = {name: params[name] for name in ("consul_url", "ca_cert", "validate_certs", "timeout")}
        self.epoch: Optional[int] = None
        self.published: Optional[int] = None

    def observe(self) -> StateView:
        cluster = read_cluster(self.consul)
        if self.epoch is None:
            self.epoch = cluster.epoch_number
        return StateView(cluster, target_of(cluster, self.wish.fid))

    def diagnose(self, state: StateView) -> List[Finding]:
        return diagnose(state, self.wish)

    def facts(self, state: StateView) -> Mapping[str, Any]:
        return {"object": told(state.target), "published": self.published}

    def evidence(self, state: StateView) -> Mapping[str, Any]:
        return {"consul_url": self.consul.url, "epoch": state.cluster.epoch_number}

    def plan(self, state: StateView) -> List[Change]:
        return plan(state, self.wish)

    def guards(self, state: StateView, plan: Sequence[Change]) -> List[Refusal]:
        return guards(state, self.wish, plan)

    def context(self) -> Mapping[str, Any]:
        """How Consul is reached, and the counter as it was: the event is above it."""
        return dict(self.reach, epoch=self.epoch)

    def batches(self, plan: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """One transaction: the state and its event, or neither."""
        yield plan

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        moves = [Move(each.before or {}, each.after or {}, items_of(each.token)) for each in changes if each.action != "publish"]
        events = [each.after for each in changes if each.action == "publish" and each.after is not None]
        message = Message(events[0]["message_type"], events[0]["payload"]) if events else None
        self.published = carry_out(self.consul, moves, message)
        return [Outcome(True, actual=dict(each.after or {}, epoch=self.published)) if each.action == "publish" else Outcome(True) for each in changes]
