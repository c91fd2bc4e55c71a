# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler of a node: what stops it, by the metadata and by startup_options.json, and what of that the running node has read. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from .metadata import KEYS, SECTION
from .state import NodeState, StartupOptions

METADATA, FILE = "metadata", "startup_options"
_SLACK = 2.0
"""Seconds by which a file's time and a start time may be told apart wrongly."""


@dataclass(frozen=True)
class Scheduler:
    """``enabled`` is None where it is not known. Off without anything that stops it: what stopped it when the node started has gone since."""

    enabled: Optional[bool]
    stopped_by: Tuple[str, ...] = ()
    after_restart: Optional[bool] = None
    """Whether it would run if the node were started now."""
    file_read: Optional[bool] = None
    """Whether the running node has read startup_options.json as it is now; None where there is none, or the start is not known."""

    @property
    def pending(self) -> bool:
        """A restart would change it."""
        return self.enabled is not None and self.after_restart is not None and self.enabled != self.after_restart

    def to_dict(self, state: NodeState) -> Dict[str, Any]:
        options = state.host.options
        return {
            "enabled": self.enabled,
            "stopped_by": list(self.stopped_by),
            "after_restart": self.after_restart,
            "metadata": None if state.api.metadata is None else switches(state.api.metadata),
            "startup_options": None if options is None else _file(options, self.file_read, state.now),
        }


def _file(options: StartupOptions, read: Optional[bool], now: float) -> Dict[str, Any]:
    age = None if options.written is None else round(now - options.written, 1)
    return {"path": options.path, "exists": options.exists, "age": age, "switches": dict(options.switches), "read": read, "problem": options.problem}


def switches(document: Mapping[str, Any]) -> Dict[str, Any]:
    """The switches that are known, as they are set; nothing else of the document."""
    section = document.get(SECTION)
    return {key: section[key] for key in KEYS if key in section} if isinstance(section, Mapping) else {}


def stops(found: Mapping[str, Any]) -> bool:
    return any(value is True for value in found.values())


def scheduler(state: NodeState) -> Scheduler:
    """Metadata count at once, the file as it was when the node started."""
    metadata, options = state.api.metadata, state.host.options
    by_metadata = None if metadata is None else stops(switches(metadata))
    read = file_read(options, state.started)
    by_file = _by_file(options, read)
    stopped = tuple(name for name, how in ((METADATA, by_metadata), (FILE, by_file)) if how)
    known = by_metadata is not None and by_file is not None
    return Scheduler(False if stopped or state.api.left_out else True if known else None, stopped, _after_restart(by_metadata, options), read)


def file_read(options: Optional[StartupOptions], started: Optional[float]) -> Optional[bool]:
    """A file that is newer than the start was not read as it is now."""
    if options is None or not options.exists or options.written is None or started is None:
        return None
    return options.written <= started + _SLACK


def _by_file(options: Optional[StartupOptions], read: Optional[bool]) -> Optional[bool]:
    """Whether the running node was told by the file. What it was told by one that has been changed since, or that it may not understand, is not known."""
    if options is None or options.problem:
        return None
    if not options.exists:
        return False
    return stops(options.switches) if read else None


def _after_restart(by_metadata: Optional[bool], options: Optional[StartupOptions]) -> Optional[bool]:
    by_file = None if options is None or options.problem else stops(options.switches)
    if by_metadata or by_file:
        return False
    return True if by_metadata is not None and by_file is not None else None
