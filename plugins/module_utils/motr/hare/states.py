# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words that Hare has for states: two vocabularies for a process, and two for a drive. Pure.

A process is told of by its last event in ``processes/<fid>`` (what ``hctl status`` shows) and by a state in ``m0conf/nodes/`` (hax/util.py, set_process_state).
A drive has one word in the KV and another one in an event for two of its states (hax/util.py, update_drive_state; hax/queue/__init__.py, to_ha_state).
"""

from __future__ import annotations

from typing import Dict, FrozenSet, Mapping, Tuple

from ..errors import MotrError
from ..ids import Fid

PREFIX = "M0_CONF_HA_PROCESS_"
STARTED = PREFIX + "STARTED"
RECOVERED = PREFIX + "DTM_RECOVERED"
STOPPED = PREFIX + "STOPPED"
STARTING = PREFIX + "STARTING"
STOPPING = PREFIX + "STOPPING"
UNSET = "m0_nc_unknown"
"""What an object has, in lower case, until Hare sets it for the first time."""

PROCESS: Mapping[str, str] = {
    "online": RECOVERED,
    "dtm_recovering": STARTED,
    "failed": STOPPED,
    "offline": STOPPED,
    "stopped": STOPPED,
    "unknown": STOPPED,
}
"""State of a process in ``m0conf/nodes/``: the event that Hare puts beside it (hax/util.py, objHealthToProcessEvent)."""

DRIVE: Mapping[str, str] = {
    "online": "online",
    "failed": "failed",
    "offline": "offline",
    "repair": "repairing",
    "repaired": "repaired",
    "rebalance": "rebalancing",
}
"""State of a drive in an event: the same in the KV."""

KINDS: Dict[str, str] = {"r": "process", "s": "service", "k": "drive", "d": "drive"}
_GOES_WITH: Mapping[str, FrozenSet[str]] = {
    STARTED: frozenset(("online", "dtm_recovering")),
    RECOVERED: frozenset(("online",)),
    STOPPED: frozenset(("failed", "offline", "stopped", "unknown")),
}
SERVING = ("online", "dtm_recovering")
OUT: Mapping[str, FrozenSet[str]] = {
    "process": frozenset(state for state, event in PROCESS.items() if event == STOPPED),
    "drive": frozenset(("failed", "offline")),
}
"""States whose event takes something out of service."""


def kind_of(fid: Fid) -> str:
    """Process, service or drive, by the fid's type."""
    kind = KINDS.get(chr(fid.type))
    if kind is None:
        raise MotrError(
            "%s is the fid of a %s; Hare's state can be set of a process (0x72...), of a service (0x73...) and of a drive, by its own fid (0x6b...) "
            "or by that of its storage device (0x64...)." % (fid.hare, fid.type_name)
        )
    return kind


def accepted(kind: str) -> Tuple[str, ...]:
    """The states that may be asked for."""
    return tuple(DRIVE if kind == "drive" else PROCESS)


def check(kind: str, state: str, option: str = "state") -> str:
    """The state, if Hare knows it for this kind of object."""
    if state in accepted(kind):
        return state
    if option == "expected" and state.lower() == UNSET:
        return UNSET.upper()
    words = {kept: asked for asked, kept in DRIVE.items() if kept != asked}
    hint = " %s is what Hare keeps, %s is what it takes." % (state, words[state]) if kind == "drive" and state in words else ""
    raise MotrError("%s: %r is no state that Hare accepts for a %s.%s Accepted are %s." % (option, state, kind, hint, ", ".join(accepted(kind))))


def kept(kind: str, state: str) -> str:
    """What stands in the KV for a state that is asked for."""
    return DRIVE.get(state, state) if kind == "drive" else state


def status_of(event: str, health: str) -> str:
    """What ``hctl status`` shows of a process: started, offline or unknown."""
    if health != "passing":
        return "offline"
    if event in (STARTED, RECOVERED):
        return "started"
    return "unknown" if event.lower() in ("", "unknown") else "offline"


def agree(event: str, state: str) -> bool:
    """Whether the two trees can both be right. While a process starts or stops, and before either was set, any two can."""
    return event not in _GOES_WITH or state.lower() == UNSET or state.lower() in _GOES_WITH[event]
