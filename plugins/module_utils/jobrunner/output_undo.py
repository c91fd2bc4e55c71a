# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking back a removal of level 4 files."""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.below import NotBelow, below
from ..procedure.envelope import Change, Image, Outcome
from ..procedure.errors import Refusal
from ..procedure.undo import Store
from .errors import JobRunnerError
from .manifest import read_manifest
from .output_act import carry_out
from .output_files import may_give
from .output_look import look, unwritable
from .output_quarantine import Quarantine

Now = Tuple[Optional[Image], Any]


class OutputStore(Store):
    """Files in their places or in the quarantine of the run, and entries of a manifest."""

    def __init__(self, _params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.quarantine = Quarantine(str(header["quarantine"]))

    def read(self, changes: Sequence[Change]) -> List[Now]:
        return [self._now(change) for change in changes]

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        refusals = []
        returning = [change.after or {} for change in plan if "mode" in (change.after or {})]
        others = [change.after or {} for change in plan if not _may_return(change)]
        if others:
            reason = "%d files belonged to other users or groups, first %s: only root can give them back to them." % (len(others), others[0]["path"])
            refusals.append(Refusal("rights", reason, "run it as root."))
        for image in returning:
            obstacle = unwritable(image["root"], image["path"])
            if not _is_directory(image["root"], os.path.dirname(image["path"])):
                reason = "the directory of %s is not there any more." % os.path.join(image["root"], image["path"])
                refusals.append(Refusal("directory", reason, "make it again, with the owner and mode of the others."))
            elif obstacle:
                refusals.append(Refusal(obstacle.guard, obstacle.reason, obstacle.allow))
        return refusals

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [self._put(change) for change in changes]

    def _put(self, change: Change) -> Outcome:
        before, after = change.before or {}, change.after or {}
        if "quarantine" not in before or change.after is None:
            return carry_out(self.quarantine, change)
        try:
            note = self.quarantine.give_back(after["root"], after["path"], os.path.basename(before["quarantine"]), after)
        except OSError as exc:
            raise JobRunnerError("%s cannot be put back: %s" % (change.subject, exc.strerror)) from exc
        return Outcome(not note, note)

    def _now(self, change: Change) -> Now:
        one, other = change.before, change.after
        image = one or other or {}
        if "entry" in image:
            return self._entry(image), None
        if "copy" in image:
            return self._name(image), None
        copy = next(each["quarantine"] for each in (one, other) if each and "quarantine" in each)
        if one is None or other is None:
            return self._copy(image, copy), os.path.basename(copy)
        found, obstacle = look(image["root"], image["path"])
        where = {"root": image["root"], "path": image["path"]}
        if found:
            return dict(where, **found.image()), found.version
        return (dict(where, obstacle=obstacle.reason), None) if obstacle else (self._copy(image, copy), None)

    def _copy(self, image: Mapping[str, Any], copy: str) -> Optional[Image]:
        seen = self.quarantine.image(image["root"], image["path"], os.path.basename(copy))
        return dict(seen, root=image["root"], path=image["path"]) if seen else None

    def _name(self, image: Mapping[str, Any]) -> Optional[Image]:
        copies = self.quarantine.copies(image["root"], image["path"])
        names = [copy.name for copy in copies if copy.path == image["copy"] and not copy.purged]
        return {"root": image["root"], "path": image["path"], "copy": image["copy"], "name": names[0]} if names else None

    @staticmethod
    def _entry(image: Mapping[str, Any]) -> Image:
        manifest = read_manifest(image["root"], image["workspace"])
        if manifest.trouble:
            raise JobRunnerError("%s cannot be read: %s" % (manifest.path, manifest.trouble))
        return {"root": image["root"], "workspace": image["workspace"], "file": image["file"], "entry": manifest.outputs.get(image["file"])}


def _may_return(change: Change) -> bool:
    """By owner and group. A copy that has kept its group is moved with it within a file system."""
    image, copy = change.after or {}, (change.before or {}).get("quarantine")
    if "mode" not in image or may_give(image["uid"], image["gid"]):
        return True
    try:
        kept, place = os.lstat(str(copy)), os.lstat(os.path.dirname(os.path.join(image["root"], image["path"])))
    except OSError:
        return False
    return (os.geteuid(), kept.st_gid, kept.st_dev) == (image["uid"], image["gid"], place.st_dev)


def _is_directory(root: str, path: str) -> bool:
    try:
        with below(root, path) as handle:
            os.stat(".", dir_fd=handle)
    except (OSError, NotBelow):
        return False
    return True


STORES: Dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Store]] = {"jobrunner_output_remove": OutputStore}
"""By the name of the fix: what moves its subjects back."""
