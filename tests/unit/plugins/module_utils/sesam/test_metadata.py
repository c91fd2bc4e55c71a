# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merging, comparing, and turning one key, by tables."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.errors import SesamError
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.metadata import (
    KEYS,
    bare,
    compare,
    deep_merge,
    digest,
    digests,
    is_off,
    replaced,
    switch,
    switched,
    turned_off,
    turned_on,
)
from hypothesis import given
from hypothesis import strategies as st

KEY = KEYS[0]
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3))
SECTIONS = st.dictionaries(st.sampled_from([*KEYS, "concurrent_tasks"]), VALUES)
DOCUMENTS = st.one_of(
    st.dictionaries(st.sampled_from(["namespaces", "x"]), VALUES),
    st.builds(lambda others, section: {**others, "task_manager": section}, st.dictionaries(st.sampled_from(["namespaces", "x"]), VALUES), SECTIONS),
)


@pytest.mark.parametrize(
    ("base", "extra", "merged"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"d": 2}}}, {"a": {"b": {"c": 1, "d": 2}}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_deep_merge(base: dict[str, Any], extra: dict[str, Any], merged: dict[str, Any]) -> None:
    before = repr(base)
    assert deep_merge(base, extra) == merged
    assert repr(base) == before


@given(DOCUMENTS)
def test_turned_off_and_put_back_nothing_has_changed(document: dict[str, Any]) -> None:
    """Whatever else is there, and whatever the key was."""
    before = switch(document, KEY)
    off = switched(document, KEY, turned_off(document, KEY))
    assert is_off(switch(off, KEY))
    assert {name: value for name, value in off.items() if name != "task_manager"} == {name: value for name, value in document.items() if name != "task_manager"}
    assert switched(off, KEY, before) == document
    if not is_off(before):
        assert switched(off, KEY, turned_on(off, KEY, before)) == document
    else:
        assert not is_off(switch(switched(off, KEY, turned_on(off, KEY, before)), KEY))


@pytest.mark.parametrize(
    ("document", "remembered", "after"),
    [
        ({"task_manager": {KEY: True}}, None, {"task_manager": {}}),  # nobody knows who made the section
        ({"task_manager": {KEY: True}}, {"task_manager": False, "set": False, "value": None}, {}),
        ({"task_manager": {KEY: True}}, {"task_manager": True, "set": False, "value": None}, {"task_manager": {}}),
        ({"task_manager": {KEY: True}}, {"task_manager": True, "set": True, "value": False}, {"task_manager": {KEY: False}}),
        # Somebody has put something there since: it stays.
        ({"task_manager": {KEY: True, "x": 1}}, {"task_manager": False, "set": False, "value": None}, {"task_manager": {"x": 1}}),
        ({"task_manager": {KEY: True, "x": 1}}, None, {"task_manager": {"x": 1}}),
    ],
)
def test_turned_on(document: dict[str, Any], remembered: dict[str, Any] | None, after: dict[str, Any]) -> None:
    assert switched(document, KEY, turned_on(document, KEY, remembered)) == after


@pytest.mark.parametrize(("value", "off"), [(True, True), (False, False), (1, False), ("true", False), (None, False)])
def test_only_true_turns_it_off(value: Any, off: bool) -> None:
    assert is_off(switch({"task_manager": {KEY: value}}, KEY)) is off


@pytest.mark.parametrize("section", [None, [], "x", 5, True])
def test_a_section_that_is_none_is_refused(section: Any) -> None:
    with pytest.raises(SesamError, match=r"task_manager of the metadata is .* where an object is wanted"):
        switch({"task_manager": section}, KEY)


def test_entities_are_equal_whatever_the_order_and_the_marks() -> None:
    one = {"_id": "a", "x": {"b": 1, "c": 2}, "$audit": {"seq": 1}}
    other = {"x": {"c": 2, "b": 1}, "_id": "a", "$audit": {"seq": 2}, "$config-group": "lab"}
    assert digest(one) == digest(other)
    assert digest(one) != digest({**one, "x": {"b": 1, "c": True}})
    assert digest({"_id": "a", "x": 1}) != digest({"_id": "a", "x": True})


def test_comparison() -> None:
    before = digests([{"_id": "a", "x": 1}, {"_id": "b"}, {"_id": "c"}, {"_id": "node", "x": 1}])
    after = digests([{"_id": "a", "x": 2}, {"_id": "b"}, {"_id": "d"}, {"_id": "node", "x": 2}])
    found = compare(before, after, without=["node"])
    assert found.to_dict() == {"same": 1, "added": ["d"], "removed": ["c"], "changed": ["a"], "equal": False}
    assert compare(before, before).equal


def test_metadata_take_their_place_in_a_configuration() -> None:
    config = [{"_id": "a"}, bare(), {"_id": "b"}]
    own = {**bare(), "x": 1}
    assert replaced(config, own) == [{"_id": "a"}, own, {"_id": "b"}]
    assert replaced(config, None) == [{"_id": "a"}, {"_id": "b"}]
    assert replaced([{"_id": "a"}], own) == [{"_id": "a"}, own]
