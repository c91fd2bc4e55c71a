# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times in logs: what each format is read as, what is no time, and where a line without a year belongs."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Iterator

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.logtime import FORMATS, Clock
from hypothesis import given, settings
from hypothesis import strategies as st

UTC = timezone.utc


@pytest.fixture(params=["Pacific/Honolulu", "America/Santiago", "UTC"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("name", "line", "moment"),
    [
        ("python", b"2026-10-26 13:36:00,123 4711:service:80 INFO: x", datetime(2026, 10, 26, 13, 36, 0, 123000)),
        ("python", b"2026-02-31 13:36:00,000", datetime(2026, 3, 3, 13, 36)),
        ("iso", b"2026-10-26T13:36:00", datetime(2026, 10, 26, 13, 36)),
        ("iso", b"2026-10-26 13:36:00.5 x", datetime(2026, 10, 26, 13, 36, 0, 500000)),
        ("iso", b"2026-10-26T13:36:00.123456789Z", datetime(2026, 10, 26, 13, 36, 0, 123457, UTC)),
        ("iso", b"2026-10-26T13:36:00+05:45 x", datetime(2026, 10, 26, 7, 51, tzinfo=UTC)),
        ("iso", b"2026-10-26T13:36:00,1-1000", datetime(2026, 10, 26, 23, 36, 0, 100000, UTC)),
        ("apache_error", b"[Wed Oct 26 13:36:00.123456 2022] [core:error] [pid 1] x", datetime(2022, 10, 26, 13, 36, 0, 123456)),
        ("apache_error", b"[Sat Oct  1 13:36:00 2022] [error] x", datetime(2022, 10, 1, 13, 36)),
        ("apache_access", b'192.0.2.1 - a [26/Oct/2020:13:36:00 -1000] "GET / HTTP/1.1" 200 5', datetime(2020, 10, 26, 23, 36, tzinfo=UTC)),
        ("nginx_error", b"2020/10/26 13:36:00 [error] 7#7: *1 x", datetime(2020, 10, 26, 13, 36)),
        ("uwsgi", b"[pid: 7|app: 0|req: 3/3] 127.0.0.1 () {42 vars in 5 bytes} [Mon Oct 26 13:36:00 2020] GET /", datetime(2020, 10, 26, 13, 36)),
        ("uwsgi", b"*** Starting uWSGI 2.0.21 (64bit) on [Sat Oct  3 13:36:00 2020] ***", datetime(2020, 10, 3, 13, 36)),
    ],
)
def test_formats(zone: str, name: str, line: bytes, moment: datetime) -> None:
    clock = Clock(name)
    for _again in range(2):
        assert clock.at(line) == pytest.approx(moment.timestamp(), abs=1e-5)
    assert clock.at(b"before\n" + line, 7) == clock.at(line)
    assert not clock.has(b" " + line, 0) or name in ("apache_access", "uwsgi")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("python", b""),
        ("python", b"Traceback (most recent call last):"),
        ("python", b"2026-13-26 13:36:00,123"),
        ("python", b"2026-10-26 24:36:00,123"),
        ("python", b"2026-10-26 13:36:00"),
        ("python", b"2026-10-2\n6 13:36:00,123"),
        ("python", b"0000-01-01 00:00:00,000"),
        ("iso", b"20261026T133600"),
        ("apache_error", b"Wed Oct 26 13:36:00 2022"),
        ("apache_error", b"[Mit Okt 26 13:36:00 2022]"),
        ("apache_access", b"192.0.2.1 - -\n[26/Oct/2020:13:36:00 -1000]"),
        ("apache_access", b"x" * 400 + b"[26/Oct/2020:13:36:00 -1000]"),
        ("nginx_error", b"2020-10-26 13:36:00"),
        ("uwsgi", b"Traceback (most recent call last):"),
        ("uwsgi", b"x" * 700 + b"[Mon Oct 26 13:36:00 2020]"),
        ("syslog", b"Foo 26 13:36:00 host x"),
    ],
)
def test_what_is_no_time(name: str, line: bytes) -> None:
    found = Clock(name).at(line)
    # The year 0 is one for the C library, and long ago.
    assert found is None or (line.startswith(b"0000") and found < 0)


def test_unknown_format() -> None:
    with pytest.raises(ValueError, match="there is no time format rfc9999; there are python, iso, "):
        Clock("rfc9999")


@pytest.mark.parametrize(
    ("line", "year"),
    [(b"Jan  2 03:04:05 host x", 2026), (b"Dec 31 23:59:59 host x", 2025), (b"Jan 11 00:00:00 host x", 2026), (b"Feb  1 00:00:00 host x", 2025)],
)
def test_the_year_of_syslog(zone: str, line: bytes, year: int) -> None:
    """Now is the tenth of January."""
    found = Clock("syslog", now=datetime(2026, 1, 10, 12).timestamp()).at(line)
    assert found is not None
    assert datetime.fromtimestamp(found).year == year


def test_the_first_line_with_a_time() -> None:
    clock = Clock("python")
    data = b"one\ntwo\n2026-10-26 13:36:00,000 x\n"
    assert clock.first(data, 3) == datetime(2026, 10, 26, 13, 36).timestamp()
    assert clock.first(data, 2) is None
    assert clock.first(b"", 5) is None
    assert clock.first(b"one", 5) is None


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(FORMATS)), st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)))
def test_like_strptime(name: str, moment: datetime) -> None:
    spelt = {
        "python": "%Y-%m-%d %H:%M:%S,000",
        "iso": "%Y-%m-%dT%H:%M:%S",
        "apache_error": "[%a %b %d %H:%M:%S.%f %Y]",
        "apache_access": "x [%d/%b/%Y:%H:%M:%S +0000]",
        "nginx_error": "%Y/%m/%d %H:%M:%S",
        "uwsgi": "[pid: 7|app: 0] [%a %b %d %H:%M:%S %Y] GET /",
        "syslog": "%b %d %H:%M:%S",
    }[name]
    line = moment.strftime(spelt)
    told = moment.replace(microsecond=moment.microsecond if "%f" in spelt else 0, tzinfo=UTC if "+0000" in spelt else None)
    assert Clock(name, now=moment.timestamp()).at(line.encode()) == pytest.approx(told.timestamp(), abs=1e-5)
