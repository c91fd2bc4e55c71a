# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a regular expression needs to find in a text, so that it can match it."""

from __future__ import annotations

import re

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.literals import required
from hypothesis import given, settings
from hypothesis import strategies as st

KNOWN = [
    (rb"ERROR", {b"ERROR"}, False),
    (rb"^ERROR: .* (?:gone|lost)$", {b"ERROR: "}, False),
    (rb"(?i)Timed Out", {b"timed out"}, True),
    (rb"ERROR|CRITICAL", {b"ERROR", b"CRITICAL"}, False),
    (rb"(ERROR|FATAL)+ x", {b"ERROR", b"FATAL"}, False),
    (rb"a(bc)?de*f\.g", {b"f.g"}, False),
    (rb"\[Errno [0-9]+\] No space", {b"] No space"}, False),
    (rb"(?i:disk) is full", {b" is full"}, False),
    (rb"(?i:disk is) full", {b"disk is"}, True),
    (rb"(?i)x(?-i:Yes)", {b"Yes"}, False),
    (rb"(?x) ab  cd # ef", {b"abcd"}, False),
    ("f\u00fcr".encode(), {"f\u00fcr".encode()}, False),
    (rb"(?P<q>ab)(?P=q)c", {b"ab"}, False),
]
UNKNOWN = [rb"", rb"x", rb".*", rb"[0-9]{3}", rb"(abc)?", rb"(abc)*x", rb"abc|", rb"abc|[0-9]", rb"(?=abc)", rb"(?!abc)", rb"(?i:abc)|def", rb"\babc{0}d?"]


@pytest.mark.parametrize(("regex", "literals", "folded"), KNOWN)
def test_known(regex: bytes, literals: set[bytes], folded: bool) -> None:
    assert required(re.compile(regex)) == (literals, folded)


@pytest.mark.parametrize("regex", UNKNOWN)
def test_unknown(regex: bytes) -> None:
    found = required(re.compile(regex))
    assert found is None or regex == rb"\babc{0}d?"


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_whatever_matches_contains_one_of_them(data: st.DataObject) -> None:
    pattern = re.compile(data.draw(st.sampled_from([known[0] for known in KNOWN] + UNKNOWN)))
    text = data.draw(st.from_regex(pattern))
    found = required(pattern)
    if found:
        literals, folded = found
        assert any(literal in (text.lower() if folded else text) for literal in literals)
