# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of SQL Server: what it refuses, and what the runbook's own queries give on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymssql
import pytest

from lab.tds import SqlServer


@pytest.fixture
def server() -> Iterator[SqlServer]:
    with SqlServer() as running:
        yield running


def ask(server: SqlServer, statement: str) -> list[tuple[Any, ...]]:
    user, password = next(iter(server.users.items()))
    with pymssql.connect(
        server="127.0.0.1", port=str(server.port), user=user, password=password, autocommit=True, timeout=5, login_timeout=5, conn_properties=""
    ) as connection:
        cursor = connection.cursor()
        cursor.execute(statement)
        return list(cursor.fetchall())


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM x",
        "INSERT INTO x VALUES (1)",
        "UPDATE x SET y = 1",
        "DROP TABLE x",
        "CREATE TABLE x (y int)",
        "EXEC sp_who",
        "KILL 5",
        "BEGIN TRAN",
        "SELECT 1 AS a INTO x",
        "SELECT 1 AS a; DELETE FROM x",
        "SET NOCOUNT ON; TRUNCATE TABLE x",
        "SELECT 'it''s' AS a; DROP TABLE [a;b]",
        "USE master",
        "",
    ],
)
def test_whatever_is_not_a_look_is_refused(server: SqlServer, statement: str) -> None:
    if not statement:
        assert ask(server, "SELECT 'a;b' AS a") == [("a;b",)]
        assert server.seen.refused == []
        return
    with pytest.raises(pymssql.Error, match="only for looking"):
        ask(server, statement)
    assert len(server.seen.refused) == 1


def test_the_runbooks_own_query_counts_each_index_and_takes_too_many_tables(server: SqlServer) -> None:
    server.catalogue.temporary("#t_1", rows=10, indexes=(1, 2, 3))
    server.catalogue.temporary("#tx1", rows=5)
    rows = ask(
        server,
        "SELECT t.name, p.rows FROM tempdb.sys.tables t JOIN tempdb.sys.partitions p ON t.object_id = p.object_id WHERE t.name like '#t_1%'",
    )
    assert sorted(number for _name, number in rows) == [5, 10, 10, 10]


def test_patterns_are_those_of_transact_sql(server: SqlServer) -> None:
    for name in ("a[b", "ab", "AxB"):
        server.catalogue.table("OpenCORONA", name)
    names = "SELECT t.name FROM [OpenCORONA].sys.tables AS t WHERE t.name LIKE "
    assert ask(server, names + "'a[bc]'") == [("ab",)]
    assert ask(server, names + "'a[b'") == []  # as the server has it, a set that is not closed matches nothing
    assert ask(server, names + "N'a\\[b' ESCAPE '\\'") == [("a[b",)]
    assert ask(server, names + "'a_b'") == [("a[b",), ("AxB",)]


def test_a_wrong_password_gets_nowhere(server: SqlServer) -> None:
    with pytest.raises(pymssql.Error):
        pymssql.connect(server="127.0.0.1", port=str(server.port), user="reader", password="wrong", login_timeout=5)
    assert [login.accepted for login in server.seen.logins] == [False]
    assert server.seen.statements == []
