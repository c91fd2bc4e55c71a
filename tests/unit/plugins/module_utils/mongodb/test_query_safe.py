# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be asked, and what is hidden of the answer."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.errors import MongodbError
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.query_safe import (
    HIDDEN,
    Hider,
    check_collection,
    check_database,
    check_filter,
    check_projection,
    check_sort,
    hidden_in_filter,
    values_of,
)
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

ID = "54c1d5b9d5f1a31fcd8e5f5a"


@pytest.mark.parametrize(
    "query",
    [
        {"$where": "sleep(1000)"},
        {"a": {"$where": "1"}},
        {"$or": [{"a": 1}, {"$and": [{"$where": "1"}]}]},
        {"$expr": {"$function": {"body": "function() {}", "args": [], "lang": "js"}}},
        {"a": {"$elemMatch": {"$function": 1}}},
        {"$out": "other"},
        {"$merge": {"into": "other"}},
        {"a": {"$code": "function() {}"}},
        {"a": {"$not": {"$jsonSchema": {}}}},
        {"$WHERE": "1"},
        {"a": {"$accumulator": {}}},
    ],
)
def test_what_runs_code_or_is_not_known_is_refused(query: dict[str, Any]) -> None:
    with pytest.raises(MongodbError, match="refused"):
        check_filter(query)


def test_nesting_without_end() -> None:
    query: dict[str, Any] = {}
    for _number in range(60):
        query = {"$and": [query]}
    with pytest.raises(MongodbError, match="nested"):
        check_filter(query)


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ({}, {}),
        ({"a.b": 1, "$or": [{"c": None}, {"d": {"$in": [1, "x", True]}}]}, None),
        ({"_id": {"$oid": ID}}, {"_id": ObjectId(ID)}),
        ({"_id": {"$in": [{"$oid": ID}]}}, {"_id": {"$in": [ObjectId(ID)]}}),
        ({"at": {"$gt": {"$date": "2026-01-30T08:00:00Z"}}}, {"at": {"$gt": datetime.datetime(2026, 1, 30, 8, tzinfo=datetime.timezone.utc)}}),
        ({"name": {"$regex": "^a", "$options": "i", "$nin": ["ab"]}}, None),  # all of it, as it stands
        ({"name": {"$regex": "^a"}}, None),
    ],
)
def test_filters_that_are_taken(query: dict[str, Any], value: Any) -> None:
    assert values_of(check_filter(query)) == (query if value is None else value)


@pytest.mark.parametrize("value", [{"$oid": "x"}, {"$oid": 5}, {"$oid": ID, "a": 1}, {"$date": "yesterday"}, {"$timestamp": 5}])
def test_values_that_are_none(value: dict[str, Any]) -> None:
    with pytest.raises(MongodbError, match="extended JSON"):
        values_of(check_filter({"a": [value]}))


def test_projections_show_fields_and_compute_nothing() -> None:
    assert check_projection({"a": True, "b.c": 0, "d": {"$slice": [-3, 3]}, "e": {"$slice": 2}}) == {
        "a": 1,
        "b.c": 0,
        "d": {"$slice": [-3, 3]},
        "e": {"$slice": 2},
    }
    for bad in (
        {"x": "$password"},
        {"x": {"$concat": ["$password"]}},
        {"x": 2},
        {"x": "1"},
        {"": 1},
        {"$x": 1},
        {"a.$": 1},
        {"x": {"$slice": "$password"}},
        {"x": None},
    ):
        with pytest.raises(MongodbError, match="projection"):
            check_projection(bad)


def test_sorting() -> None:
    assert check_sort([{"a": -1}, {"b": 1, "c": 1}]) == [("a", -1), ("b", 1), ("c", 1)]
    assert check_sort([{"$natural": -1}]) == [("$natural", -1)]
    for bad in ({"a": 0}, {"a": True}, {"a": "1"}, {"$meta": 1}, {"": 1}, {"a": {"$meta": "textScore"}}):
        with pytest.raises(MongodbError, match="sort"):
            check_sort([bad])


def test_names() -> None:
    assert [check_database("talus"), check_database("a-b_c")] == ["talus", "a-b_c"]
    assert [check_collection("fs.files"), check_collection("oplog.rs"), check_collection("é x")] == ["fs.files", "oplog.rs", "é x"]
    for bad in ("", "a.b", "a b", "a/b", "a\\b", "a$b", "a\0", "x" * 64, 'a"b'):
        with pytest.raises(MongodbError, match="database"):
            check_database(bad)
    for bad in ("", ".a", "a.", "$cmd", "a\0b", "a\nb", "x" * 300):
        with pytest.raises(MongodbError, match="collection"):
            check_collection(bad)


def test_what_is_hidden() -> None:
    hide = Hider(["passw", "Token"])
    shown = hide({"name": "a", "PassWord": "x", "old_passwd": None, "deep": [{"password": {"a": 1}}, {"password": [1]}, 5], "tokens": ["t"], "token_": ""})
    assert shown == {
        "name": "a",
        "PassWord": HIDDEN,
        "old_passwd": None,
        "deep": [{"password": HIDDEN}, {"password": HIDDEN}, 5],
        "tokens": HIDDEN,
        "token_": HIDDEN,
    }
    assert hide.fields == ["PassWord", "deep.password", "tokens", "token_"]
    assert Hider([])({"password": "x"}) == {"password": "x"}
    with pytest.raises(MongodbError, match="hide"):
        Hider([""])


def test_what_is_hidden_cannot_be_asked_for() -> None:
    hide = Hider(["password"])
    assert hidden_in_filter({"$or": [{"a": 1}, {"vm.Password": {"$regex": "^a"}}]}, hide) == "vm.Password"
    assert hidden_in_filter([{"a": "password"}, {"b": 1}], hide) is None


TREES = st.recursive(
    st.one_of(st.none(), st.integers(), st.text()), lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3))
)


@given(st.dictionaries(st.text(), TREES), st.text(min_size=1))
def test_nothing_hidden_gets_out_and_nothing_else_is_lost(document: dict[str, Any], secret: str) -> None:
    marked = "no-%s-more" % secret
    shown = Hider(["password"])({"around": [document, {"the_password": marked}]})
    assert marked not in str(shown["around"][1])
    assert Hider(["\0nothing"])(document) == document or any("\0nothing" in str(key) for key in str(document))
