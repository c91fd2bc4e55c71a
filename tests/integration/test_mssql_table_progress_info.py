# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many rows a table of SQL Server has: the real module and the real driver, against a stand-in of the server that grows while it is watched."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from lab.tds import SqlServer, Table
from support import run_ok, run_refused
from unit.plugins.module_utils.connect.certificates import Authority, Pair, day

DATABASE = "OpenCORONATempTables"
MODULE = "mssql_table_progress_info"


class Backend:
    """Options that reach the stand-in."""

    def __init__(self, server: SqlServer) -> None:
        self.server = server
        self.tables = server.catalogue
        self.user, self.password = next(iter(server.users.items()))

    def options(self, **more: Any) -> dict[str, Any]:
        known = {"login_host": "127.0.0.1", "login_port": self.server.port, "login_user": self.user, "login_password": self.password}
        return {**known, "interval": 0.5, "timeout": 5, "login_timeout": 5, "config_files": [], **more}

    def look(self, table: str, check: bool = False, **options: Any) -> dict[str, Any]:
        return run_ok(MODULE, self.options(table=table, **options), check)

    def refused(self, table: str = "t", **options: Any) -> dict[str, Any]:
        return run_refused(MODULE, self.options(table=table, **options))

    def url(self, **parts: Any) -> str:
        return "mssql://{user}:{password}@127.0.0.1:{port}/OpenCORONA".format(
            **{"user": self.user, "password": quote(self.password, safe=""), "port": self.server.port, **parts}
        )


@pytest.fixture
def backend() -> Iterator[Backend]:
    with SqlServer() as server:
        yield Backend(server)
        assert server.seen.refused == []


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("sql") / "authority")


@pytest.fixture
def encrypted(authority: Authority) -> Iterator[Callable[..., Backend]]:
    """A server that offers or demands encryption, with a certificate for the given names."""
    running: list[SqlServer] = []

    def start(encryption: str = "available", name: str = "DNS:localhost") -> Backend:
        pair: Pair = authority.make(name.lower().replace(":", "-"), "/CN=sql", names=(name,), start=day(-1), end=day(30))
        server = SqlServer(encryption, str(pair.certificate), str(pair.key))
        running.append(server)
        server.__enter__()
        server.catalogue.table(DATABASE, "t", rows=5)
        return Backend(server)

    yield start
    for server in running:
        server.__exit__(None, None, None)


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"].removeprefix("jobrunner.table_progress.") for finding in result["findings"]]


def only(result: dict[str, Any]) -> dict[str, Any]:
    assert len(result["tables"]) == 1, result["tables"]
    table: dict[str, Any] = result["tables"][0]
    return table


# -- what is seen --------------------------------------------------------------------------------------------------------


@pytest.mark.step("O17")
def test_a_table_that_grows_and_when_it_is_done(backend: Backend) -> None:
    backend.tables.table(DATABASE, "cohort_1", rows=10_000, rate=1000, indexes=(1, 2, 3), age=90)
    backend.tables.table(DATABASE, "cohort_10", rows=77)
    result = backend.look("cohort_1", expected_rows=20_000, interval=1)
    table = only(result)
    assert codes(result) == ["progressing"]
    assert not result["changed"]
    assert (table["short_name"], table["schema"], table["database"], table["source"]) == ("cohort_1", "dbo", DATABASE, "sys.partitions")
    assert 10_900 < table["rows"] < 12_000  # of three indexes, one counts
    assert 900 < table["rows"] - table["rows_before"] < 1300
    assert table["rows_per_second"] == pytest.approx(1000, rel=0.15)
    assert table["eta_seconds"] == pytest.approx((20_000 - table["rows"]) / 1000, rel=0.2)
    assert 54 < table["percent"] < 60
    assert 90 <= table["age"] <= 95
    assert table["eta"] in result["findings"][0]["summary"]
    assert result["evidence"]["version"] == "15.0.4210.1"
    assert result["evidence"]["looks"] == 2


