# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be told of SQL Server without a server."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import mssql
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.mssql import (
    Mssql,
    MssqlError,
    MssqlTimeout,
    Server,
    like_prefix,
    parse_url,
    quote_name,
    quote_text,
    server_of,
)

SERVER = Server("sql.example.org", 1433, "reader", "p@ss/w%rd", "OpenCORONA")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mssql://reader:p%40ss%2Fw%25rd@sql.example.org:1433/OpenCORONA", SERVER),
        ("mssql+pymssql://reader:p%40ss/w%25rd@sql.example.org/OpenCORONA?charset=utf8", SERVER),
        ("mssql://u:p@10.0.0.1:1500", Server("10.0.0.1", 1500, "u", "p")),
        ("mssql://u:p:q@[2001:db8::1]:1500/", Server("2001:db8::1", 1500, "u", "p:q")),
        (" mssql://u%5Cv:p@h/d ", Server("h", 1433, "u\\v", "p", "d")),
    ],
)
def test_urls(url: str, expected: Server) -> None:
    assert parse_url(url) == expected


def test_a_server_does_not_show_its_password() -> None:
    assert "p@ss" not in repr(SERVER)
    assert set(SERVER.secrets) == {"p@ss/w%rd", "p%40ss%2Fw%25rd", "p%40ss/w%25rd"}
    assert Server("::1", 5, "u", "p").where == "[::1]:5"


@pytest.mark.parametrize("missing", ["login_user", "login_password"])
def test_a_host_needs_a_login(missing: str) -> None:
    params = {"login_host": "h", "login_port": 1433, "login_user": "u", "login_password": "p", "login_db": None}
    assert server_of(params) == Server("h", 1433, "u", "p")
    with pytest.raises(MssqlError, match="needs login_user and login_password"):
        server_of(dict(params, **{missing: None}))


def test_quoting() -> None:
    assert quote_name("a]b[c]'d\"") == "[a]]b[c]]'d\"]"
    assert quote_text("it's; -- 100%\\") == "N'it''s; -- 100%\\'"
    assert like_prefix("50%_of[all]^\\-") == "50\\%\\_of\\[all]^\\\\-%"
    for text in ("a\\\nb", "a\0b"):
        with pytest.raises(MssqlError, match="without control characters"):
            quote_text(text)


def told(arguments: Any, what: str = "", **options: Any) -> MssqlError:
    asked = Mssql(SERVER, **options)
    return asked._told_connecting(Exception(*arguments), what) if what else asked._told(Exception(*arguments))


REFUSED = b"DB-Lib error message 20009, severity 9:\nUnable to connect (h)\nNet-Lib error during Connection refused (111)\n"
SPOKEN = b"The SELECT permission was denied.DB-Lib error message 20018, severity 14:\nGeneral SQL Server error: Check messages from the SQL Server\n"
EOF = b"DB-Lib error message 20017, severity 9:\nUnexpected EOF from the server\n"
LATE = b"DB-Lib error message 20003, severity 6:\nTDS server connection timed out\nDB-Lib error message 20047, severity 9:\nDBPROCESS is dead or not enabled\n"


@pytest.mark.parametrize(
    ("arguments", "what", "kind", "words", "number"),
    [
        ((229, SPOKEN), "", MssqlError, "SQL Server at sql.example.org:1433: The SELECT permission was denied.", 229),
        ((20017, EOF), "", MssqlError, "broke off the connection: Unexpected EOF from the server", 0),
        (((20017, EOF),), "no way: ", MssqlError, "no way: Unexpected EOF from the server (perhaps no encryption could be agreed on", 0),
        ((20018, EOF.replace(b"20017", b"20018")), "no way: ", MssqlError, "no way: the server refuses the login", 20018),
        ((20047, LATE), "", MssqlTimeout, "SQL Server at sql.example.org:1433 did not answer within 60 s", 0),
        (((20009, REFUSED),), "no way: ", MssqlError, "no way: Connection refused", 0),
        (((20003, LATE),), "no way: ", MssqlTimeout, "no way: it did not answer within 15 s", 0),
        (("Not connected to any MS SQL server",), "", MssqlError, "cannot be asked: Exception: Not connected to any MS SQL server", 0),
        (("bad p@ss/w%rd and p%40ss%2Fw%25rd",), "", MssqlError, "cannot be asked: Exception: bad ******** and ********", 0),
        (((18456, b"Login failed for user 'x'.DB-Lib error message 20018"),), "no way: ", MssqlError, "or the database OpenCORONA cannot be opened", 18456),
        ((), "", MssqlError, "cannot be asked: Exception", 0),
    ],
)
def test_what_the_driver_says_in_words(arguments: Any, what: str, kind: type, words: str, number: int) -> None:
    error = told(arguments, what)
    assert error.__class__ is kind
    assert words in str(error)
    assert (error.number, error.denied) == (number, number == 229)


def test_a_connection_is_kept_only_while_it_is_of_use() -> None:
    connection = Mssql(SERVER)
    for arguments, kept in (((229, SPOKEN), True), ((1222, b"Lock request time out"), True), ((20047, LATE), False), (("Not connected",), False)):
        connection._connection = object()
        connection._told(Exception(*arguments))
        assert (connection._connection is not None) == kept
    connection.close()


def test_nobody_waits_for_ever() -> None:
    started = time.monotonic()
    with pytest.raises(mssql._Late):
        mssql._within(0.1, lambda: time.sleep(2))
    assert time.monotonic() - started < 1
    assert mssql._within(5, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        mssql._within(5, lambda: 1 // 0)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mssql, "pymssql", None)
    with pytest.raises(MssqlError, match="python3-pymssql"):
        Mssql(SERVER)
