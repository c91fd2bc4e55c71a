# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which jobs make a file: what job-runner's database knows of the one who will copy it again."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any, Dict, List, Mapping, Sequence, Set, Tuple

from ..connect.sqlite import Database, SqliteError
from .errors import JobRunnerError
from .output_state import Producer
from .place import Place
from .tables import ACTIVE, read_layout

_JOBS = """
SELECT id, action, state, status_code, outputs FROM job
 WHERE workspace = ?
   AND (state NOT IN ('failed', 'succeeded') OR EXISTS (SELECT 1 FROM json_each(?) AS name WHERE instr(outputs, name.value)))
 ORDER BY created_at DESC, id
"""
Producers = Mapping[str, Sequence[Producer]]


def producers_of(place: Place, workspace: str, names: Sequence[str], actions: Mapping[str, str]) -> Tuple[Producers, str]:
    """By file, the job that made it last and those at work that will make it again; or why that is not known.

    ``actions`` are what the manifest knows. Rows are told apart in Python: a path in JSON can be spelt in several ways.
    """
    if not place.workdir:
        return {}, "neither workdir nor WORKDIR in config_files is set"
    try:
        with closing(Database(place.database)) as database:
            read_layout(database)
            rows = [dict(row) for row in database.query(_JOBS, [workspace, json.dumps([json.dumps(name) for name in names])])]
    except (SqliteError, JobRunnerError) as exc:
        return {}, str(exc)
    return {name: _producers(rows, name, actions.get(name, "")) for name in names}, ""


def _producers(rows: Sequence[Mapping[str, Any]], name: str, action: str) -> List[Producer]:
    made = [row for row in rows if name in _outputs(row)]
    actions: Set[str] = {row["action"] for row in made} | ({action} if action else set())
    active = [row for row in rows if row["state"] in ACTIVE and row["action"] in actions]
    chosen = [(row, False) for row in made[:1]] + [(row, True) for row in active]
    return [Producer(row["id"], row["action"], row["status_code"], busy, _outputs(row).get(name)) for row, busy in chosen]


def _outputs(row: Mapping[str, Any]) -> Dict[str, Any]:
    try:
        outputs = json.loads(row["outputs"] or "{}")
    except (ValueError, RecursionError):
        return {}
    return outputs if isinstance(outputs, dict) else {}