@pytest.mark.step("O17")
def test_a_table_that_does_not_grow(backend: Backend) -> None:
    table = backend.tables.table(DATABASE, "cohort", rows=1_234_567, rate=10_000)
    assert codes(backend.look("cohort")) == ["progressing"]
    table.at(2_000_000, 0)
    result = backend.look("cohort", expected_rows=3_000_000)
    assert codes(result) == ["not_moving"]
    assert result["findings"][0]["severity"] == "warning"
    assert "about 2000000 rows" in result["findings"][0]["summary"]
    assert (only(result)["rows_per_second"], only(result)["eta"]) == (0.0, None)
    assert codes(backend.look("cohort", expected_rows=2_000_000)) == ["complete"]
    table.at(2_000_000, -5000)
    result = backend.look("cohort")
    assert codes(result) == ["shrinking"]
    assert "rolled back" in result["findings"][0]["remedy"]["text"]


def test_one_look_tells_rows_only(backend: Backend) -> None:
    backend.tables.table(DATABASE, "cohort", rows=500, rate=1000)
    started = time.monotonic()
    result = backend.look("cohort", interval=0)
    assert time.monotonic() - started < 2
    assert codes(result) == ["seen"]
    assert (only(result)["rows_before"], only(result)["rows_per_second"]) == (None, None)


def test_a_table_that_is_not_there(backend: Backend) -> None:
    backend.tables.table(DATABASE, "hidden", rows=5, hidden=True)
    for name in ("nothing", "hidden", "#nothing"):
        result = backend.look(name, interval=0)
        assert codes(result) == ["missing"]
        assert (result["tables"], result["matched"], result["findings"][0]["severity"]) == ([], 0, "warning")
    assert "may not see it" in result["findings"][0]["summary"]


@pytest.mark.step("O17")
def test_temporary_tables_are_found_under_their_padded_names(backend: Backend) -> None:
    mine = backend.tables.temporary("#tmp_1", session=0x2D, rows=1000, rate=500)
    backend.tables.temporary("#tmp_10", rows=3)
    backend.tables.temporary("#tmpX1", rows=3)  # what a bare _ in LIKE would match too
    backend.tables.table("tempdb", "#A1B2C3D4", rows=9)  # a table variable
    result = backend.look("#tmp_1")
    table = only(result)
    assert (table["short_name"], table["name"], table["database"]) == ("#tmp_1", mine.name, "tempdb")
    assert len(mine.name) == 128
    assert codes(result) == ["progressing"]
    assert result["findings"][0]["subject"] == "#tmp_1 (00000000002D)"
    assert sorted(table["short_name"] for table in backend.look("#tmp_1", match="prefix", interval=0)["tables"]) == ["#tmp_1", "#tmp_10"]
    assert only(backend.look("#TMP_1", interval=0))["short_name"] == "#tmp_1"  # as the server's collation has it


def test_each_session_has_a_table_of_its_own(backend: Backend) -> None:
    backend.tables.temporary("#t", session=1, rows=10, rate=100)
    backend.tables.temporary("#t", session=2, rows=5_000)
    result = backend.look("#t")
    assert codes(result) == ["not_moving", "progressing", "several"]
    assert result["tables"][0]["rows"] == 5_000
    assert result["findings"][2]["severity"] == "warning"
    assert result["matched"] == 2


def test_a_name_of_full_length_and_a_global_one(backend: Backend) -> None:
    name = "#" + "x" * 115
    backend.tables.temporary(name, rows=7)
    backend.tables.table("tempdb", "##shared", rows=8)
    assert only(backend.look(name, interval=0))["rows"] == 7
    assert only(backend.look("##shared", interval=0))["rows"] == 8
    assert only(backend.look("##shared", interval=0, count=True))["source"] == "count"


NAMES = ("50%_of[all]", "a]b", "[x]", "it's", "semi;colon--", "sel\\ect", "100%s", "{table}", "naïve 表", "a.b.c", "' OR 1=1 --", "%", "_")


@pytest.mark.step("O17")
@pytest.mark.parametrize("name", NAMES)
def test_every_character_of_a_name_stands_for_itself(backend: Backend, name: str) -> None:
    backend.tables.table(DATABASE, name, rows=11)
    backend.tables.table(DATABASE, "zz", rows=22)
    backend.tables.table(DATABASE, "50 of a", rows=33)
    assert only(backend.look(name, interval=0))["rows"] == 11
    counted = only(backend.look(name, interval=0, count=True))
    assert (counted["rows"], counted["source"], counted["name"]) == (11, "count", name)
    backend.tables.temporary("#" + name, rows=44)
    assert only(backend.look("#" + name, interval=0))["short_name"] == "#" + name
    assert only(backend.look("#" + name, interval=0, match="prefix"))["rows"] == 44


