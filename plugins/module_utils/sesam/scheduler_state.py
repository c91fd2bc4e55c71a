# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler of a node: what turns it off, what would be done about it, what is so. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set

from ..procedure.envelope import Change, Image
from ..procedure.errors import Refusal
from .metadata import KEYS, Comparison, Entity, is_off, switch, switched, turned_off, turned_on
from .scheduler_memory import Memory
from .scheduler_watch import Proof, Pump
from .startup_options import Options, image_of, text_of

METADATA, OPTIONS_FILE, RESTART, PUMP = "metadata:", "file:", "container:", "pump:"
"""How subjects begin."""
ABSENT = "absent"


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    off: bool
    method: str = "auto"
    key: str = KEYS[0]
    running: str = "leave"
    restart: bool = True
    take_over: bool = False


@dataclass(frozen=True)
class SchedulerState:
    """The node and its data folder as they are. What could not be looked at says why."""

    url: str
    away: str = ""
    """Why the API does not answer; empty when it does."""
    via: str = "metadata"
    """What the metadata are written by: ``metadata``, or ``config`` where there is no such endpoint."""
    entity: Optional[Entity] = field(default=None, repr=False)
    others: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Digests of all other entities of the configuration."""
    options: Optional[Options] = None
    unseen: str = ""
    """Why the data folder was not looked at."""
    container: str = ""
    started_at: Optional[float] = None
    memory: Mapping[str, Memory] = field(default_factory=dict)
    pumps: Sequence[Pump] = ()
    proof: Optional[Proof] = None
    comparison: Optional[Comparison] = None
    deploying: Sequence[str] = ()

    @property
    def metadata_subject(self) -> str:
        return METADATA + self.url

    @property
    def file_subject(self) -> str:
        return OPTIONS_FILE + (self.options.path if self.options is not None else "")

    @property
    def in_force(self) -> Optional[bool]:
        """Whether the node was started after the file was written; None where that cannot be told."""
        if self.options is None or self.started_at is None:
            return None
        touched = self.memory.get(self.file_subject, Memory()).touched
        written = self.options.written if self.options.data is not None else 0.0
        return max(written, touched) <= self.started_at

    @property
    def running(self) -> List[Pump]:
        return sorted((pump for pump in self.pumps if pump.running), key=lambda pump: pump.id)

    def file_off(self, key: str) -> bool:
        return self.options is not None and is_off(switch(self.options.document, key, self.options.path))

    def metadata_off(self, key: str) -> bool:
        return is_off(switch(self.entity, key))

    def off_by(self) -> List[str]:
        """The keys that keep pipes from starting now."""
        found = [key for key in KEYS if self.metadata_off(key)]
        return found + [key for key in KEYS if key not in found and self.file_off(key) and self.in_force is not False]


def uses_metadata(state: SchedulerState, wanted: Wanted) -> bool:
    return wanted.method == "metadata" or (wanted.method == "auto" and not state.away)


def uses_file(state: SchedulerState, wanted: Wanted) -> bool:
    """To turn it off, where the API does not answer; to turn it on, wherever the file keeps it off."""
    if state.options is None or wanted.method == "metadata":
        return False
    return wanted.method == "startup_options" or bool(state.away) or not wanted.off


def plan(state: SchedulerState, wanted: Wanted) -> List[Change]:
    changes = [*_metadata_change(state, wanted), *_file_change(state, wanted)]
    return [*changes, *_restart_change(state, wanted, changes), *_stops(state, wanted)]


def _metadata_change(state: SchedulerState, wanted: Wanted) -> List[Change]:
    if not uses_metadata(state, wanted) or state.metadata_off(wanted.key) == wanted.off:
        return []
    if wanted.off and wanted.method == "auto" and state.file_off(wanted.key) and state.in_force:
        return []  # an earlier run found no API, and its file is known to do it
    before = switch(state.entity, wanted.key)
    memory = state.memory.get(state.metadata_subject, Memory())
    after = turned_off(state.entity, wanted.key) if wanted.off else turned_on(state.entity or {}, wanted.key, memory.before)
    return [_switch_change(state.metadata_subject, before, after, wanted)]


def _switch_change(subject: str, before: Optional[Image], after: Optional[Image], wanted: Wanted) -> Change:
    action, reason = ("disable", "pipes are not to start by themselves") if wanted.off else ("enable", "pipes may start by themselves again")
    return Change(action, subject, before, after, reason)


def file_after(state: SchedulerState, wanted: Wanted) -> Optional[bytes]:
    """The file as it is to be; None where there is to be none."""
    options = state.options
    if options is None:
        return None
    document = options.document
    if wanted.off:
        return text_of(switched(document, wanted.key, turned_off(document, wanted.key, options.path), options.path))
    memory = state.memory.get(state.file_subject, Memory())
    made_here = memory.ours and memory.before is None
    remembered = {"task_manager": False, "set": False, "value": None} if made_here else memory.before
    left = switched(document, wanted.key, turned_on(document, wanted.key, remembered, options.path), options.path)
    return None if made_here and not left else text_of(left)


def _file_change(state: SchedulerState, wanted: Wanted) -> List[Change]:
    if not uses_file(state, wanted) or state.options is None or state.file_off(wanted.key) == wanted.off:
        return []
    data = file_after(state, wanted)
    after = image_of(data, Options("", data).document, wanted.key)
    return [_switch_change(state.file_subject, state.options.image(wanted.key), after, wanted)]


def options_name(image: Optional[Mapping[str, Any]]) -> str:
    """What a node that was started now would have read."""
    return ABSENT if image is None else str(image["file"])


def _restart_change(state: SchedulerState, wanted: Wanted, changes: Sequence[Change]) -> List[Change]:
    """Where the file is about to change, or has changed since the node was started."""
    if not uses_file(state, wanted) or not wanted.restart or state.options is None:
        return []
    now = options_name(state.options.image(wanted.key))
    written = next((change for change in changes if change.subject == state.file_subject), None)
    if written is None and state.in_force is not False:
        return []
    before, after = (now, options_name(written.after)) if written is not None else ("older than the file", now)
    path = state.options.path
    reason = "the node reads the file when it starts, and at no other time"
    return [Change("restart", RESTART + state.container, {"path": path, "options": before}, {"path": path, "options": after}, reason)]


def _stops(state: SchedulerState, wanted: Wanted) -> List[Change]:
    """Irreversible: what a run had not done yet, its next one does."""
    if not wanted.off or wanted.running != "stop" or state.away or uses_file(state, wanted):
        return []
    reason = "it runs now, and a scheduler that is off does not stop it"
    return [Change("stop", PUMP + pump.id, {"running": True}, {"running": False}, reason, False) for pump in state.running if pump.stoppable]


def guards(state: SchedulerState, wanted: Wanted, planned: Sequence[Change]) -> List[Refusal]:
    found: List[Refusal] = []
    subjects = {change.subject for change in planned}
    if not wanted.off and not wanted.take_over:
        found += _foreign(state, subjects)
    if state.options is not None and state.file_subject in subjects and state.options.unwritable:
        found.append(Refusal("rights", state.options.unwritable, "run it as root, or as the node's user."))
    return found + _cut_off(state, wanted, planned)


def _cut_off(state: SchedulerState, wanted: Wanted, planned: Sequence[Change]) -> List[Refusal]:
    """A node that works is restarted only so that it forgets a file. Who names the file as the method has chosen the restart."""
    restarts = any(change.subject.startswith(RESTART) for change in planned)
    if not restarts or wanted.off or wanted.method != "auto" or state.away or not state.running:
        return []
    names = ", ".join(pump.id for pump in state.running[:5])
    reason = "the node is restarted so that it reads its file anew, which would cut off %d runs of pipes: %s." % (len(state.running), names)
    return [Refusal("running_pipes", reason, "wait for their end; or restart: false, and restart it when it suits.")]


def _foreign(state: SchedulerState, subjects: Set[str]) -> List[Refusal]:
    found = []
    for subject in (state.metadata_subject, state.file_subject):
        if subject in subjects and not state.memory.get(subject, Memory()).ours:
            reason = "%s turns the scheduler off, and no run in this journal set that: somebody else may need it." % subject
            found.append(Refusal("foreign", reason, "ask who set it, then pass take_over: true."))
    return found


def told(state: SchedulerState) -> Dict[str, Any]:
    """For a result."""
    keys = state.off_by()
    metadata = None if state.away else {"via": state.via, **{key: _value(switch(state.entity, key)) for key in KEYS}}
    options = None
    if state.options is not None:
        own = {key: _value(switch(state.options.document, key, state.options.path)) for key in KEYS}
        options = {"path": state.options.path, "exists": state.options.data is not None, "in_force": state.in_force, **own}
    unknown = bool(state.away) and not keys
    return {"state": "unknown" if unknown else "disabled" if keys else "enabled", "stopped_by": keys, "metadata": metadata, "startup_options": options}


def _value(image: Image) -> Any:
    return image["value"] if image["set"] else None
