# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The profiler of all API calls: on or off, what it has written, what would be done, and what speaks against it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..procedure.envelope import Change, Finding, Image, Remedy
from ..procedure.errors import Refusal
from .profiler_config import OPTION

SUBJECT = "container:"
FILES = "folder:"
RUNBOOK = ("sesam.rst", "Profiling all Sesam API calls")
OFF: Image = {"profiler": False}
SMALLEST = 1 << 20
LARGEST = 1 << 34
_MARGIN = 16 << 20
_NEARLY = 0.8
_LISTED = 5
_OWNER = "take %s out of the compose file (or whatever makes the container) and make it anew, then remove the one that was put aside" % OPTION


@dataclass(frozen=True)
class Usage:
    """What a folder of profiles holds; ``size`` is its bound, None where there is none."""

    files: int
    used: int
    size: Optional[int] = None
    complete: bool = True


@dataclass(frozen=True)
class Recording:
    """What was recorded, and where it is."""

    seconds: float
    folder: str
    files: Sequence[Mapping[str, Any]] = ()
    stopped: str = ""
    """Why it was stopped before its time."""
    left_out: int = 0


@dataclass(frozen=True)
class ProfilerState:
    """``situation`` is off, on, foreign (in the owner's own command), or half (a run was cut off)."""

    name: str
    situation: str
    running: bool = True
    stale: str = ""
    """Name of a container that was put aside and is of no use any more."""
    kept: str = ""
    bound: Optional[int] = None
    memory_only: Optional[Usage] = None
    """The bounded folder, while the profiler is on."""
    disk: Optional[Usage] = None
    """What lies in the log folder itself."""
    folder: str = ""
    unfaithful: Sequence[str] = ()
    lost: Sequence[str] = ()
    """Folders that lie in the container itself."""
    available: Optional[int] = None
    """Bytes of memory that the machine has left."""
    limit: int = 0
    """Bytes of memory that the container may use, 0 for any."""
    active: Optional[Sequence[str]] = None
    """Pipes that run; None where that is not known."""
    started: Optional[str] = None
    rights: bool = True
    recording: Optional[Recording] = None
    swept: Optional[Recording] = None
    """What was moved away from the disk."""


