# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Items of JSON arrays, from pieces of every size."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.jsonstream import items
from hypothesis import given, settings
from hypothesis import strategies as st

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@given(st.lists(VALUES, max_size=8), st.integers(1, 40), st.sampled_from([None, 2]), st.booleans())
@settings(deadline=None)
def test_as_the_library_reads_it(value: list[Any], size: int, indent: int | None, ascii_only: bool) -> None:
    data = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return
    assert list(items(cut(data, size))) == value


@pytest.mark.parametrize(
    ("data", "before", "words"),
    [
        (b"", [], "no array"),
        (b'{"error": 1}', [], "no array"),
        (b"<html>", [], "no array"),
        (b"[1, 2", [1, 2], "an end where a comma is wanted"),
        (b"[1,", [1], "breaks off"),
        (b'[{"a": 1}, {"b": ', [{"a": 1}], "breaks off"),
        (b"[1 2]", [1], "comma is wanted"),
        (b"[1, 2]]", [1, 2], "more after the end"),
        (b"[,]", [], "no JSON"),
        (b"[\xff]", [], "utf-8"),
        (b"[" * 100000, [], "nested too deeply"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_what_is_none(data: bytes, before: list[Any], words: str, size: int) -> None:
    """What came before counts."""
    found: list[Any] = []
    if size == 1 and len(data) > 1000:
        return
    with pytest.raises(ValueError, match=words):
        found.extend(items(cut(data, size)))
    assert found == before


def test_an_item_is_told_as_soon_as_it_is_there() -> None:
    def pieces() -> Iterator[bytes]:
        yield b'[{"a": 1}'
        raise AssertionError("it waits for more than it needs")

    assert next(items(pieces())) == {"a": 1}


def test_a_number_may_go_on() -> None:
    assert list(items([b"[1", b"2, 3", b"4]"])) == [12, 34]


def test_an_item_that_is_too_long() -> None:
    with pytest.raises(ValueError, match="longer than 1000"):
        list(items(chain([b'["'], repeat(b"x" * 500)), longest=1000))


def test_memory_does_not_grow() -> None:
    """A hundred times as much takes no more."""

    def peak(count: int) -> int:
        def pieces() -> Iterator[bytes]:
            yield b"[0"
            for _number in range(count):
                yield b', {"_id": "%s"}' % (b"x" * 1000)
            yield b"]"

        tracemalloc.start()
        try:
            assert sum(1 for _item in items(pieces())) == count + 1
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    assert peak(5000) < 3 * peak(50) + 100000
