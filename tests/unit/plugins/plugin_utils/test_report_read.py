# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.report_read import host_key, plain, playbook_command, read, reason_of


def test_variables_that_are_not_simple_go_as_json() -> None:
    words = shlex.split(playbook_command([], "p.yml", {"files": ["it's"], "n": 1}, ["a b"]))
    assert json.loads(words[words.index("-e") + 1]) == {"files": ["it's"], "n": 1}
    assert words[-1] == "a b"


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"msg": "no route"}, "no route"),
        ({}, "failed"),
        ({"failed_when_result": True}, "failed_when was true"),
        ({"msg": "One or more items failed", "results": [{"msg": "fine"}, {"failed": True, "msg": "the second"}]}, "the second"),
        ({"msg": "One or more items failed", "results": [{"failed": True, "msg": "hunter2", "_ansible_no_log": True}]}, "One or more items failed"),
        ({"msg": "GET https://bob:hunter2@example.org/x failed"}, "GET https://***@example.org/x failed"),
        ({"msg": "psql: password=hunter2 is wrong"}, "psql: password=*** is wrong"),
        ({"msg": "token: hunter2"}, "token: ***"),
    ],
)
def test_the_reason_of_a_failure(result: dict[str, Any], reason: str) -> None:
    assert reason_of(result, "failed") == reason


def test_a_reason_is_bounded() -> None:
    assert len(reason_of({"msg": "x" * 10**7}, "failed")) == 500


def test_everything_becomes_json_that_any_parser_reads() -> None:
    value = {"nan": math.nan, "inf": -math.inf, 5: {1}, "name": "bad\udcff", "when": Path("/x"), "nested": ({"a": None},), "big": 2**70}
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == {
        "nan": "nan",
        "inf": "-inf",
        "5": [1],
        "name": "bad\\udcff",
        "when": "/x",
        "nested": [{"a": None}],
        "big": 2**70,
    }


def test_a_change_is_read_with_care() -> None:
    envelope = read({"changes": [{"action": "a", "subject": "s", "done": "yes", "n": "x", "before": 5, "data_loss": "rows"}], "changes_total": "many"})
    assert envelope is not None
    assert envelope.total == 1
    assert envelope.changes[0] == {
        "n": None,
        "action": "a",
        "subject": "s",
        "before": None,
        "after": None,
        "reason": "",
        "reversible": True,
        "done": False,
        "data_loss": "rows",
    }


def test_hosts_sort_as_people_count() -> None:
    assert sorted(["b", "fits-10", "fits-9", "1", "fits-9a", ""], key=host_key) == ["", "1", "b", "fits-9", "fits-9a", "fits-10"]