@dataclass(frozen=True)
class Wish:
    """What is asked for."""

    state: str
    max_bytes: int
    duration: float = 60.0
    recreate: bool = False
    interrupt_pipes: bool = False
    sweep: bool = False

    @property
    def size(self) -> int:
        """Bytes of the file system. A recording ends before it is full: a full one may disturb the calls themselves."""
        return self.max_bytes + max(_MARGIN, self.max_bytes // 4) if self.state == "recorded" else self.max_bytes


def on(bound: Optional[int]) -> Image:
    return {"profiler": True, "max_bytes": bound}


def plan(state: ProfilerState, wish: Wish) -> List[Change]:
    return [*_switches(state, wish), *_sweeps(state, wish)]


def _sweeps(state: ProfilerState, wish: Wish) -> List[Change]:
    """Not while something without a bound writes there."""
    written = state.situation == "foreign" and not (wish.state == "disabled" and wish.recreate)
    if not wish.sweep or written or state.swept is not None or state.disk is None or not state.disk.files:
        return []
    reason = "the node never removes what its profiler wrote to disk; it is moved to a private folder"
    return [Change("sweep", FILES + state.folder, {"swept": False}, {"swept": True}, reason, reversible=False)]


def _switches(state: ProfilerState, wish: Wish) -> List[Change]:
    subject = SUBJECT + state.name
    is_off = state.situation in ("off", "half")
    if state.recording is not None:
        return []
    enable = Change("enable", subject, OFF, on(wish.size), "to record the API calls of the node; it is restarted with %s" % OPTION)
    if wish.state == "enabled":
        return [enable] if is_off else []
    if wish.state == "recorded":
        off = Change("disable", subject, on(wish.size if is_off else state.bound), OFF, "the calls are recorded; the node is restarted without it", False)
        return [] if state.situation == "foreign" else ([enable, off] if is_off else [off])
    if state.situation == "off" or (state.situation == "foreign" and not wish.recreate):
        return []
    return [Change("disable", subject, on(state.bound), OFF, "the calls are recorded; the node is restarted without %s" % OPTION)]


def guards(state: ProfilerState, plan: Sequence[Change], wish: Wish) -> List[Refusal]:
    found = []
    if state.situation == "foreign" and not (wish.state == "disabled" and wish.recreate):
        reason = "%s stands in the command that the owner of container %s gave it, and nothing bounds what it writes." % (OPTION, state.name)
        allow = "take it out of the compose file (or whatever makes the container) and make it anew; or state: disabled with recreate: true, "
        found.append(Refusal("foreign", reason, allow + "which lasts until the owner makes it anew."))
    if wish.state == "enabled" and state.situation == "on" and state.bound != wish.size:
        reason = "the profiler is on already, with a bound of %s bytes." % state.bound
        found.append(Refusal("bound", reason, "switch it off first: state: disabled; or pass max_bytes: %s." % state.bound))
    if not any(change.action != "sweep" for change in plan):
        return found
    if state.unfaithful:
        reason = "container %s cannot be replaced by one like it: %s." % (state.name, "; ".join(state.unfaithful))
        found.append(Refusal("container", reason, "nothing here; whoever makes the container can add %s to its command." % OPTION))
    if state.lost:
        reason = "these folders of the node lie in container %s itself, on no mount: %s. A new container would find them empty." % (
            state.name,
            ", ".join(state.lost),
        )
        found.append(Refusal("folders", reason, "give them a mount first, or profile single calls with fieldops.runbooks.sesam_profile."))
    if not state.rights:
        found.append(Refusal("rights", "the bounded folder can only be read by root.", "become: true."))
    found += _memory(state, plan, wish)
    return found + _life(state, wish)


def _memory(state: ProfilerState, plan: Sequence[Change], wish: Wish) -> List[Refusal]:
    if not any(change.action == "enable" for change in plan):
        return []
    if state.available is not None and state.available < 2 * wish.size:
        reason = "the profiles are kept in memory, up to %d bytes, and the machine has %d left." % (wish.size, state.available)
        return [Refusal("memory", reason, "pass a max_bytes of %d at most." % max(0, state.available // 3))]
    if state.limit and wish.size > state.limit // 4:
        reason = "the profiles count as memory of container %s, which may use %d bytes: with %d of them the node might be killed." % (
            state.name,
            state.limit,
            wish.size,
        )
        return [Refusal("memory", reason, "pass a max_bytes of %d at most." % (state.limit // 8))]
    return []


def _life(state: ProfilerState, wish: Wish) -> List[Refusal]:
    if state.situation == "half":  # the node is down, or about to be mended
        return []
    if not state.running:
        return [Refusal("stopped", "container %s does not run." % state.name, "start it first, and find out why it does not.")]
    if wish.interrupt_pipes or (state.active is not None and not state.active):
        return []
    if state.active is None:
        reason = "the node is restarted, and its API does not tell whether pipes run."
        return [Refusal("pipes", reason, "let the API answer (jwt), or accept that their runs are cut off: interrupt_pipes: true.")]
    reason = "the node is restarted, which would cut off %d runs of pipes: %s." % (len(state.active), ", ".join(list(state.active)[:_LISTED]))
    return [Refusal("pipes", reason, "wait for their end, or accept that they are cut off: interrupt_pipes: true.")]


def diagnose(state: ProfilerState) -> List[Finding]:
    found = [_main(state)]
    usage = state.memory_only
    if usage is not None and usage.size and usage.used >= usage.size * _NEARLY:
        full = usage.used >= usage.size
        text = "the bounded folder of profiles is %s: %d of %d bytes" % ("full" if full else "nearly full", usage.used, usage.size)
        remedy = Remedy("fieldops.runbooks.sesam_api_profiler with state: disabled: once it is full, profiles are lost, and the calls themselves may fail")
        found.append(Finding("sesam.profiler.full", "critical" if full else "warning", state.name, text, _usage(usage), remedy, RUNBOOK))
    if state.disk is not None and state.disk.files:
        text = "%s on disk holds %d files, %d bytes: the node never removes them" % (state.folder, state.disk.files, state.disk.used)
        remedy = Remedy("fieldops.runbooks.sesam_api_profiler with state: disabled and sweep: true, which moves them to a private folder")
        severity = "info" if state.disk.used < 1 << 30 else "warning"
        found.append(Finding("sesam.profiler.left_files", severity, state.name, text, _usage(state.disk), remedy, RUNBOOK))
    if state.stale:
        text = "container %s was put aside for the profiler and is of no use any more, since %s was made anew" % (state.stale, state.name)
        found.append(Finding("sesam.profiler.left_container", "warning", state.name, text, {}, Remedy("docker rm %s" % state.stale), RUNBOOK))
    if state.recording is not None:
        rec = state.recording
        text = "API calls were recorded for %.0f s: %d files in %s%s" % (rec.seconds, len(rec.files), rec.folder, "; %s" % rec.stopped if rec.stopped else "")
        severity = "warning" if rec.left_out or (rec.stopped and not rec.files) else "info"
        detail = {"files": len(rec.files), "left_out": rec.left_out, "stopped": rec.stopped}
        found.append(Finding("sesam.profiler.recorded", severity, state.name, text, detail, None, RUNBOOK))
    return found


def _main(state: ProfilerState) -> Finding:
    off = Remedy("fieldops.runbooks.sesam_api_profiler with state: disabled")
    if state.situation == "half":
        text = "a run of this module was cut off while container %s was being replaced" % state.name
        return Finding("sesam.profiler.half", "critical", state.name, text, {"kept": state.kept}, off, RUNBOOK)
    if state.situation == "foreign":
        text = "the profiler of all API calls is on by the owner's command of container %s, and nothing bounds what it writes to disk" % state.name
        remedy = Remedy("take %s out of the compose file; until then fieldops.runbooks.sesam_api_profiler with state: disabled and recreate: true" % OPTION)
        return Finding("sesam.profiler.unbounded", "critical", state.name, text, {}, remedy, RUNBOOK)
    if state.situation == "on":
        text = "the profiler of all API calls is on in container %s, with a bound of %s bytes in memory" % (state.name, state.bound)
        return Finding("sesam.profiler.on", "warning", state.name, text, {"kept": state.kept, "bound": state.bound}, off, RUNBOOK)
    text = "the profiler of all API calls is off in container %s" % state.name
    if state.kept and not state.stale:
        text += "; the owner's own container, with the option, is put aside as %s" % state.kept
        return Finding("sesam.profiler.replaced", "warning", state.name, text, {"kept": state.kept}, Remedy(_OWNER), RUNBOOK)
    return Finding("sesam.profiler.off", "ok", state.name, text, {}, None, RUNBOOK)


def _usage(usage: Usage) -> Dict[str, Any]:
    return {"files": usage.files, "used": usage.used, "size": usage.size, "complete": usage.complete}


def facts(state: ProfilerState) -> Dict[str, Any]:
    return {
        "profiler": {
            "state": state.situation,
            "container": state.name,
            "kept": state.kept or None,
            "max_bytes": state.bound,
            "used": _usage(state.memory_only) if state.memory_only else None,
            "on_disk": _usage(state.disk) if state.disk else None,
            "folder": state.folder or None,
        },
        "recording": _recording(state.recording),
        "swept": _recording(state.swept),
    }


def _recording(rec: Optional[Recording]) -> Optional[Dict[str, Any]]:
    if rec is None:
        return None
    return {"seconds": round(rec.seconds, 3), "folder": rec.folder, "files": list(rec.files), "stopped": rec.stopped, "left_out": rec.left_out}
