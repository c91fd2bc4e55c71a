# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look has recorded, judged again by a check that was never connected to anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import redact
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.check import Check
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Finding
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import RunbookError
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.history import History, HistoryState
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import JournaledChange, Run
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.record import cleaned, encode, recorded, replayed

SECRET = "Hush4You-9"
HEADER = {"undo_id": "u", "fix": "f", "started": 1.0, "who": {"user": "x", "pid": 1}, "total": 2, "password": SECRET}
RUN = Run(HEADER, [JournaledChange(0, SECRET)])  # type: ignore[arg-type]


def history(path: Path) -> History:
    return History({"journal_dir": str(path), "undo_id": None, "fix": None, "limit": 5})


def test_the_findings_of_a_record_are_those_of_the_look(tmp_path: Path) -> None:
    check, state = history(tmp_path), HistoryState([RUN], {}, ["one is not readable"], None)
    record = json.loads(json.dumps(recorded(check, state, redact)))
    assert SECRET not in json.dumps(record)
    again, read = replayed(History, record)
    assert not hasattr(again, "journal")
    assert again.diagnose(read) == check.diagnose(state)
    assert [each.code for each in again.diagnose(read)] == ["runbook.journal.unfinished", "runbook.journal.unreadable"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"check": "fits_queue_info"}, "replay takes what runbook_journal_info has recorded"),
        ({"version": 99}, "not runbook_journal_info of version 99"),
        ({"judged_by": {}}, "it is judged by directory"),
        ({"judged_by": {"directory": "/x", "diagnose": 1}}, "it is judged by directory"),
        ({"state": {"~": "tuple", "type": "os:system", "of": []}}, "no state that this version"),
    ],
)
def test_what_is_no_such_record_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    record = recorded(history(tmp_path), HistoryState([], {}, [], None), redact)
    with pytest.raises(RunbookError, match=said):
        replayed(History, dict(record, **change))
    with pytest.raises(RunbookError, match="not a list"):
        replayed(History, [record])


@dataclass(frozen=True)
class Seen:
    argv: Sequence[str]
    environment: Mapping[str, str]
    body: bytes
    token: Any


def test_no_secret_goes_into_a_record() -> None:
    seen = Seen(("m0d", "--password", SECRET), {"DB_PASSWORD": SECRET, "A": "b"}, b"password=" + SECRET.encode(), (SECRET, {1: SECRET}, SECRET.encode()))
    encoded = encode({"x": [seen, f"postgresql://a:{SECRET}@b"], 5: "token=" + SECRET, "frozen": frozenset(["plain"])})
    shown = json.dumps(cleaned(encoded, redact))
    assert SECRET not in shown
    assert "SHVzaDRZb3UtO" not in shown  # as base64
    for kept in ('"A": "b"', '"m0d"', '"plain"'):
        assert kept in shown


def test_a_check_that_is_judged_by_nothing_else() -> None:
    class Plain(Check[int]):
        name = "plain"

        def observe(self) -> int:
            return 1

        def diagnose(self, state: int) -> list[Finding]:
            return [Finding("a.b", "ok", "x", str(state))]

    again, state = replayed(Plain, recorded(Plain(), 7, redact))
    assert again.diagnose(state)[0].summary == "7"
