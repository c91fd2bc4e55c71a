# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the FITS modules share; documented in the fragments ``postgres`` and ``fits_workers``."""

from __future__ import annotations

from ..connect.postgres import OPTIONS
from ..procedure.argspec import ArgumentSpec

POSTGRES = ArgumentSpec(dict(OPTIONS, login_db={"type": "str", "default": "fitsdata"}))

WORKERS = ArgumentSpec(
    {
        "scripts_dir": {"type": "path"},
        "worker_user": {"type": "str"},
        "log_dir": {"type": "list", "elements": "path", "default": ["/data/logs"]},
        "lockfile_dir": {"type": "list", "elements": "path", "default": ["/data/locks", "/data/logs"]},
        "timezone": {"type": "str"},
    }
)
