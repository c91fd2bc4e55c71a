# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be told of PostgreSQL without a server."""

from __future__ import annotations

from typing import Any, Mapping
from unittest import mock

import psycopg2
import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import postgres
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.postgres import Postgres, PostgresError, Transaction, connect_arguments

DEFAULTS = {name: option.get("default") for name, option in postgres.OPTIONS.items()}


def test_what_is_not_given_is_left_to_libpq() -> None:
    assert connect_arguments(DEFAULTS, "fitsdata") == {
        "port": 5432,
        "sslmode": "prefer",
        "connect_timeout": 10,
        "dbname": "fitsdata",
        "application_name": "fieldops.runbooks",
        "client_encoding": "UTF8",
    }


def test_every_option_reaches_libpq() -> None:
    given = dict(DEFAULTS, login_host="db", login_port=6000, login_user="u", login_password="p w'\\", ssl_mode="verify-full", ca_cert="/ca", connect_timeout=3)
    known = connect_arguments(given, "host=elsewhere")
    assert known["host"] == "db"
    assert connect_arguments(dict(given, login_unix_socket="/run"), "d")["host"] == "/run"
    dsn = psycopg2.extensions.parse_dsn(psycopg2.extensions.make_dsn(**known))
    assert dsn["dbname"] == "host=elsewhere"
    assert dsn["host"] == "db"
    assert dsn["password"] == "p w'\\"
    assert (dsn["port"], dsn["user"], dsn["sslmode"], dsn["sslrootcert"], dsn["connect_timeout"]) == ("6000", "u", "verify-full", "/ca", "3")


def test_without_the_library() -> None:
    with mock.patch.object(postgres, "psycopg2", None), pytest.raises(PostgresError, match="psycopg2 is missing on this node"):
        Postgres(DEFAULTS, "fitsdata")


@pytest.mark.parametrize("option", ["login_host", "login_db", "login_user", "login_password"])
def test_a_nul_in_an_option(option: str) -> None:
    with pytest.raises(PostgresError, match="cannot connect to database"):
        Postgres(dict(DEFAULTS, **{"login_host": "/nowhere", option: "a\0b"}), "fitsdata")


def test_the_password_is_in_no_error() -> None:
    with pytest.raises(PostgresError) as failed:
        Postgres(dict(DEFAULTS, login_unix_socket="/nowhere", login_password="geheim"), "fitsdata")
    assert str(failed.value).startswith("cannot connect to database fitsdata on /nowhere: ")
    assert "geheim" not in str(failed.value)
    assert failed.value.sqlstate == ""


class Diag:
    message_primary = "duplicate key value violates unique constraint"
    message_detail = "Key (filename)=(a.fits) already exists."


class Spoken(Exception):
    diag = Diag()

    def __init__(self, pgcode: str) -> None:
        super().__init__("the server's\n  words, and LINE 1: the statement")
        self.pgcode = pgcode


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Spoken("23505"), "duplicate key value violates unique constraint (Key (filename)=(a.fits) already exists.)"),
        (Spoken("42501"), "duplicate key value violates unique constraint"),
        (psycopg2.OperationalError("two\n\tlines \n"), "two lines"),
        (psycopg2.OperationalError(), "OperationalError"),
        (ValueError("a NUL"), "a NUL"),
    ],
)
def test_words_of_an_error(error: Exception, text: str) -> None:
    assert postgres._text(error) == text


@pytest.mark.parametrize(
    ("session", "own", "server_here", "closed", "place"),
    [
        ({"address": "10.0.0.9", "hidden": False}, "", True, True, "here"),
        ({"address": None, "hidden": False}, "", True, False, "here"),
        ({"address": "127.0.0.1", "hidden": False}, "", True, False, "here"),
        ({"address": "10.0.0.9", "hidden": False}, "", True, False, "elsewhere"),
        ({"address": None, "hidden": True}, "", True, False, "unknown"),
        ({"address": "10.0.0.7", "hidden": False}, "10.0.0.7", False, False, "here"),
        ({"address": "10.0.0.9", "hidden": False}, "10.0.0.7", False, False, "elsewhere"),
        ({"address": None, "hidden": False}, "10.0.0.7", False, False, "elsewhere"),
        ({"address": "127.0.0.1", "hidden": False}, "10.0.0.7", False, False, "elsewhere"),
    ],
)
def test_where_a_session_comes_from(session: Mapping[str, Any], own: str, server_here: bool, closed: bool, place: str) -> None:
    assert postgres._place(session, own, server_here, closed) == place


class Recorder:
    """Stands for a connection: notes what it is asked, and fails where it is told to."""

    database, where = "fitsdata", "db"

    def __init__(self, failing: str = "", alive: bool = True) -> None:
        self.failing = failing
        self.alive = alive
        self.asked: Any = []

    def rows(self, statement: str) -> None:
        self.asked.append(statement)
        if statement == self.failing:
            raise PostgresError("%s failed" % statement, "08006")


def test_a_transaction_commits_or_rolls_back() -> None:
    done = Recorder()
    with Transaction(done, read_only=True):  # type: ignore[arg-type]
        pass
    assert done.asked == ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "COMMIT"]
    begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
    for failing, alive, asked in (("", True, [begin, "ROLLBACK"]), ("ROLLBACK", True, [begin, "ROLLBACK"]), ("", False, [begin])):
        broken = Recorder(failing, alive)
        with pytest.raises(KeyError, match="first"), Transaction(broken, read_only=False):  # type: ignore[arg-type]
            raise KeyError("first")
        assert broken.asked == asked


def test_a_commit_that_nobody_heard_of() -> None:
    lost = Recorder("COMMIT", alive=False)
    says = "in the very moment of the commit: whether it was made only shows by looking"
    with pytest.raises(PostgresError, match=says) as failed, Transaction(lost, read_only=False):  # type: ignore[arg-type]
        pass
    assert failed.value.sqlstate == "08006"
    refused = Recorder("COMMIT")
    with pytest.raises(PostgresError, match="COMMIT failed"), Transaction(refused, read_only=False):  # type: ignore[arg-type]
        pass