@pytest.mark.parametrize("database", ["db]x", "per%cent", "o'clock", "OpenCORONA"])
def test_another_database_and_schema(backend: Backend, database: str) -> None:
    backend.tables.databases.setdefault(database, [])
    backend.tables.table(database, "t", rows=1, schema="dbo")
    backend.tables.table(database, "t", rows=2, schema="odd]schema")
    result = backend.look("t", database=database, interval=0)
    assert codes(result) == ["seen", "seen", "several"]
    chosen = only(backend.look("t", database=database, schema="odd]schema", interval=0, count=True))
    assert (chosen["rows"], chosen["source"], chosen["schema"]) == (2, "count", "odd]schema")


def test_a_table_that_comes_goes_or_is_made_anew(backend: Backend) -> None:
    def during(act: Callable[[], Any]) -> dict[str, Any]:
        timer = threading.Timer(0.4, act)
        timer.start()
        result = backend.look("t", interval=1)
        timer.join()
        return result

    made: list[Table] = []
    assert codes(during(lambda: made.append(backend.tables.table(DATABASE, "t", rows=4)))) == ["new"]
    assert codes(during(lambda: made.append(backend.tables.renew(made[-1], rows=1)))) == ["new", "gone", "several"]
    assert codes(during(lambda: backend.tables.drop(made[-1]))) == ["gone"]


def test_check_mode_looks_just_the_same(backend: Backend) -> None:
    backend.tables.table(DATABASE, "cohort", rows=500)
    result = backend.look("cohort", check=True)
    assert (codes(result), result["changed"]) == (["not_moving"], False)


def test_nothing_is_sent_but_looks(backend: Backend) -> None:
    backend.tables.table(DATABASE, "t", rows=500)
    backend.look("t", count=True)
    first, *others = backend.server.seen.statements
    assert first.startswith("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED; SET LOCK_TIMEOUT 5000")
    assert len(others) == 5
    assert all(statement.startswith("SELECT ") for statement in others)
    assert all("NOLOCK" in statement for statement in others if "COUNT_BIG" in statement)
    assert not any(word in " ".join(others) for word in ("OBJECT_ID(", "OBJECT_NAME(", "SCHEMA_NAME("))
    login = backend.server.seen.logins[0]
    assert (login.application, login.read_only, len(backend.server.seen.logins)) == ("fieldops.runbooks", False, 1)


# -- what may not be had ---------------------------------------------------------------------------------------------------


@pytest.mark.step("O17")
def test_counting_that_is_not_allowed_falls_back_to_the_estimate(backend: Backend) -> None:
    table = backend.tables.table(DATABASE, "t", rows=500, rate=1000, denied=True)
    result = backend.look("t", count=True)
    assert codes(result) == ["progressing", "count_unavailable"]
    assert only(result)["source"] == "sys.partitions"
    assert "SELECT permission was denied" in result["findings"][1]["detail"]["reason"]
    table.denied = False
    assert codes(backend.look("t", count=True)) == ["progressing"]


@pytest.mark.step("O17")
def test_counting_that_takes_too_long_is_ended_on_the_server(backend: Backend) -> None:
    table = backend.tables.table(DATABASE, "t", rows=500, rate=1000, count_seconds=60)
    result = backend.look("t", count=True, timeout=1)
    assert codes(result) == ["progressing", "count_unavailable"]
    assert "did not answer within 1 s" in result["findings"][1]["detail"]["reason"]
    deadline = time.monotonic() + 5
    while backend.server.seen.running:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert backend.server.seen.abandoned + backend.server.seen.attentions == 2
    table.count_seconds = 0.2
    assert codes(backend.look("t", count=True, timeout=1)) == ["progressing"]


