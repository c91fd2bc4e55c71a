# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the notification job makes of address fields."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.addresses import (
    check_recipients,
    data_recipients,
    problem,
    recipients,
    row_problems,
    split,
)
from hypothesis import given
from hypothesis import strategies as st

ADDRESS = st.from_regex(r"[a-z]{1,6}(\.[a-z]{1,4})?@[a-z]{1,5}\.(org|edu)", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (None, []),
        ("", []),
        (" , ,", []),
        ("a@x.org", ["a@x.org"]),
        (" a@x.org ", ["a@x.org"]),
        ("a@x.org,b@x.org", ["a@x.org", "b@x.org"]),
        ("a@x.org, b@x.org,", ["a@x.org", "b@x.org"]),
        ("a@x.org b@x.org", ["a@x.org", "b@x.org"]),
        ("a@x.org  b@x.org", ["a@x.org  b@x.org"]),
        ("a@x.org and b@x.org", ["a@x.org and b@x.org"]),
        ("a@x.org\tb@x.org", ["a@x.org\tb@x.org"]),
        ("a@x.org;b@x.org", ["a@x.org;b@x.org"]),
        ("a@x.org; b@x.org", ["a@x.org;", "b@x.org"]),
        ("Doe, Jane <a@x.org>", ["Doe", "Jane <a@x.org>"]),
        ("Jane Doe <a@x.org>", ["Jane Doe <a@x.org>"]),
    ],
)
def test_split(text: Any, parts: list[str]) -> None:
    assert split(text) == parts


@pytest.mark.parametrize(
    ("text", "got", "words"),
    [
        ("a@x.org", ["a@x.org"], ""),
        (None, [], ""),
        ("", [], "empty but not NULL"),
        ("a@x.org,", ["a@x.org"], ""),
        ("Jane Doe <a@x.org>", ["a@x.org"], ""),
        ("a@x.org (PI)", ["a@x.org"], ""),
        ("o'brien@x.org", ["o'brien@x.org"], ""),
        ("a+b%c@sub.x-y.org", ["a+b%c@sub.x-y.org"], ""),
        ("a@x.org;b@x.org", ["a@x.org"], "never b@x.org"),
        ("a@x.org;b@x.org,c@x.org", ["a@x.org", "c@x.org"], "never b@x.org"),
        ("a@x.org;", ["a@x.org"], "newer Pythons"),
        ("a@x.org; b@x.org", ["a@x.org", "b@x.org"], "newer Pythons"),
        ("a@x.org b", ["a@x.orgb"], "no mail goes to a@x.org"),
        ("a@x.org  b@x.org", ["a@x.org  b@x.org"], "no mail goes to a@x.org, b@x.org"),
        ("Doe, Jane <a@x.org>", ["Doe", "a@x.org"], 'takes "Doe" for an address'),
        ("a@localhost", ["a@localhost"], "for an address"),
        ("jane.doe", ["jane.doe"], "for an address"),
        ("a@x..org", ["a@x..org"], "for an address"),
        ("m\u00fcller@x.org", ["m\u00fcller@x.org"], "for an address"),
        ("a@x.org\nb@x.org", None, "control character"),
    ],
)
def test_recipients_and_problems(text: Any, got: Any, words: str) -> None:
    if got is not None:
        assert recipients(text) == got
    assert words in problem(text)
    assert bool(problem(text)) == bool(words)


@given(st.lists(ADDRESS, min_size=1, max_size=5, unique=True), st.sampled_from([",", ", ", " ", " , "]))
def test_what_is_well_written_is_read(addresses: list[str], between: str) -> None:
    assert recipients(between.join(addresses)) == addresses
    assert problem(between.join(addresses)) == ""


@given(st.lists(ADDRESS, min_size=2, max_size=5, unique=True))
def test_semicolons_lose_all_but_the_first(addresses: list[str]) -> None:
    text = ";".join(addresses)
    assert recipients(text) == addresses[:1]
    assert all(address in problem(text) for address in addresses[1:])


@given(st.text(alphabet=st.sampled_from('ab@.,; <>"()\n\t\u00e9:\\'), max_size=40))
def test_any_text(text: str) -> None:
    for address in recipients(text):
        assert address.strip()
        assert "," not in address or '"' in text or "(" in text or "<" in text or ":" in text
    assert "\n" not in problem(text) or "\n" in text


def _row(**values: Any) -> dict[str, Any]:
    return {"selection": "GN-2019A-Q-1/science", "piemail": "pi@x.org", "ngoemail": None, "csemail": None, **values}


@pytest.mark.parametrize(
    ("values", "generation", "fields"),
    [
        ({}, "A", []),
        ({"csemail": "a@x.org;b@x.org"}, "A", ["csemail"]),
        ({"piemail": None}, "C", ["piemail"]),
        ({"selection": None}, "C", ["selection"]),
        ({"selection": None, "piemail": None, "ngoemail": "x"}, "C", ["selection", "piemail", "ngoemail"]),
        ({"selection": "GN 2019A/science"}, "A", ["selection"]),
        ({"selection": "GN 2019A/science"}, "C", []),
        ({"selection": "GN-2019A?x"}, "C", ["selection"]),
        ({"selection": " "}, "C", ["selection"]),
    ],
)
def test_rows(values: dict[str, Any], generation: str, fields: list[str]) -> None:
    assert [each["field"] for each in row_problems(_row(**values), generation)] == fields


def test_whom_the_two_jobs_mail() -> None:
    row = _row(piemail="pi@x.org", ngoemail="ngo@x.org", csemail="cs@x.org, pi@x.org")
    assert data_recipients(row) == ["pi@x.org", "ngo@x.org", "cs@x.org"]
    assert check_recipients(row) == ["cs@x.org", "pi@x.org"]
    assert check_recipients(_row()) == []
    for skipped in (_row(piemail=None, csemail="cs@x.org"), _row(selection=None, csemail="cs@x.org")):
        assert data_recipients(skipped) == check_recipients(skipped) == []
