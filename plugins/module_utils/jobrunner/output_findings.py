# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person is told about files of level 4. Pure."""

from __future__ import annotations

import time
from typing import Any, Dict, Iterator, List, Sequence

from ..procedure.envelope import Finding, Remedy
from .output_state import SOURCE, Output, OutputState, Producer, Spot

RUNBOOK = ("opensafely-jobrunner.md", "Removing a Level 4 file")
RUNBOOK_TPP = ("opensafely-jobrunner.md", "Removing a Level 4 file from TPP")
RUNBOOK_SYNC = ("opensafely-jobrunner.md", "Level 3 file sync")
_PLAYBOOK = "fieldops.runbooks.jobrunner_level4_remove"
_PREFIX = "jobrunner.output."


def diagnose(state: OutputState) -> List[Finding]:
    found = [finding for output in state.outputs for finding in _of_file(state, output)]
    return found + list(_of_places(state))


def told(state: OutputState, output: Output) -> Dict[str, Any]:
    """One file as the module returns it."""
    return {
        "file": output.name,
        "present": [spot.full for spot in output.present],
        "quarantined": [copy.path for copy in output.removals if not copy.purged],
        "removals": len(output.removals),
        "last_removed": _time(max((copy.at for copy in output.removals), default=0.0)),
        "original": "%s/%s" % (state.wanted.high, state.wanted.path(output.name)) if output.original is not None else None,
        "producers": [each.to_dict() for each in output.producers],
        "manifest_entry": dict(output.entry) if output.entry is not None else None,
        "level4_path": state.wanted.on_level4(output.name) or None,
    }


def _of_file(state: OutputState, output: Output) -> Iterator[Finding]:
    path = state.wanted.path(output.name)
    for spot in output.present:
        yield _present(state, output, spot)
    for spot in output.spots:
        if spot.copies:
            yield from _removed(state, output, spot)
        if spot.unfinished:
            yield _unfinished(state, spot)
    known = bool(output.present or output.removals)
    if not known:
        yield _absent(state, output)
    if known and output.original is not None:
        yield _original(state, output)
    if known and state.wanted.level4:
        yield _level4(state, output)
    if output.note:
        summary = "next to it lies %s.txt: if job-runner wrote it, it says why the file itself was never copied to level 4" % path
        yield Finding(_PREFIX + "note", "info", path, summary, {"note": path + ".txt"}, None, RUNBOOK)
    if output.entry is not None and not output.present:
        yield _entry(state, output)


def _present(state: OutputState, output: Output, spot: Spot) -> Finding:
    size = spot.found.size if spot.found else 0
    summary = "%s is there (%d bytes)" % (spot.full, size)
    if spot.root.kind == SOURCE:
        summary += ", and the level 3 sync copies it to level 4"
    remedy = Remedy("remove it", _PLAYBOOK, {"jobrunner_workspace": state.wanted.workspace, "jobrunner_output_files": [output.name]})
    return Finding(_PREFIX + "present", "warning", spot.full, summary, {"path": spot.full, "size": size}, remedy, RUNBOOK)


def _removed(state: OutputState, output: Output, spot: Spot) -> Iterator[Finding]:
    last = spot.copies[-1]
    kept = [copy.path for copy in spot.copies if not copy.purged]
    detail = {"removals": len(spot.copies), "last_removed": _time(last.at), "quarantined": kept}
    if spot.found or len(spot.copies) > 1:
        now = "it is there again" if spot.found else "it has come back before"
        summary = "%s was removed %s, last on %s, and %s: %s" % (spot.full, _times(len(spot.copies)), _time(last.at), now, _cause(output, spot))
        remedy = Remedy("end what brings it back, then remove it again: change its privacy level in project.yaml, or remove it from the sync source")
        yield Finding(_PREFIX + "came_back", "warning", spot.full, summary, detail, remedy, RUNBOOK)
    if not spot.found:
        where = "its copy is kept in %s" % kept[-1] if kept else "its copy was deleted for good"
        yield Finding(_PREFIX + "removed", "ok", spot.full, "%s was removed on %s; %s" % (spot.full, _time(last.at), where), detail, None, RUNBOOK)


def _cause(output: Output, spot: Spot) -> str:
    if spot.root.kind == SOURCE:
        return "somebody put it there on the Windows side"
    sources = [each.full for each in output.spots if each.root.kind == SOURCE and (each.found or each.copies)]
    if sources:
        return "the level 3 sync brings it from %s" % ", ".join(sources)
    if output.original is not None and output.stays_high:
        return "its original is highly_sensitive now, so an earlier run or somebody copied it"
    if output.original is not None:
        return "%s copies it from level 3" % _who(output.producers)
    return "neither a sync source nor level 3 has it now, so somebody copied it"


def _who(producers: Sequence[Producer]) -> str:
    if not producers:
        return "each run of the action that makes it"
    first = producers[0]
    return "each run of action %s (last made by job %s)" % (first.action, first.job_id)


