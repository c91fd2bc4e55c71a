# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``metadata/manifest.json`` of a workspace: which files there are at level 4.

Per-file entries exist since job-runner c29ed94c (2024-04-23). The file must stay, whatever becomes of its entries.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple

from ..connect.below import NotBelow, below, by_handle
from .errors import JobRunnerError
from .output_files import sync, version

FOLDER, NAME = "metadata", "manifest.json"
_LIMIT = 64 * 1024 * 1024
_NEW = NAME + ".fieldops"
"""Not upstream's own temporary name: a job may be finalised at the same time."""
_TRIES = 5
_STYLES: Tuple[Dict[str, Any], ...] = ({"indent": 2}, {"indent": 4}, {}, {"indent": 2, "ensure_ascii": False}, {"separators": (",", ":")})


@dataclass(frozen=True)
class Manifest:
    """``trouble`` says why it cannot be read; empty with no ``document`` where there is no manifest."""

    path: str
    document: Optional[Mapping[str, Any]] = None
    trouble: str = ""
    text: str = field(default="", repr=False)
    version: Tuple[int, ...] = ()

    @property
    def outputs(self) -> Mapping[str, Any]:
        """Entries by file; empty before 2024-04-23."""
        outputs = (self.document or {}).get("outputs")
        return outputs if isinstance(outputs, dict) else {}


def read_manifest(root: str, workspace: str) -> Manifest:
    """Without following any link, since what is read here is written again later."""
    inner = "%s/%s/%s" % (workspace, FOLDER, NAME)
    path = os.path.join(root, inner)
    try:
        with below(root, inner) as handle:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode):
                return Manifest(path, trouble="it is not a regular file")
            if info.st_size > _LIMIT:
                return Manifest(path, trouble="it is larger than %d bytes" % _LIMIT)
            with open(by_handle(handle), "rb") as file:
                data, info = file.read(), os.fstat(file.fileno())
    except (FileNotFoundError, NotADirectoryError):
        return Manifest(path)
    except NotBelow as exc:
        return Manifest(path, trouble=str(exc))
    except OSError as exc:
        return Manifest(path, trouble=str(exc.strerror))
    return _parsed(path, data, version(info))


def _parsed(path: str, data: bytes, seen: Tuple[int, ...]) -> Manifest:
    try:
        text = data.decode("utf-8")
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        return Manifest(path, trouble="it is no JSON (%s)" % exc)
    if not isinstance(document, dict):
        return Manifest(path, trouble="it is no JSON object")
    return Manifest(path, document, "", text, seen)


def set_entry(root: str, workspace: str, name: str, before: Optional[Mapping[str, Any]], after: Optional[Mapping[str, Any]]) -> str:
    """Put one entry from ``before`` to ``after``, ``None`` being absent, in one stroke. Why not, if it was not done.

    Job-runner rewrites the file when a job ends, and knows no lock. What it wrote meanwhile is read again.
    """
    for _try in range(_TRIES):
        manifest = read_manifest(root, workspace)
        if manifest.trouble or manifest.document is None:
            return manifest.trouble or "it is not there"
        if manifest.outputs.get(name) != before:
            return "the entry was changed since it was looked at: left alone"
        outputs = {key: value for key, value in manifest.outputs.items() if key != name}
        if after is not None:
            outputs[name] = after
        if _replace(root, workspace, manifest, dict(manifest.document, outputs=outputs)):
            return ""
    raise JobRunnerError("%s is rewritten all the time: a job is being finalised; try again" % os.path.join(root, workspace, FOLDER, NAME))


def styled(manifest: Manifest, document: Mapping[str, Any]) -> str:
    """Written as it had been written, so that nothing but the entry differs."""
    for style in _STYLES:
        for end in ("", "\n"):
            if json.dumps(manifest.document, **style) + end == manifest.text:
                return json.dumps(document, **style) + end
    return json.dumps(document, indent=2)


def _replace(root: str, workspace: str, manifest: Manifest, document: Mapping[str, Any]) -> bool:
    """False when somebody else wrote it first."""
    data = styled(manifest, document).encode("utf-8")
    with below(root, "%s/%s" % (workspace, FOLDER)) as folder:
        old = os.stat(NAME, dir_fd=folder, follow_symlinks=False)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_NEW, dir_fd=folder)  # of a run that was killed
        handle = os.open(_NEW, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                _like(file.fileno(), old)
                os.fsync(file.fileno())
            if version(os.stat(NAME, dir_fd=folder, follow_symlinks=False)) != manifest.version:
                os.unlink(_NEW, dir_fd=folder)
                return False
            os.replace(_NEW, NAME, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(_NEW, dir_fd=folder)
            raise
        sync(folder)
    return True


def _like(handle: int, old: os.stat_result) -> None:
    """Owner and mode of what it replaces."""
    new = os.fstat(handle)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        os.fchown(handle, old.st_uid, old.st_gid)
    os.fchmod(handle, stat.S_IMODE(old.st_mode))
