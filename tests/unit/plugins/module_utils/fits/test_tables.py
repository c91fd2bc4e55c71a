# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generations are told by columns alone."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.errors import FitsError
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.tables import Schema, build_schema

FLAG = ["id", "filename", "path", "inprogress", "failed", "added", "after"]
STAMP = ["id", "filename", "path", "inprogress", "fail_dt", "added", "after"]
EXPORT_A = ["id", "filename", "destination", "inprogress", "failed", "added", "lastfailed"]


def schema(**tables: Any) -> Any:
    return build_schema({name: (name, columns, None, True, True) for name, columns in tables.items()})


@pytest.mark.parametrize(
    ("tables", "generation"),
    [
        ({"ingestqueue": FLAG, "exportqueue": EXPORT_A}, "A"),
        ({"ingestqueue": FLAG, "exportqueue": EXPORT_A + ["after"]}, "B"),
        ({"ingestqueue": STAMP, "exportqueue": STAMP}, "C"),
        ({"ingestqueue": STAMP, "exportqueue": EXPORT_A + ["after"]}, "mixed"),
        ({"ingestqueue": FLAG, "exportqueue": STAMP}, "mixed"),
        ({"ingestqueue": FLAG}, "A"),
        ({"ingestqueue": FLAG + ["header_fields"]}, "B"),
    ],
)
def test_generation(tables: Any, generation: str) -> None:
    assert schema(**tables).generation == generation


@pytest.mark.parametrize("tables", [{}, {"ingestqueue": ["id", "filename"]}, {"ingestqueue": ["inprogress"]}, {"exportqueue": STAMP}])
def test_something_else(tables: Any) -> None:
    assert schema(**tables) is None


@pytest.mark.parametrize(
    ("queue", "columns", "generation", "after_is_local", "added_is_local", "inclusive", "backs_off"),
    [
        ("ingest", FLAG, "A", True, True, False, False),
        ("export", EXPORT_A, "A", False, True, False, True),
        ("ingest", FLAG, "B", False, False, False, False),
        ("export", EXPORT_A + ["after"], "B", True, True, True, False),
        ("ingest", STAMP, "C", False, False, False, False),
        ("export", STAMP, "C", False, False, False, False),
    ],
)
def test_clocks_and_rules(queue: str, columns: Any, generation: str, after_is_local: bool, added_is_local: bool, inclusive: bool, backs_off: bool) -> None:
    export = {"A": EXPORT_A, "B": EXPORT_A + ["after"], "C": STAMP}[generation]
    ingest = STAMP if generation == "C" else FLAG
    table = schema(ingestqueue=ingest, exportqueue=export).table(queue)
    assert table.columns == tuple(columns)
    assert (table.after_is_local, table.added_is_local, table.after_inclusive, table.backs_off_in_progress) == (
        after_is_local,
        added_is_local,
        inclusive,
        backs_off,
    )


def test_an_absent_queue_is_refused_with_what_there_is() -> None:
    found: Schema = schema(ingestqueue=FLAG, exportqueue=EXPORT_A)
    with pytest.raises(FitsError, match="no fileops queue; it has: ingest, export"):
        found.table("fileops")