def test_a_locked_table_is_not_waited_for_for_long(backend: Backend) -> None:
    backend.tables.table(DATABASE, "t", rows=500, locked=True)
    started = time.monotonic()
    result = backend.look("t", count=True, interval=0, timeout=30)
    assert 4.5 < time.monotonic() - started < 8
    assert codes(result) == ["seen", "count_unavailable"]
    assert "Lock request time out" in result["findings"][1]["summary"]


def test_the_first_count_fails_and_the_second_does_not(backend: Backend) -> None:
    """Numbers of two kinds are not compared."""
    table = backend.tables.table(DATABASE, "t", rows=500, denied=True)
    timer = threading.Timer(0.4, lambda: setattr(table, "denied", False))
    timer.start()
    result = backend.look("t", count=True, interval=1)
    timer.join()
    assert codes(result) == ["seen", "count_unavailable"]
    assert (only(result)["source"], only(result)["rows_per_second"], only(result)["rows_before"]) == ("count", None, 500)


def test_only_one_table_is_counted(backend: Backend) -> None:
    backend.tables.table(DATABASE, "t1", rows=1, count_seconds=60)
    backend.tables.table(DATABASE, "t2", rows=2, count_seconds=60)
    result = backend.look("t", match="prefix", count=True, interval=0)
    assert codes(result) == ["seen", "seen", "several", "count_unavailable"]
    assert not any("COUNT_BIG" in statement for statement in backend.server.seen.statements)


@pytest.mark.step("O17")
def test_the_second_view_when_the_first_may_not_be_read(backend: Backend) -> None:
    backend.tables.table(DATABASE, "t", rows=500, rate=1000, indexes=(0, 2))
    backend.tables.denied_views.add("partitions")
    result = backend.look("t")
    assert (codes(result), only(result)["source"]) == (["progressing"], "sys.dm_db_partition_stats")
    assert 500 <= only(result)["rows_before"] < 1000
    backend.tables.denied_views.add("dm_db_partition_stats")
    assert "may read neither sys.partitions nor sys.dm_db_partition_stats" in backend.refused()["msg"]


def test_a_table_without_a_row_count(backend: Backend) -> None:
    backend.tables.table(DATABASE, "t", rows=500, indexes=())
    result = backend.look("t")
    assert (codes(result), only(result)["rows"]) == (["no_estimate"], None)


def test_databases_that_are_not_there_or_closed(backend: Backend) -> None:
    assert "there is no database Nowhere" in backend.refused(database="Nowhere")["msg"]
    backend.tables.closed.add(DATABASE)
    assert f"reader may not enter the database {DATABASE}" in backend.refused()["msg"]


# -- what goes wrong -------------------------------------------------------------------------------------------------------


@pytest.mark.step("O17")
def test_a_wrong_password(backend: Backend) -> None:
    result = backend.refused(login_password="wr0ng-Horse")
    assert "cannot connect to SQL Server" in result["msg"]
    assert "wr0ng-Horse" not in json.dumps(result)
    assert "the database OpenCORONA cannot be opened" in backend.refused(login_password="x", login_db="OpenCORONA")["msg"]
    assert "the database Nope cannot be opened" in backend.refused(login_db="Nope")["msg"]


@pytest.mark.step("O17")
def test_a_server_that_does_not_answer(backend: Backend) -> None:
    backend.tables.table(DATABASE, "t", rows=500)
    backend.server.faults.deaf = True
    started = time.monotonic()
    assert "did not answer within 1 s" in backend.refused(login_timeout=1)["msg"]
    assert time.monotonic() - started < 4
    backend.server.faults.deaf, backend.server.faults.mute = False, True
    started = time.monotonic()
    assert "did not answer within 1 s" in backend.refused(timeout=1)["msg"]
    assert time.monotonic() - started < 4
    backend.server.faults.mute, backend.server.faults.hang_query = False, True
    assert "did not answer within 1 s" in backend.refused(timeout=1)["msg"]
    backend.server.faults.hang_query = False
    assert codes(backend.look("t")) == ["not_moving"]


@pytest.mark.step("O17")
@pytest.mark.parametrize("after", [0, 5, 30, 90])
def test_a_server_that_goes_away_in_the_middle_of_an_answer(backend: Backend, after: int) -> None:
    backend.tables.table(DATABASE, "t", rows=500)
    backend.server.faults.cut_answer = after
    assert "broke off the connection" in backend.refused()["msg"]


