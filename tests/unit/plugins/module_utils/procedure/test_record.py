# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import json
import math
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.check import Result
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change, Finding, Outcome, Remedy
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import RunbookError
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.record import decode, encode
from hypothesis import given
from hypothesis import strategies as st

FINDING = Finding("a.b.c", "warning", "x", "y", {"n": 1}, Remedy("mend", "p", {"a": (1, 2)}), ("f", "h"))


def there_and_back(value: Any) -> Any:
    return decode(json.loads(json.dumps(encode(value), allow_nan=False)))


@pytest.mark.parametrize(
    "value",
    [
        FINDING,
        Change("act", "s", None, {"a": 1}, "why", False, "loss", token=("v", 1)),
        Outcome(True, "", {"x": [1, 2.5, None, True]}),
        Result([FINDING], {"a": {1: "x", (1, "b"): {3, 4}}}, {}, [], [Outcome(False)]),
        {"~": "float", "of": "inf"},
        {"a": math.inf, "b": -math.inf},
        frozenset({b"\x00\xff", "text"}),
        bytearray(b"abc"),
        datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.timezone(datetime.timedelta(hours=-10))),
        datetime.timedelta(days=-1, microseconds=5),
        datetime.date(2026, 1, 2),
        (),
        (1,),
        [(), [[]]],
    ],
)
def test_what_comes_back_is_what_went_in(value: Any) -> None:
    back = there_and_back(value)
    assert back == value
    assert type(back) is type(value)


def test_types_within_come_back_as_well() -> None:
    back = there_and_back({"plan": [FINDING], "pair": (FINDING, 1)})
    assert [type(each) for each in (back["plan"][0], back["plan"][0].remedy, back["pair"])] == [Finding, Remedy, tuple]
    assert math.isnan(there_and_back([math.nan])[0])


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.dictionaries(st.integers(), inner) | st.lists(inner).map(tuple),
    max_leaves=20,
)


@given(values)
def test_any_value_comes_back(value: Any) -> None:
    back = decode(json.loads(json.dumps(encode(value), allow_nan=False)))
    assert back == value
    assert repr(back) == repr(value)


def test_every_text_goes_through_what_takes_secrets_out() -> None:
    told = json.dumps(
        encode({"argv": ["--password", "s3cret"], "of": Finding("a", "ok", "s3cret", "s3cret"), "t": ("s3cret",)}, lambda text: text.replace("s3cret", "***"))
    )
    assert "s3cret" not in told and told.count("***") == 4


@pytest.mark.parametrize("value", [object(), Journal("/nowhere"), {"a": lambda: 0}, 1j])
def test_what_is_no_value_is_refused_by_its_type(value: Any) -> None:
    with pytest.raises(RunbookError, match=r"a state with a .* cannot be recorded"):
        encode(value)


@pytest.mark.parametrize(
    "record",
    [
        {"~": "data", "type": "os:system", "of": {}},
        {"~": "data", "type": "procedure.journal:Journal", "of": {}},
        {"~": "data", "type": "procedure.envelope:hashlib.sha256", "of": {}},
        {"~": "data", "type": "procedure.envelope:Optional", "of": {}},
        {"~": "data", "type": "procedure.check:Finding", "of": {}},
        {"~": "data", "type": "procedure.envelope:Finding", "of": {"code": "x"}},
        {"~": "data", "type": "procedure.nothing:Finding", "of": {}},
        {"~": "data", "type": "..procedure.envelope:Finding", "of": {}},
        {"~": "tuple", "type": "procedure.envelope:Finding", "of": []},
        {"~": "tuple", "type": "procedure.envelope:Outcome", "of": [1, 2, 3, 4, 5]},
        {"~": "enum", "type": "procedure.envelope:Finding", "of": "x"},
        {"~": "pickle", "of": "gASV"},
        {"~": "bytes", "of": "?"},
        {"~": "float", "of": "1"},
        {"~": "set", "of": [[]]},
        {"~": "timedelta", "of": ["a"]},
        {"~": "datetime"},
    ],
)
def test_nothing_but_states_is_made_of_a_record(record: Any) -> None:
    with pytest.raises(RunbookError, match="no state that this version"):
        decode({"deep": [record]})