def _unfinished(state: OutputState, spot: Spot) -> Finding:
    folder = spot.path.rpartition("/")[0]
    names = ["%s/%s" % (folder, name) for name in spot.unfinished]
    within = [name[len(state.wanted.workspace) + 1 :] for name in names]
    summary = "%s has copies of it under the temporary names of rsync, job-runner or an undo, at work or left behind: %s" % (spot.root.path, ", ".join(names))
    remedy = Remedy(
        "if they are still there in a minute, nothing is writing them any more: remove them by these names",
        _PLAYBOOK,
        {"jobrunner_workspace": state.wanted.workspace, "jobrunner_output_files": within},
    )
    return Finding(_PREFIX + "unfinished", "warning", spot.full, summary, {"names": names}, remedy, RUNBOOK)


def _absent(state: OutputState, output: Output) -> Finding:
    path = state.wanted.path(output.name)
    if output.original is not None:
        summary = "%s is not at level 4 and was never removed by this; its original is at level 3" % path
        return Finding(_PREFIX + "absent", "info", path, summary, {}, None, RUNBOOK)
    summary = "%s is neither at level 4 nor at level 3, and was never removed by this: is the name right?" % path
    if set(output.name) & set("*?["):
        summary += " Characters like * stand for themselves."
    remedy = Remedy("it may have been meant for %s" % " or ".join(output.alike)) if output.alike else None
    return Finding(_PREFIX + "unknown", "warning", path, summary, {"alike": list(output.alike)}, remedy, RUNBOOK)


def _original(state: OutputState, output: Output) -> Finding:
    full = "%s/%s" % (state.wanted.high, state.wanted.path(output.name))
    detail = {"original": full, "size": output.original, "level": output.level, "producers": [each.to_dict() for each in output.producers]}
    if output.stays_high:
        since = " since job %s" % output.producers[0].job_id if output.producers and not output.producers[0].active else ""
        summary = "the original %s stays; it is highly_sensitive%s, so no run copies it to level 4 while project.yaml says so" % (full, since)
        return Finding(_PREFIX + "original", "info", full, summary, detail, None, RUNBOOK)
    active = [each for each in output.producers if each.active]
    remedy = Remedy("have the researcher change its privacy level to highly_sensitive in project.yaml, if it should not be at level 4 at all")
    if active:
        jobs = ", ".join("%s (%s, %s)" % (each.job_id, each.action, each.code) for each in active)
        summary = "the original %s stays, and a job that makes it is under way and will copy it again: %s" % (full, jobs)
        return Finding(_PREFIX + "original", "warning", full, summary, detail, remedy, RUNBOOK)
    summary = "the original %s stays, and %s copies it to level 4 again" % (full, _who(output.producers))
    return Finding(_PREFIX + "original", "info", full, summary, detail, remedy, RUNBOOK)


def _level4(state: OutputState, output: Output) -> Finding:
    path = state.wanted.on_level4(output.name)
    when = "once it is removed here, " if output.present else ""
    summary = "%sdelete %s on the level 4 server by hand, for good (SHIFT+DEL): what was copied there is never taken away by the copying" % (when, path)
    remedy = Remedy("log in to level 4, browse to %s, and delete %s with SHIFT+DEL" % tuple(path.rsplit("\\", 1)))
    return Finding(_PREFIX + "level4", "warning", path, summary, {"path": path}, remedy, RUNBOOK_TPP)


def _entry(state: OutputState, output: Output) -> Finding:
    entry = output.entry or {}
    summary = "%s still lists %s, so Airlock may show a file that is not there" % (state.manifest.path, output.name)
    detail = {key: entry.get(key) for key in ("level", "job_id", "action", "excluded")}
    variables = {"jobrunner_workspace": state.wanted.workspace, "jobrunner_output_files": [output.name], "jobrunner_manifest_entry": "drop"}
    remedy = Remedy("drop the entry, if it should not be seen either", _PLAYBOOK, variables)
    return Finding(_PREFIX + "manifest_entry", "info", state.wanted.path(output.name), summary, detail, remedy, RUNBOOK)


def _of_places(state: OutputState) -> Iterator[Finding]:
    for path, why in state.away:
        summary = "%s cannot be looked into (%s): a file that lies there comes back when it can" % (path, why)
        remedy = Remedy("have it mounted and run this again; where there is none, set sync_sources to an empty list")
        yield Finding(_PREFIX + "source_away", "warning", path, summary, {"path": path, "reason": why}, remedy, RUNBOOK_SYNC)
    if state.manifest.trouble:
        summary = "%s cannot be used: %s" % (state.manifest.path, state.manifest.trouble)
        yield Finding(_PREFIX + "manifest", "warning", state.manifest.path, summary, {}, Remedy("ask the developers of job-runner; it must stay"), RUNBOOK)
    if state.jobs_unknown:
        summary = "which job makes the files is not known: %s" % state.jobs_unknown
        yield Finding(_PREFIX + "jobs_unknown", "info", state.wanted.workspace, summary, {"reason": state.jobs_unknown}, None, RUNBOOK)


def _time(at: float) -> Any:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) if at else None


def _times(count: int) -> str:
    return "once" if count == 1 else "%d times" % count
