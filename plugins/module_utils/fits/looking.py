# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking for files on this node: the likely places of each, then one search of the tree for those that are in none, then who can read them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from ..connect.command import Account
from ..connect.tree import Outcome
from .enqueue import stem
from .filestate import DHS, STORAGE, VISITOR, FileState, Place
from .reading import spellings
from .treesearch import Limits, search_storage
from .whereabouts import Area, can_try, directories, try_reading


class Look:
    """The areas of one module run."""

    def __init__(self, params: Mapping[str, Any], user: Account, hints: Sequence[str]) -> None:
        self.user = user
        self.hints = hints
        self.storage = Area(STORAGE, params["storage_root"], user)
        # Nothing is copied to the archive, other than by export.
        sources = [] if params["site"] == "archive" else [(DHS, params["dhs_dir"])] + [(VISITOR, each) for each in params["visitor_dirs"]]
        self.areas = [self.storage] + [Area(kind, root, user) for kind, root in sources if root]
        self.blind = self.storage.reason_unseen()
        self.disk_seen = not self.blind
        if self.blind and params["site"] == "archive":
            self.blind = ""

    def at_likely_places(self, files: Sequence[FileState]) -> List[FileState]:
        found = [replace(state, places=self._places(state), disk_seen=self.disk_seen) for state in files]
        sources = [reason for reason in (area.reason_unseen() or area.denied for area in self.areas[1:]) if reason]
        found = [replace(state, blind=self._blind(state), sources_unseen=sources[0] if sources else "") for state in found]
        more = [reason for area in self.areas for reason in area.unseen.values()]
        unknown = tuple(dict.fromkeys([self.blind] * bool(self.blind) + sources + more))
        return [state if state.good else replace(state, unknown=unknown) for state in found]

    def _blind(self, state: FileState) -> str:
        """What kept this file from being seen: for one that the database has, only what lies on the way to it."""
        good = state.good
        return self.blind or (self.storage.reason(good.path) if good else self.storage.denied)

    def _places(self, state: FileState) -> Tuple[Place, ...]:
        known = [row.path for row in state.diskfiles] + [(judged.row.path or "").strip("/") for judged in state.ingest + state.export]
        inside = [path for path in known if ".." not in path.split("/")]
        found = []
        for area in self.areas:
            if area is self.storage and not self.disk_seen:
                continue
            for path in directories(area.kind, state.name, [*self.hints, *inside]):
                found += [place for place in (area.look(path, name) for name in spellings([state.name])) if place]
        return tuple(found)

    def through_the_tree(self, files: Sequence[FileState], limits: Limits) -> Tuple[List[FileState], Optional[Outcome]]:
        """One search for all files that are in none of the likely places, though they could be somewhere."""
        missing = {stem(state.name): spellings([state.name]) for state in files if not state.stored}
        if not missing or not self.disk_seen:
            return list(files), None
        first = [place for place in (self.storage.directory(hint) for hint in self.hints) if place]
        outcome = search_storage(self.storage.root, missing, first, limits)
        hits = {name: self.storage.found(full) for name, full in outcome.found.items()}
        return [self._hit(state, hits.get(stem(state.name)), outcome) if stem(state.name) in missing else state for state in files], outcome

    def _hit(self, state: FileState, place: Optional[Place], outcome: Outcome) -> FileState:
        if place is not None:
            return replace(state, places=(place, *state.places), searched=True)
        blind, unknown = state.blind, state.unknown
        if outcome.stopped:
            limit = {"timeout": "search_timeout", "entries": "search_max_entries"}[outcome.stopped]
            blind = "the search ended at %s after %d entries, before all of the tree was seen" % (limit, outcome.entries)
            unknown += (blind,)
        if outcome.left_out:
            unknown += ("other file systems were not searched, the first of them %s" % outcome.left_out[0],)
        if outcome.denied_total:
            unknown += ("%d directories could not be read by the search, the first of them %s" % (outcome.denied_total, outcome.denied[0]),)
        return replace(state, searched=True, blind=blind, unknown=unknown)

    def readability(self, files: Sequence[FileState]) -> List[FileState]:
        """All places in one go, because taking on another user's rights is for the whole process."""
        tried = iter(try_reading([place for state in files for place in state.places], self.user))
        found = [replace(state, places=tuple(next(tried) for _place in state.places)) for state in files]
        return [self._unsure(state) for state in found]

    def _unsure(self, state: FileState) -> FileState:
        unknown = state.unknown
        if state.places and not can_try(self.user):
            unknown += ("whether %s can read it was not tried: only root and that user can" % self.user.name,)
        if not state.stored and not state.searched and self.disk_seen and not state.good:
            unknown += ("the tree below %s was not searched" % self.storage.root,)
        return replace(state, unknown=unknown)
