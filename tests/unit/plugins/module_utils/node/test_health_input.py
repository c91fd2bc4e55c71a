# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the options mean, and what is refused with one clear error."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.logtime import FORMATS
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.argspec import TIME_FORMATS
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.sizes import parse_amount, parse_size, show_age, show_size
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import RunbookError
from hypothesis import given
from hypothesis import strategies as st

from .expectations import expected, wanted


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("17", 17),
        ("17B", 17),
        ("1K", 1024),
        ("1k", 1024),
        ("1.5 KiB", 1536),
        ("5G", 5 << 30),
        ("5GB", 5 << 30),
        (" 2T ", 2 << 40),
        ("1P", 1 << 50),
        ("10Q", None),
        ("10%", None),
        ("-1", None),
        ("1e3", None),
        ("", None),
        ("G", None),
    ],
)
def test_sizes(text: str, size: Any) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(("text", "of_1000"), [("10%", 100), ("12.5 %", 125), ("100%", 1000), ("512", 512), ("1K", 1024)])
def test_amounts(text: str, of_1000: float) -> None:
    amount = parse_amount(text)
    assert amount is not None
    assert amount.of(1000) == of_1000


@pytest.mark.parametrize("text", ["101%", "10Q", "%", "-5%", "ten"])
def test_no_amounts(text: str) -> None:
    assert parse_amount(text) is None


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0"), (1023, "1023"), (1024, "1.0K"), (10240, "10K"), (1536 << 20, "1.5G"), (2 << 50, "2.0P"), (5000 << 50, "5000P")]
)
def test_sizes_are_shown(size: int, shown: str) -> None:
    assert show_size(size) == shown


@given(st.integers(0, 1 << 55))
def test_what_is_shown_is_a_size_again(size: int) -> None:
    again = parse_size(show_size(size))
    assert again is not None
    assert abs(again - size) <= 0.06 * size