@pytest.mark.step("O17")
def test_a_server_that_goes_away_between_the_looks(backend: Backend) -> None:
    backend.tables.table(DATABASE, "t", rows=500)
    timer = threading.Timer(0.4, lambda: setattr(backend.server.faults, "cut_answer", 20))
    timer.start()
    result = backend.look("t", interval=1)
    timer.join()
    assert codes(result) == ["seen", "interrupted"]
    assert only(result)["rows"] == 500
    assert "broke off" in result["findings"][1]["summary"]


def test_no_server_at_all(backend: Backend) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert "Connection refused" in backend.refused(login_port=unused.getsockname()[1])["msg"]
    assert "Name or service not known" in backend.refused(login_host="no-such-host.invalid")["msg"]
    backend.server.faults.down = True
    assert "cannot connect to SQL Server" in backend.refused()["msg"]


def test_a_driver_that_never_comes_back_is_not_waited_for(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pymssql 2.4.1 does after a time-out."""
    import pymssql
    from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import mssql

    release = threading.Event()
    real = pymssql.connect

    class Stuck:
        def __init__(self, connection: Any) -> None:
            self.connection = connection

        def cursor(self) -> Any:
            release.wait(60)
            return self.connection.cursor()

        def close(self) -> None:
            release.wait(60)

    monkeypatch.setattr(mssql, "_GRACE", 0.2)
    monkeypatch.setattr(pymssql, "connect", lambda **options: Stuck(real(**options)))
    started = time.monotonic()
    assert "did not answer within 1 s" in backend.refused(timeout=1)["msg"]
    assert time.monotonic() - started < 4
    release.set()


# -- where the server is, and secrets ----------------------------------------------------------------------------------------


@pytest.mark.step("O17")
def test_the_server_comes_from_the_backends_own_configuration(backend: Backend, tmp_path: Path) -> None:
    backend.tables.databases["Scratch"] = []
    backend.tables.table("Scratch", "t", rows=3)
    files = [tmp_path / name for name in ("01_defaults.env", "02_secrets.env")]
    files[0].write_text("DEFAULT_DATABASE_URL=mssql://nobody:nothing@127.0.0.1:1/x\nTEMP_DATABASE_NAME=Scratch\n")
    files[1].write_text(f'DEFAULT_DATABASE_URL="{backend.url()}"\nOTHER_URL={backend.url(user="other")}\n')
    options = {"table": "t", "interval": 0, "config_files": [str(file) for file in files]}
    result = run_ok(MODULE, options)
    assert (only(result)["rows"], only(result)["database"]) == (3, "Scratch")
    assert result["evidence"]["server"] == f"127.0.0.1:{backend.server.port}"
    assert [login.database for login in backend.server.seen.logins] == ["OpenCORONA"]
    assert "as other: " in run_refused(MODULE, {**options, "database_url_from": "OTHER_URL"})["msg"]
    assert "none of the config_files that can be read here sets NO_URL" in run_refused(MODULE, {**options, "database_url_from": "NO_URL"})["msg"]
    files[1].write_text("DEFAULT_DATABASE_URL=mssql://u:half/p@ss@host/db\n")
    refused = run_refused(MODULE, options)["msg"]
    assert "DEFAULT_DATABASE_URL in " in refused
    assert "half" not in refused
    assert "ss@" not in refused


def test_a_password_from_a_file_is_masked_even_where_somebody_asks_for_a_table_of_that_name(backend: Backend, tmp_path: Path) -> None:
    environment = tmp_path / "02_secrets.env"
    environment.write_text(f"DEFAULT_DATABASE_URL={backend.url()}\n")
    result = run_ok(MODULE, {"table": backend.password, "interval": 0, "config_files": [str(environment)]})
    assert codes(result) == ["missing"]
    assert backend.password not in json.dumps(result, ensure_ascii=False)
    assert "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER" in result["findings"][0]["subject"]


def test_a_url_in_all_its_forms(backend: Backend) -> None:
    backend.tables.table(DATABASE, "t", rows=3)
    for url in (backend.url(), backend.url().replace("mssql://", "mssql+pymssql://"), backend.url().replace("/OpenCORONA", ""), backend.url() + "?x=y"):
        assert only(run_ok(MODULE, {"database_url": url, "table": "t", "interval": 0, "config_files": []}))["rows"] == 3


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p4ssw0rd@h/d",
        "mssql://u:p4ssw0rd@h@h/d",
        "mssql://u@p4ssw0rd/d",
        "mssql://u:p4ssw0rd@h:99999/d",
        "mssql://u:p4ssw0rd@h:p4ssw0rd/d",
        "p4ssw0rd",
        "mssql://u:p4ssw0rd@/d",
        "mssql://u:p4ssw0rd@h\\inst/d",
        "mssql://u:p4ssw0rd\n@h/d%0a",
    ],
)
def test_a_url_that_is_none_is_refused_without_being_shown(url: str) -> None:
    result = run_refused(MODULE, {"database_url": url, "table": "t", "config_files": []})
    assert "p4ssw0rd" not in json.dumps(result)
    assert any(words in result["msg"] for words in ("is not of the form", "no port", "is not the name or address", "must be a name"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"table": ""}, "table must be a name of 1 to 128 characters"),
        ({"table": "a\nb"}, "table must be a name"),
        ({"table": "x" * 129}, "table must be a name"),
        ({"table": "#" + "x" * 116}, "at most 116 characters"),
        ({"table": "#t", "database": "x"}, "all in tempdb"),
        ({"table": "#t", "schema": "x"}, "all in tempdb"),
        ({"table": "#t", "count": True}, "cannot be counted"),
        ({"database": "x\0y"}, "database must be a name"),
        ({"schema": ""}, "schema must be a name"),
        ({"interval": -1}, "interval must be 0 to 3600"),
        ({"interval": float("nan")}, "interval must be 0 to 3600"),
        ({"interval": 3601}, "interval must be 0 to 3600"),
        ({"expected_rows": 0}, "expected_rows must be 1 or more"),
        ({"timeout": 0}, "timeout must be 1 to 86400"),
        ({"login_timeout": -1}, "login_timeout must be 1 to 86400"),
        ({"login_port": 70000}, "there is no port 70000"),
        ({"login_host": "sql\\instance"}, "an instance is reached by its port"),
        ({"login_host": "h\nhost = elsewhere"}, "is not the name or address of a host"),
        ({"login_db": "x\nhost = elsewhere"}, "the database to log in to must be a name"),
        ({"login_password": "p" * 129}, "the password must have 1 to 128 characters"),
        ({"ca_cert": "/nowhere.pem"}, "/nowhere.pem is not a file"),
        ({"encryption": "maybe"}, "encryption must be one of"),
        ({"match": "like"}, "match must be one of"),
        ({"database_url": "mssql://u:p@h/d"}, "mutually exclusive"),
        ({"login_user": None}, "login_user"),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(backend: Backend, options: dict[str, Any], words: str) -> None:
    given = {name: value for name, value in backend.options(**{"table": "t", **options}).items() if value is not None}
    result = run_refused(MODULE, given)
    assert words in result["msg"]
    assert backend.server.seen.logins == []
    assert "p" * 129 not in result["msg"]


@pytest.mark.step("O17")
def test_the_password_is_encrypted_wherever_the_server_can(encrypted: Callable[..., Backend], backend: Backend) -> None:
    for level in ("available", "forced"):
        other = encrypted(level)
        for encryption in ("request", "require"):
            assert only(other.look("t", interval=0, encryption=encryption))["rows"] == 5
        assert [login.clear for login in other.server.seen.logins] == [False, False]
    assert "encryption is require" in backend.refused(encryption="require")["msg"]
    assert backend.server.seen.logins == []  # the password was not sent
    backend.tables.table(DATABASE, "t", rows=5)
    backend.look("t", interval=0)
    assert [login.clear for login in backend.server.seen.logins] == [True]


@pytest.mark.step("O17")
def test_the_certificate_must_be_right_where_an_authority_is_named(encrypted: Callable[..., Backend], authority: Authority, tmp_path: Path) -> None:
    right, wrong = encrypted(), encrypted(name="DNS:other.example.org")
    ca = str(authority.own.certificate)
    assert only(right.look("t", interval=0, login_host="localhost", ca_cert=ca))["rows"] == 5
    other = Authority(tmp_path / "other", "Another authority")
    for server, certificates in ((right, str(other.own.certificate)), (wrong, ca)):
        before = len(server.server.seen.logins)
        assert "its certificate is not of an authority" in server.refused(login_host="localhost", ca_cert=certificates)["msg"]
        assert len(server.server.seen.logins) == before
    assert "encryption is off" in right.refused(ca_cert=ca, encryption="off")["msg"]


def test_the_nodes_own_settings_neither_divert_nor_record_the_connection(backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend.tables.table(DATABASE, "t", rows=5)
    dump, settings = tmp_path / "dump", tmp_path / "freetds.conf"
    settings.write_text(f"[global]\nport = 1\ndump file = {dump}\n")
    for name, value in (("TDSDUMP", str(dump)), ("TDSPORT", "1"), ("TDSHOST", "192.0.2.1"), ("FREETDSCONF", str(settings))):
        monkeypatch.setenv(name, value)
    assert only(backend.look("t", interval=0))["rows"] == 5
    assert not dump.exists()
    assert os.environ["TDSPORT"] == "1"


@pytest.mark.step("O17")
@pytest.mark.parametrize("fault", ["", "password", "cut", "exception"])
def test_no_secret_is_shown_at_any_verbosity(backend: Backend, tmp_path: Path, fault: str) -> None:
    backend.tables.table(DATABASE, "t", rows=5, rate=100)
    environment = tmp_path / "02_secrets.env"
    environment.write_text(f"DEFAULT_DATABASE_URL={backend.url()}\n")
    password = "Ano/ther+s3cret" if fault == "password" else backend.password
    known = {"login_host": "127.0.0.1", "login_port": backend.server.port, "login_user": backend.user, "login_password": password}
    ways: list[dict[str, Any]] = [known, {"database_url": backend.url(password=quote(password, safe=""))}, {"config_files": [str(environment)]}]
    if fault == "cut":
        backend.server.faults.cut_answer = 20
    extra = {"table": "t", "interval": 0.1, "timeout": 5}
    tasks: list[dict[str, Any]] = [{"name": f"way {n}", f"fieldops.runbooks.{MODULE}": {**extra, **way}, "ignore_errors": True} for n, way in enumerate(ways)]
    printed, output = play(tasks, tmp_path, {"FAIL_HARD": "1"} if fault == "exception" else {})
    for secret in (password, quote(password, safe=""), quote(password), backend.password, quote(backend.password, safe="")):
        assert secret not in output
        assert json.dumps(secret)[1:-1] not in output
    assert ("jobrunner.table_progress." in output) == (fault in ("", "password"))
    assert printed.count("...ignoring") == {"": 0, "password": 2}.get(fault, 3)
    assert ("Login failed for user 'reader'" in printed) == (fault == "password")


def play(tasks: list[dict[str, Any]], folder: Path, environment: dict[str, str]) -> tuple[str, str]:
    """What ansible-playbook prints at -vvv; and that with its errors and its log."""
    if "FAIL_HARD" in environment:  # the driver itself breaks, with the password in the words of the exception
        broken = folder / "broken"
        broken.mkdir()
        (broken / "pymssql.py").write_text(
            "class Error(Exception):\n    pass\n\n\ndef connect(**options):\n    raise RuntimeError('cannot use ' + repr(options) + options['password'])\n"
        )
        environment = {"PYTHONPATH": str(broken)}
    book = folder / "play.json"
    plays = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
    book.write_text(json.dumps(plays))
    root = Path(__file__).resolve().parents[2]
    more = {"ANSIBLE_LOG_PATH": str(folder / "log"), "ANSIBLE_COLLECTIONS_PATH": str(root / ".cache/tree"), "ANSIBLE_LOCAL_TEMP": str(folder / "local")}
    interpreter = f"ansible_python_interpreter={sys.executable}"
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-vvv", "-i", "localhost,", "-e", interpreter, str(book)]
    done = subprocess.run(command, env={**os.environ, **more, **environment}, capture_output=True, text=True, cwd=folder, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout + done.stderr
    with suppress(FileNotFoundError):
        text += (folder / "log").read_text()
    return done.stdout, text
