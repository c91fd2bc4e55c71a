# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the engine meets AnsibleModule: results, refusals and failures as they go over the wire."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any, Callable, Mapping
from unittest import mock

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.argspec import GUARDS, JOURNAL, ArgumentSpec
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import RunbookError
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.info import run_info
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.module import guard_options, run_fix

from .shelf import Shelf, Tidy

START: dict[str, Any] = {"cup": {"full": True, "size": 1}, "plate": {"full": True}}
WANTED: dict[str, Any] = {"cup": {"full": False, "size": 1}, "plate": None, "jug": {"full": False}}


class ShelfError(Exception):
    """What a system tells in words alone."""


@pytest.fixture
def directory(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


def run(procedure: Any, params: Mapping[str, Any], check: bool = False, diff: bool = False, info: bool = False) -> dict[str, Any]:
    """The result of a module that runs this procedure, or this factory of one."""
    factory: Callable[[Mapping[str, Any]], Any] = (lambda _params: procedure) if isinstance(procedure, Tidy) else procedure
    arguments = dict(params, _ansible_check_mode=check, _ansible_diff=diff, _ansible_remote_tmp="/tmp", _ansible_keep_remote_files=False)  # noqa: S108
    output = io.StringIO()
    with patch_module_args(arguments), contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        module = AnsibleModule(supports_check_mode=True, **(ArgumentSpec() if info else GUARDS).to_kwargs())
        (run_info if info else run_fix)(module, factory, (ShelfError,))
    result: dict[str, Any] = json.loads(output.getvalue())
    return result


def test_envelope_of_a_fix(directory: str) -> None:
    shelf = Shelf(START)
    predicted = run(Tidy(shelf, WANTED), {"journal_dir": directory}, check=True)
    real = run(Tidy(shelf, WANTED), {"journal_dir": directory})
    assert (predicted["changed"], real["changed"], real["changes_total"], real["things"]) == (True, True, 3, 2)
    assert predicted["plan_sha256"] == real["plan_sha256"]
    assert [dict(row, done=True) for row in predicted["changes"]] == real["changes"]
    assert real["changes"][0] == {
        "n": 0,
        "action": "put",
        "subject": "cup",
        "before": {"full": True, "size": 1},
        "after": {"full": False, "size": 1},
        "reason": "untidy",
        "reversible": True,
        "done": True,
    }
    assert predicted["undo_id"] is None
    assert Journal(directory).read(real["undo_id"]).status == "ok"
    assert [finding["code"] for finding in real["findings"]] == ["shelf.ok"]
    assert real["evidence"] == {}
    assert real["elapsed"] >= 0
    assert "diff" not in real


def test_diff_shows_what_differs(directory: str) -> None:
    result = run(Tidy(Shelf(START), WANTED), {"journal_dir": directory}, check=True, diff=True)
    assert [(part["before_header"], part["before"], part["after"]) for part in result["diff"]] == [
        ("put cup", '{\n  "full": true\n}\n', '{\n  "full": false\n}\n'),
        ("throw plate", '{\n  "full": true\n}\n', ""),
        ("put jug", "", '{\n  "full": false\n}\n'),
    ]


def test_envelope_of_a_check() -> None:
    result = run(Tidy(Shelf(START), WANTED), {}, info=True)
    assert (result["changed"], result["things"]) == (False, 2)
    assert [finding["code"] for finding in result["findings"]] == ["shelf.untidy"]
    assert "changes" not in result


@pytest.mark.parametrize("info", [True, False])
@pytest.mark.parametrize("error", [RunbookError("no shelf", hint="look"), ShelfError("no shelf")])
def test_an_error_before_anything_was_seen(directory: str, info: bool, error: Exception) -> None:
    def factory(_params: Mapping[str, Any]) -> Tidy:
        raise error

    result = run(factory, {} if info else {"journal_dir": directory}, info=info)
    assert (result["failed"], result["msg"]) == (True, "no shelf")
    assert result.get("hint") == getattr(error, "detail", {}).get("hint")
    assert "elapsed" in result
    assert not result.get("changed")


def test_a_refusal_has_the_plan(directory: str) -> None:
    result = run(Tidy(Shelf(START), WANTED), {"journal_dir": directory, "max_changes": 1}, diff=True)
    assert (result["failed"], result["changed"], result["undo_id"]) == (True, False, None)
    assert [refusal["guard"] for refusal in result["refusals"]] == ["max_changes"]
    assert sorted(result["refusals"][0]) == ["allow", "guard", "reason"]
    assert (len(result["changes"]), result["changes_total"], len(result["diff"])) == (3, 3, 3)
    assert result["findings"]
    assert result["plan_sha256"] == run(Tidy(Shelf(START), WANTED), {"journal_dir": directory}, check=True)["plan_sha256"]


@pytest.mark.parametrize(
    ("error", "message"),
    [(ShelfError("it fell"), "it fell"), (RunbookError("it fell"), "it fell"), (KeyError("cup"), "unexpected KeyError: 'cup'")],
)
def test_a_failure_half_way_has_the_way_back(directory: str, error: Exception, message: str) -> None:
    shelf = Shelf(START)
    procedure = Tidy(shelf, WANTED, size=1)
    steps = iter([None, error])

    def before_apply() -> None:
        step = next(steps)
        if step is not None:
            raise step

    procedure.before_apply = before_apply
    result = run(procedure, {"journal_dir": directory})
    assert (result["failed"], result["changed"], result["msg"]) == (True, True, message)
    assert [row["done"] for row in result["changes"]] == [True, False, False]
    assert Journal(directory).read(result["undo_id"]).status == "failed"


def test_an_unexpected_error_before_the_plan_is_not_dressed_up(directory: str) -> None:
    procedure = Tidy(Shelf(START), WANTED)
    with mock.patch.object(procedure, "observe", side_effect=KeyError("cup")), pytest.raises(KeyError):
        run(procedure, {"journal_dir": directory})


def test_what_did_not_hold_is_listed(directory: str) -> None:
    shelf = Shelf(START)
    procedure = Tidy(shelf, WANTED)
    with mock.patch.object(shelf, "put", lambda *_arguments: None):
        result = run(procedure, {"journal_dir": directory})
    assert (result["failed"], result["changed"], len(result["left"])) == (True, True, 3)
    assert "needed again at once" in result["msg"]


def test_the_connection_is_closed_whatever_happens(directory: str) -> None:
    closed: list[str] = []

    class Closing(Tidy):
        def close(self) -> None:
            closed.append(self.reason)

    assert not run(Closing(Shelf(START), WANTED), {"journal_dir": directory}).get("failed")
    assert run(Closing(Shelf(START), WANTED), {"journal_dir": directory, "max_changes": 1})["failed"]
    run(Closing(Shelf(START), WANTED), {}, info=True)
    assert len(closed) == 3


# -- options ----------------------------------------------------------------------------------------------------------

DEFAULTS = {name: option.get("default") for name, option in GUARDS.options.items()}


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("max_changes", -1, "max_changes must be 0 or more, not -1"),
        ("cooldown", -0.5, "cooldown must be 0 or more, not -0.5"),
        ("cooldown", float("nan"), "cooldown must be 0 or more, not nan"),
        ("lock_wait", float("inf"), "lock_wait must be 0 or more, not inf"),
        ("lock_wait", -1.0, "lock_wait must be 0 or more"),
        ("lock_expiry", 59.9, "lock_expiry must be at least 60 seconds"),
        ("lock_expiry", float("nan"), "lock_expiry must be 0 or more, not nan"),
        ("journal_keep_days", -1.0, "journal_keep_days must be 0 or more"),
        ("journal_keep_runs", -1, "journal_keep_runs must be 0 or more"),
        ("escalate_after", -1, "escalate_after must be 0 or more"),
        ("escalate_within", float("nan"), "escalate_within must be 0 or more"),
        ("windows", ["mon 22-06"], "accepted is"),
        ("windows_timezone", "Mars/Olympus", "accepted are UTC, local"),
        ("approved_plan", "abc", "approved_plan must be the plan_sha256 of an earlier result"),
        ("approved_plan", "", "approved_plan must be"),
        ("approved_plan", "0" * 63 + "g", "approved_plan must be"),
        ("approved_plan", "0" * 64 + "\n", "approved_plan must be"),
        ("approved_plan", "\u0660" * 64, "approved_plan must be"),
    ],
)
def test_values_that_no_plan_could_meet(option: str, value: Any, says: str) -> None:
    with pytest.raises(RunbookError, match=says):
        guard_options(dict(DEFAULTS, **{option: value}))


