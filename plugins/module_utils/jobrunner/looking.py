# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration as a result shows it: every variable with the file that sets it, and what is wrong with the files. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from ..procedure.envelope import Finding, Remedy
from .config import Config

_RUNBOOK = ("opensafely-jobrunner.md", "Configuring the job-runner")


def config_rows(config: Config) -> Tuple[List[Dict[str, Any]], List[Finding]]:
    """Assignments in the order in which the service reads them, and the problems of the files as findings."""
    rows = [
        {"name": entry.name, "value": entry.shown, "path": entry.path, "line": entry.line, "secret": entry.secret, "shadowed": entry.shadowed}
        for entry in config.entries
    ]
    return rows, [_finding(problem.path, problem.line, problem.code, problem.text, problem.fatal) for problem in config.problems]


def _finding(path: str, line: int, code: str, text: str, fatal: bool) -> Finding:
    remedy = Remedy("mend the file; 01 and 03 are generated, so theirs is mended in backend-server")
    return Finding("jobrunner.config.%s" % code, "critical" if fatal else "warning", path, text, {"path": path, "line": line}, remedy, _RUNBOOK)
