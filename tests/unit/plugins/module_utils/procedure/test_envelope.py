# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings, changes and the hash of a plan."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import (
    Change,
    Finding,
    Remedy,
    canonical,
    plan_sha256,
    same,
    worst,
)
from hypothesis import given
from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
IMAGES = st.none() | st.dictionaries(st.text(max_size=4), JSON, max_size=3)
CHANGES = st.builds(Change, st.sampled_from(["a", "b"]), st.text(max_size=4), IMAGES, IMAGES, st.text(max_size=4), st.booleans(), st.sampled_from(["", "x"]))


def reordered(value: Any) -> Any:
    """The same JSON with its keys in another order."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(list(value))}
    return [reordered(each) for each in value] if isinstance(value, list) else value


def test_finding_says_all_and_takes_known_severities_only() -> None:
    finding = Finding("a.b", "warning", "s", "text", {"n": 1}, Remedy("call somebody", "p", {"v": 1}), ("r.rst", "H"))
    assert finding.to_dict() == {
        "code": "a.b",
        "severity": "warning",
        "subject": "s",
        "summary": "text",
        "detail": {"n": 1},
        "remedy": {"playbook": "p", "vars": {"v": 1}, "text": "call somebody"},
        "runbook": {"file": "r.rst", "heading": "H"},
    }
    with pytest.raises(ValueError, match="severity must be one of ok, info, warning, critical"):
        Finding("a.b", "bad", "s", "text")


def test_worst_finding() -> None:
    def told(*severities: str) -> list[Finding]:
        return [Finding("c", severity, "s", "t") for severity in severities]

    assert worst([]) == "ok"
    assert worst(told("info", "ok")) == "info"
    assert worst(told("warning", "critical", "info")) == "critical"


def test_what_would_be_lost_is_shown_only_where_something_is() -> None:
    assert "data_loss" not in Change("a", "s", None, None, "r").to_dict()
    assert Change("a", "s", None, None, "r", data_loss="force").to_dict()["data_loss"] == "force"


@given(st.lists(CHANGES, max_size=3), st.lists(CHANGES, max_size=3))
def test_equal_hashes_are_equal_plans(one: list[Change], other: list[Change]) -> None:
    equal = [canonical(change.identity()) for change in one] == [canonical(change.identity()) for change in other]
    assert (plan_sha256("fix", one) == plan_sha256("fix", other)) == equal


@given(st.lists(CHANGES, min_size=1, max_size=3), st.text(max_size=5))
def test_wording_token_and_order_of_keys_do_not_count(plan: list[Change], reason: str) -> None:
    other = [dataclasses.replace(change, reason=reason, token=object(), before=reordered(change.before), after=reordered(change.after)) for change in plan]
    assert plan_sha256("fix", other) == plan_sha256("fix", plan)
    assert plan_sha256("fix2", plan) != plan_sha256("fix", plan)


@given(CHANGES, JSON, st.sampled_from(["before", "after"]))
def test_hash_changes_with_any_value(change: Change, value: Any, side: str) -> None:
    image = getattr(change, side)
    edited: Any = {side: dict(image or {}, key=value)}
    other = dataclasses.replace(change, **edited)
    assert (plan_sha256("fix", [other]) == plan_sha256("fix", [change])) == same(getattr(other, side), image)


def test_hash_is_the_same_in_every_process() -> None:
    program = (
        "from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change, plan_sha256\n"
        "images = [{name: {name * 2: [1, None, 'é']} for name in set('abcdefgh')} for _ in range(2)]\n"
        "print(plan_sha256('fix', [Change('a', 's', images[0], images[1], 'r')]))"
    )
    seen = set()
    for seed in ("0", "1", "4711"):
        environment = dict(os.environ, PYTHONHASHSEED=seed, PYTHONPATH=os.pathsep.join(sys.path), PYTHONIOENCODING="utf-8")
        seen.add(subprocess.run([sys.executable, "-c", program], env=environment, check=True, stdout=subprocess.PIPE).stdout)
    assert len(seen) == 1


def test_only_json_is_hashed() -> None:
    with pytest.raises(TypeError):
        plan_sha256("fix", [Change("a", "s", {"when": object()}, None, "r")])


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1, True),
        (1, True, False),
        (0, False, False),
        (1, 1.0, False),
        (float("nan"), float("nan"), True),
        ([1], [True], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ("a", "a", True),
        (None, "", False),
        (None, {}, False),
        ([], {}, False),
        (("a",), ["a"], True),
    ],
)
def test_same_is_equal_as_json(one: Any, other: Any, equal: bool) -> None:
    for pair in ((one, other), (other, one)):
        assert same(*pair) is equal