def test_they_are_refused_before_a_server_is_asked(directory: str) -> None:
    def factory(_params: Mapping[str, Any]) -> Tidy:
        raise AssertionError

    assert "max_changes must be 0 or more" in run(factory, {"journal_dir": directory, "max_changes": -1})["msg"]


@pytest.mark.parametrize("approved", [None, "0" * 64, "ABCDEF" + "0" * 58])
def test_defaults_are_taken(approved: str | None) -> None:
    options = guard_options(dict(DEFAULTS, approved_plan=approved, initiator=None))
    assert (options.max_changes, options.lock_expiry, options.initiator, options.approved_plan) == (1000, 900.0, {}, approved)


def test_a_module_does_not_write_into_the_group(directory: str) -> None:
    run(Tidy(Shelf(START), {}), {"journal_dir": directory})
    assert GUARDS.options["initiator"]["default"] == {}


def test_groups_of_options_are_merged() -> None:
    one = ArgumentSpec({"a": {"type": "str"}}, [("a", "b")], [("a", "c")], [("a", "d")], [("a", "x", ["e"])], {"a": ["f"]})
    other = ArgumentSpec({"b": {"type": "int"}}, [("b", "c")], [], [], [], {"b": ["g"]})
    merged = one.merge(other, JOURNAL).to_kwargs()
    assert sorted(merged["argument_spec"]) == ["a", "b", "journal_dir"]
    assert merged["mutually_exclusive"] == [("a", "b"), ("b", "c")]
    assert merged["required_together"] == [("a", "c")]
    assert merged["required_one_of"] == [("a", "d")]
    assert merged["required_if"] == [("a", "x", ["e"])]
    assert merged["required_by"] == {"a": ["f"], "b": ["g"]}
    assert (one.mutually_exclusive, sorted(one.options)) == ([("a", "b")], ["a"])