@pytest.mark.parametrize(("age", "shown"), [(0.25, "0.2 s"), (59, "59 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172800, "2 d")])
def test_ages_are_shown(age: float, shown: str) -> None:
    assert show_age(age) == shown


@pytest.mark.parametrize(
    ("option", "expectation", "words"),
    [
        ("processes", {"title": "("}, ["processes[0].title must be a regular expression", "'('"]),
        ("processes", {"program": " "}, ["processes[0].program must be not empty"]),
        ("processes", {"args": []}, ["processes[0].args"]),
        ("processes", {"program": "x", "min": 2, "max": 1}, ["processes[0].max must be at least min, which is 2, not 1"]),
        ("processes", {"program": "x", "min": -1}, ["processes[0].min must be 0 or more, not -1"]),
        ("processes", {"program": "x", "min_age": float("nan")}, ["processes[0].min_age must be 0 or more"]),
        ("units", {"name": ""}, ["units[0].name must be"]),
        ("units", {"name": "two words"}, ["units[0].name must be the name of a unit"]),
        ("units", {"name": "--force"}, ["units[0].name must be the name of a unit"]),
        ("units", {"name": "x", "min_uptime": -1}, ["units[0].min_uptime must be 0 or more"]),
        ("sockets", {"port": 0}, ["sockets[0].port must be a port, 1 to 65535, not 0"]),
        ("sockets", {"port": 80, "address": "localhost"}, ["sockets[0].address must be an IP address, not 'localhost'"]),
        ("sockets", {"path": "run/x.sock"}, ["sockets[0].path must be an absolute path"]),
        ("sockets", {"port": 80, "owner": "root"}, ["sockets[0].owner must be given together with program"]),
        ("paths", {"path": "data"}, ["paths[0].path must be an absolute path, not 'data'"]),
        ("paths", {"path": "/data\0"}, ["paths[0].path must be an absolute path"]),
        ("paths", {"path": "/", "min_free": "10Q"}, ["paths[0].min_free must be a share such as 10% or a size such as 5G, not '10Q'"]),
        ("paths", {"path": "/", "deleted_open": "5%"}, ["paths[0].deleted_open must be a size such as 512M"]),
        ("paths", {"path": "/", "mode": "u=rw"}, ["paths[0].mode must be octal digits in quotes"]),
        ("paths", {"path": "/", "mode": 420}, ["paths[0].mode"]),
        ("paths", {"path": "/", "list": False, "account": True}, ["paths[0].account must be left out where list is false"]),
        ("paths", {"path": "/", "list": False, "newest_match": "*"}, ["paths[0].newest_match"]),
        ("paths", {"path": "/", "depth": 0}, ["paths[0].depth must be 1 or more, not 0"]),
        ("logs", {"path": "log"}, ["logs[0].path must be an absolute path"]),
        ("logs", {"path": "/*/log"}, ["logs[0].path must be a path in which only the last part is a pattern"]),
        ("logs", {"path": "/log", "patterns": [{"name": "a", "regex": "["}]}, ["logs[0].patterns[0].regex must be a regular expression"]),
        ("logs", {"path": "/log", "patterns": [{"name": "a", "regex": "a"}, {"name": "a", "regex": "b"}]}, ["logs[0].patterns must have names that differ"]),
        ("logs", {"path": "/log", "benign": ["ok", "*"]}, ["logs[0].benign[1] must be a regular expression"]),
        ("logs", {"path": "/log", "max_bytes": "0"}, ["logs[0].max_bytes must be a size of more than nothing"]),
        ("logs", {"path": "/log", "must_end_with": "("}, ["logs[0].must_end_with must be a regular expression"]),
        ("logs", {"path": "/log", "must_grow": True}, ["logs[0].must_grow needs watch"]),
        ("http", {"url": "ftp://example.org/"}, ["http[0].url must be a URL of scheme http or https"]),
        ("http", {"url": "http://me:secret@example.org/"}, ["http[0].url"]),
        ("http", {"url": "http://example.org/", "method": "GET /"}, ["http[0].method"]),
        ("http", {"url": "http://example.org/", "status": [99]}, ["http[0].status must be a list of status codes"]),
        ("http", {"url": "http://example.org/", "status": []}, ["http[0].status"]),
        ("http", {"url": "http://example.org/", "headers": {"a b": "c"}}, ["http[0]: header 'a b'"]),
        ("http", {"url": "http://example.org/", "unix_socket": "x"}, ["http[0].unix_socket must be an absolute path"]),
        ("tcp", {"host": "", "port": 1}, ["tcp[0].host must be not empty"]),
        ("tcp", {"host": "h", "port": 65536}, ["tcp[0].port must be a port"]),
        ("certificates", {"host": "h", "since": "yesterday"}, ["certificates[0].since must be a time such as 2026-01-30"]),
        ("certificates", {"file": "/x.pem", "trusted": True}, ["certificates[0].trusted must be left out for a file"]),
        ("certificates", {"host": " "}, ["certificates[0].host must be not empty"]),
    ],
)
def test_what_cannot_be_meant_is_refused(option: str, expectation: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(RunbookError) as caught:
        wanted(option, **expectation)
    for word in words:
        assert word in str(caught.value)


def test_a_secret_header_is_refused_without_its_value() -> None:
    with pytest.raises(RunbookError) as caught:
        wanted("http", url="http://example.org/", secret_headers={"Authorization": "geheim\r\nX: y"})
    assert "Authorization" in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_limits_are_read() -> None:
    limits = expected(load_per_cpu=1.5, min_available_memory="10%", max_oom_kills=0).limits
    assert limits.asked == 3
    with pytest.raises(RunbookError, match="min_available_memory must be a share"):
        expected(min_available_memory="lots")
    with pytest.raises(RunbookError, match="load_per_cpu must be 0 or more"):
        expected(load_per_cpu=-1)


def test_what_an_expectation_says_of_its_findings() -> None:
    remedy = {"text": "start it", "playbook": "fieldops.runbooks.fits_website", "vars": {"fits_restart": True}}
    given = {"program": "httpd", "name": "web", "code": "fits.web", "severity": "info", "subject": "site", "runbook": "Heading", "remedy": remedy}
    said = expected(runbook_file="fits.rst", processes=[given]).processes[0].said
    assert said.bad("missing", "critical", "gone", n=1).to_dict() == {
        "code": "fits.web.missing",
        "severity": "info",
        "subject": "site",
        "summary": "web: gone",
        "detail": {"n": 1},
        "remedy": remedy,
        "runbook": {"file": "fits.rst", "heading": "Heading"},
    }
    dark = said.unknown("dark").to_dict()
    assert (dark["code"], dark["severity"], dark["remedy"]) == ("fits.web.unknown", "warning", None)


def test_a_heading_without_a_file_is_none() -> None:
    assert wanted("processes", program="httpd", runbook="Heading").said.runbook is None


@pytest.mark.parametrize(
    ("option", "expectation", "name"),
    [
        ("processes", {"program": "/opt/x.py", "args": ["--demon", "a"]}, "/opt/x.py --demon a"),
        ("processes", {"title": "nginx.*"}, "nginx.*"),
        ("units", {"name": "fits-httpd"}, "fits-httpd"),
        ("sockets", {"port": 8000}, "tcp port 8000"),
        ("sockets", {"path": "@bus"}, "@bus"),
        ("paths", {"path": "/data"}, "/data"),
        ("tcp", {"host": "db", "port": 5432}, "db port 5432"),
        ("certificates", {"host": "web"}, "certificate of web:443"),
    ],
)
def test_names_are_made_from_what_is_asked_for(option: str, expectation: dict[str, Any], name: str) -> None:
    said = wanted(option, **expectation).said
    assert said.name == said.subject == name
    assert said.code == "node.%s" % {"processes": "process", "certificates": "certificate"}.get(option, option.rstrip("s"))


def test_every_time_format_can_be_asked_for() -> None:
    assert sorted(TIME_FORMATS) == sorted(["none", *FORMATS])
