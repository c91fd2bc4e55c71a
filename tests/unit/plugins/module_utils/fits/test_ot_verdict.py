# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on an archive, and the times of a complaint."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.certificate import Certificate
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.errors import FitsError
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.ot import base_url, parse_time
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.ot_verdict import OtState, Search, certificate_facts, diagnose, verdict
from hypothesis import given
from hypothesis import strategies as st

NOW = 1.8e9
DAY = 86400.0


def search(**values: Any) -> Search:
    return Search("filename", values.pop("name", "N1.fits"), "https://a/x", **{"count": 1, "visible": 1, "pending": False, **values})


def certificate(start: float = -30, end: float = 60) -> Certificate:
    return Certificate("CN=a", "CN=b", ("archive.example.org",), NOW + start * DAY, NOW + end * DAY, "01", "ab" * 32, False)


def state(**values: Any) -> OtState:
    known: dict[str, Any] = {
        "searches": (search(),), "page_status": 200, "page_error": "", "certificate": certificate(), "reason": "", "trouble": "", "since": None,
        "window": 2 * DAY, "min_days": 14.0,
    }  # fmt: skip
    return OtState(host="archive.example.org", now=NOW, **{**known, **values})


GONE = {"count": None, "visible": None, "pending": None, "error": "it refuses"}


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ({}, ["nothing_wrong"]),
        ({"page_error": "it refuses"}, ["archive_down"]),
        ({"searches": (search(), search(**GONE))}, ["archive_down"]),
        ({"searches": (search(**GONE),), "reason": "certificate has expired", "certificate": certificate(-90, -1)}, ["archive_down", "certificate_bad"]),
        ({"searches": (search(), search(count=0, visible=0))}, ["missing"]),
        ({"searches": (search(visible=0), search(count=0, visible=0))}, ["missing"]),
        ({"searches": (search(visible=0),)}, ["engineering_only"]),
        ({"reason": "certificate has expired", "certificate": certificate(-90, -1)}, ["certificate_bad"]),
        ({"reason": "Hostname mismatch, certificate is not valid for 'a'"}, ["certificate_bad"]),
        ({"reason": "unable to get local issuer certificate", "since": NOW - 30 * DAY}, ["certificate_bad"]),
        ({"trouble": "it closed the connection", "certificate": None}, ["certificate_bad"]),
        ({"since": NOW - 30 * DAY}, ["certificate_renewed"]),
        ({"since": NOW - 31.9 * DAY}, ["certificate_renewed"]),
        ({"since": NOW - 28.1 * DAY}, ["certificate_renewed"]),
        ({"since": NOW - 27 * DAY}, ["nothing_wrong"]),
        ({"since": NOW - 33 * DAY}, ["nothing_wrong"]),
        ({"since": NOW - 30 * DAY, "searches": (search(count=0, visible=0),)}, ["missing", "certificate_renewed"]),
        ({"certificate": certificate(-80, 10)}, ["nothing_wrong", "certificate_expiring"]),
        ({"certificate": None, "since": NOW - DAY}, ["nothing_wrong"]),
    ],
)
def test_verdicts(values: dict[str, Any], codes: list[str]) -> None:
    found = diagnose(state(**values))
    assert [finding.code for finding in found] == ["fits.ot." + code for code in codes]
    assert verdict(state(**values)) == codes[0]
    for finding in found:
        assert finding.remedy is not None
        assert finding.runbook == ("fits.rst", 'OT Shows Observations "Not in Public Archive"')


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"certificate": certificate(-90, -1), "reason": "certificate has expired"}, "expired"),
        ({"certificate": certificate(1, 90), "reason": "certificate is not yet valid"}, "not_yet_valid"),
        ({"reason": "IP address mismatch, certificate is not valid for '127.0.0.1'"}, "wrong_name"),
        ({"reason": "self-signed certificate"}, "untrusted"),
        ({"trouble": "timed out"}, "unreadable"),
        ({"trouble": "timed out", "certificate": None}, "unreadable"),
    ],
)
def test_what_is_bad_about_a_certificate(values: dict[str, Any], what: str) -> None:
    assert diagnose(state(**values))[0].detail["what"] == what


@given(
    st.lists(st.tuples(st.sampled_from([None, 0, 1, 5]), st.booleans()), min_size=1, max_size=4),
    st.sampled_from(["", "it refuses"]),
    st.sampled_from(["", "self-signed certificate"]),
    st.one_of(st.none(), st.floats(NOW - 100 * DAY, NOW)),
    st.booleans(),
)
def test_every_state_has_one_verdict(found: list[Any], page: str, reason: str, since: Any, tls: bool) -> None:
    searches = tuple(search(**GONE) if count is None else search(count=count, visible=count if seen else 0) for count, seen in found)
    seen = state(searches=searches, page_error=page, reason=reason if tls else "", since=since, certificate=certificate() if tls else None)
    findings = diagnose(seen)
    assert findings[0].code == "fits.ot." + verdict(seen)
    assert (findings[0].severity == "ok") == (verdict(seen) == "nothing_wrong")
    assert (certificate_facts(seen) is None) == (not tls)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-01-31", "2026-01-31T00:00:00"),
        ("2026-01-31T08:00:00", "2026-01-31T08:00:00"),
        ("2026-01-31 08:00", "2026-01-31T08:00:00"),
        ("2026-01-31T08:00:00Z", "2026-01-31T08:00:00"),
        ("2026-01-31T08:00:00-10:00", "2026-01-31T18:00:00"),
        ("2026-01-31T08:00:00-1000", "2026-01-31T18:00:00"),
        (" 2026-01-31T08:00:00.250+00:00 ", "2026-01-31T08:00:00"),
    ],
)
def test_times(text: str, utc: str) -> None:
    assert time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(parse_time(text, NOW))) == utc
    assert parse_time(None, NOW) is None


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "31.1.2026", "2999-01-01", "2026-01-31T25:00"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(FitsError):
        parse_time(text, NOW)


@pytest.mark.parametrize(
    "url", ["", "x", "ftp://a", "https://", "https://a b", "https://u@a", "https://a?b", "https://a#b", "https://a:x", "https://a:0", "https://[::1"]
)
def test_what_is_no_server(url: str) -> None:
    with pytest.raises(FitsError):
        base_url("archive_url", url)


def test_a_server_with_a_path() -> None:
    assert base_url("archive_url", "https://archive.example.org:8443/x/") == "https://archive.example.org:8443/x"
