# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking back what was set of Hare's state. An event that was published is not."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ...procedure.envelope import Change, Image, Outcome, same
from ...procedure.undo import Store, StoreFactory
from .change import items_of
from .consul import Consul
from .publish import Move, carry_out, messages, numbers

_CHUNK = 50


class HareStore(Store):
    """Keys in the Consul that a run was made on."""

    def __init__(self, params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        reach = {name: header[name] for name in ("consul_url", "ca_cert", "validate_certs", "timeout")}
        self.consul = Consul(dict(reach, consul_token=params.get("consul_token")))
        self.epoch = int(header.get("epoch") or 0)

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        return [(self._event(each), None) if each.action.endswith("publish") else self._state(each) for each in changes]

    def _state(self, change: Change) -> Tuple[Optional[Image], Any]:
        keys = sorted({*(change.before or {}), *(change.after or {})})
        found = self.consul.get(keys)
        return ({key: _parsed(item.value) for key, item in found.items()} or None, found)

    def _event(self, change: Change) -> Optional[Image]:
        """The message, if it is in the queue. Where its number was not journaled, one like it that came after the run had begun."""
        image = change.after or change.before or {}
        wanted = {name: image.get(name) for name in ("message_type", "payload")}
        epochs = [image["epoch"]] if "epoch" in image else [number for number in numbers(self.consul) if number > self.epoch]
        for start in range(0, len(epochs), _CHUNK):
            for epoch, said in messages(self.consul, epochs[start : start + _CHUNK]):
                if isinstance(said, dict) and all(same(said.get(name), value) for name, value in wanted.items()):
                    return dict(wanted, epoch=epoch)
        return None

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        carry_out(self.consul, [Move(each.before or {}, each.after or {}, items_of(each.token)) for each in changes])
        return [Outcome(True) for _change in changes]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


STORES: Dict[str, StoreFactory] = {"hare_state": HareStore}
