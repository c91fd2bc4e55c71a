# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing files from level 4: the plan, made from what was seen, and what carries it out."""

from __future__ import annotations

import os
from typing import Any, Iterator, List, Mapping, Sequence

from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Image, Outcome
from ..procedure.errors import Refusal
from .errors import JobRunnerError
from .manifest import read_manifest
from .output_act import carry_out
from .output_findings import diagnose, told
from .output_jobs import producers_of
from .output_look import observe
from .output_quarantine import Quarantine, copy_name
from .output_state import Copy, Output, OutputState, Spot, Wanted, checked_files, checked_quarantine, checked_roots, checked_workspace
from .place import Place

_REFUSALS = 20


class OutputRemove(Procedure[OutputState]):
    """Takes files out of level 4, and out of what would bring them back."""

    name = "jobrunner_output_remove"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.place = Place.of(params)
        self.wanted = wanted_of(params, self.place)
        self.quarantine = Quarantine(self.wanted.quarantine)

    def observe(self) -> OutputState:
        wanted = self.wanted
        manifest = read_manifest(wanted.medium, wanted.workspace)
        actions = {name: str(entry.get("action") or "") for name, entry in manifest.outputs.items() if isinstance(entry, dict)}
        producers, unknown = producers_of(self.place, wanted.workspace, wanted.files, actions)
        return observe(wanted, manifest, producers, unknown)

    def diagnose(self, state: OutputState) -> List[Finding]:
        return diagnose(state)

    def plan(self, state: OutputState) -> List[Change]:
        return plan(state)

    def guards(self, state: OutputState, plan: Sequence[Change]) -> List[Refusal]:
        return guards(state, plan)

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [carry_out(self.quarantine, change) for change in changes]

    def facts(self, state: OutputState) -> Mapping[str, Any]:
        return {"files": [told(state, output) for output in state.outputs]}

    def evidence(self, state: OutputState) -> Mapping[str, Any]:
        return {
            "places": [root.path for root in state.wanted.roots],
            "unreachable": [path for path, _why in state.away],
            "originals": state.wanted.high,
            "quarantine": state.wanted.quarantine,
            "manifest": state.manifest.path if state.manifest.document is not None else None,
        }

    def context(self) -> Mapping[str, Any]:
        return {"quarantine": self.wanted.quarantine, "workspace": self.wanted.workspace}


def wanted_of(params: Mapping[str, Any], place: Place) -> Wanted:
    """Everything that can be refused without looking is refused here."""
    roots = checked_roots(place.medium, params["sync_sources"])
    if not os.path.isabs(place.high):
        raise JobRunnerError("high_privacy_base must be an absolute path, not %r" % place.high)
    return Wanted(
        workspace=checked_workspace(params["workspace"]),
        files=checked_files(params["files"]),
        roots=roots,
        high=os.path.normpath(os.path.join(place.high, "workspaces")),
        quarantine=checked_quarantine(params["quarantine_dir"] or os.path.join(place.high, "quarantine"), roots),
        drop_entry=params["manifest_entry"] == "drop",
        purge=params["purge"],
        level4=params["level4_path"],
    )


# -- the plan ------------------------------------------------------------------------------------------------------------


def plan(state: OutputState) -> List[Change]:
    return [change for output in state.outputs for change in _changes(state, output)]


def _changes(state: OutputState, output: Output) -> Iterator[Change]:
    wanted = state.wanted
    yield from (_finish(spot, copy) for spot in output.spots for copy in spot.copies if copy.unfinished)
    yield from (_removal(wanted, spot) for spot in output.present)
    if wanted.drop_entry and output.entry is not None:
        yield _drop(state, output)
    if wanted.purge:
        for spot in output.spots:
            yield from (_purge(spot, copy) for copy in _kept(wanted, spot))


def _kept(wanted: Wanted, spot: Spot) -> Iterator[Copy]:
    """Copies in quarantine, with the one that this run leaves."""
    yield from (copy for copy in spot.copies if not copy.purged)
    if spot.found:
        full = Quarantine(wanted.quarantine).full(spot.root.path, spot.path, copy_name(spot.free))
        yield Copy(spot.free, copy_name(spot.free), full, spot.found.size, 0.0, sha256=spot.found.sha256)


def _finish(spot: Spot, copy: Copy) -> Change:
    where: Image = {"root": spot.root.path, "path": spot.path, "copy": copy.path}
    reason = "a run that was killed removed the file, and did not come to give its copy the final name"
    return Change("finish", copy.path, dict(where, name=copy.name), dict(where, name=os.path.basename(copy.path)), reason)


def _removal(wanted: Wanted, spot: Spot) -> Change:
    found = spot.found
    if found is None:
        raise ValueError("nothing is at %s" % spot.path)
    where: Image = {"root": spot.root.path, "path": spot.path}
    copy = Quarantine(wanted.quarantine).full(spot.root.path, spot.path, copy_name(spot.free))
    reasons = {"medium": "it is to go from level 4", "sync source": "the level 3 sync would bring it back from here"}
    after = dict(where, quarantine=copy, size=found.size, sha256=found.sha256)
    return Change("remove", spot.full, dict(where, **found.image()), after, reasons[spot.root.kind], token=found.version)


def _drop(state: OutputState, output: Output) -> Change:
    where: Image = {"root": state.wanted.medium, "workspace": state.wanted.workspace, "file": output.name}
    subject = "%s: outputs/%s" % (state.manifest.path, output.name)
    before = dict(where, entry=dict(output.entry or {}))
    return Change("drop_entry", subject, before, dict(where, entry=None), "the file is gone from level 4, and its entry was asked to go as well")


def _purge(spot: Spot, copy: Copy) -> Change:
    before: Image = {"root": spot.root.path, "path": spot.path, "quarantine": copy.path, "size": copy.size, "sha256": copy.sha256}
    loss = "the quarantined copy %d of %s from %s (%d bytes, sha256 %s)" % (copy.number, spot.path, spot.root.path, copy.size, copy.sha256[:12])
    return Change("purge", copy.path, before, None, "quarantined copies were asked to be deleted for good", reversible=False, data_loss=loss, token=copy.name)


def guards(state: OutputState, plan: Sequence[Change]) -> List[Refusal]:
    obstacles = [spot.obstacle for output in state.outputs for spot in output.spots if spot.obstacle]
    refusals = [Refusal(obstacle.guard, obstacle.reason, obstacle.allow) for obstacle in obstacles[:_REFUSALS]]
    if state.wanted.drop_entry and state.manifest.trouble:
        reason = "%s cannot be used: %s." % (state.manifest.path, state.manifest.trouble)
        refusals.append(Refusal("manifest", reason, "mend it, or leave it alone with manifest_entry: keep."))
    if state.quarantine_trouble and any(change.action != "drop_entry" for change in plan):
        reason = "%s cannot be used: %s." % (state.wanted.quarantine, state.quarantine_trouble)
        refusals.append(Refusal("quarantine", reason, "mend that, or pass another quarantine_dir."))
    return refusals
