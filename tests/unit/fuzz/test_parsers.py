# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No text from a system makes a parser fail in another way than it documents, or say what is not there."""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .mutants import NASTY, blobs, texts, trees
from .parsers import PARSERS, TYPED, Parser, substrings

BUDGET = settings.get_profile("fieldops-fuzz" if os.environ.get("FIELDOPS_FUZZ") else "fieldops-quick")
LONG = 400_000 if os.environ.get("FIELDOPS_FUZZ") else 40_000


def judge(parser: Parser, value: object) -> None:
    """An error that is documented is an answer; any other one comes out of here."""
    try:
        result = parser.call(value)
    except parser.errors:
        return
    parser.check(value, result)
    if parser.verbatim:
        substrings(value, result)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
@BUDGET
@given(data=st.data())
def test_near_the_real_thing(parser: Parser, data: st.DataObject) -> None:
    if parser.tree:
        judge(parser, data.draw(trees(parser.samples, TYPED if parser.typed else None)))
    elif isinstance(parser.samples[0], bytes):
        judge(parser, data.draw(blobs(parser.samples)))
    else:
        judge(parser, data.draw(texts(parser.samples)))


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_samples_are_taken(parser: Parser) -> None:
    """At least one of them: a parser that refuses all is not tested by their mutants."""
    taken = 0
    for sample in parser.samples:
        with contextlib.suppress(*parser.errors):
            parser.call(sample)
            taken += 1
    assert taken or parser.refuses


@pytest.mark.timeout(300)  # what is quadratic takes many more minutes for these
@pytest.mark.parametrize("parser", [each for each in PARSERS if not each.tree], ids=lambda parser: parser.name)
def test_long_ones(parser: Parser) -> None:
    """One endless line, many short ones, one thing within another, and a real one that goes on and on."""
    sample = parser.samples[0]
    text = sample if isinstance(sample, str) else sample.decode("latin-1")
    pieces = ["x", " ", "9", "\n", "[", '{"a":', "(", "<", "\\", '"', "=", "a ", "0x1 "]
    for piece in [*pieces, *(each for each in NASTY if len(each) < 4 and "\ud800" not in each)][: 64 if os.environ.get("FIELDOPS_FUZZ") else len(pieces)]:
        for made in (piece * (LONG // len(piece)), text[: len(text) // 2] + piece * (LONG // len(piece)) + text[len(text) // 2 :]):
            judge(parser, made if isinstance(sample, str) else made.encode("latin-1", "replace"))
    judge(parser, sample * (LONG // len(sample)))
