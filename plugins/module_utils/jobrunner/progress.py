# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many rows a table of SQL Server has, and whether it grows: what is asked of the server.

The names of catalogue views are joined by id, never looked up with OBJECT_ID() and its kin: those wait for the locks of the very INSERT that
is watched, whatever the isolation level.
"""

from __future__ import annotations

import time
from typing import Any, List, Mapping, Optional, Tuple

from ..connect.mssql import Mssql, MssqlError, MssqlTimeout, Server, check_name, like_prefix, parse_url, server_of
from ..procedure.check import Check
from ..procedure.envelope import Finding
from .config import Config, read_config
from .errors import JobRunnerError
from .progress_verdict import PADDED, Look, ProgressState, Row, Wanted, diagnose, tables

TEMP_DATABASE = "OpenCORONATempTables"
LONGEST_INTERVAL = 3600.0
MOST_TABLES = 200
_MISSING, _CLOSED, _LOCKED = 208, 916, 1222
_SOURCES = (("sys.partitions", "rows"), ("sys.dm_db_partition_stats", "row_count"))
_VERSION = "SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)) AS version"
# index_id 0 is a heap, 1 a clustered index: every other index has a count of its own, which is no row more.
_ESTIMATE = """SELECT s.name AS schema_name, t.name AS table_name, t.object_id, DATEDIFF(second, t.create_date, GETDATE()) AS age, SUM(p.%(column)s) AS estimate
FROM {database}.sys.tables AS t
LEFT JOIN {database}.sys.schemas AS s ON s.schema_id = t.schema_id
LEFT JOIN {database}.%(view)s AS p ON p.object_id = t.object_id AND p.index_id IN (0, 1)
WHERE t.name LIKE {pattern} ESCAPE '\\'%(schema)s
GROUP BY s.name, t.name, t.object_id, t.create_date"""
_COUNT = "SELECT COUNT_BIG(*) AS counted FROM {database}.{schema}.{table} WITH (NOLOCK) OPTION (MAXDOP 1)"


class TableProgress(Check[ProgressState]):
    """Looks at tables twice, some seconds apart, without touching them."""

    name = "mssql_table_progress_info"

    def __init__(self, params: Mapping[str, Any]) -> None:
        config = read_config(params.get("config_files") or ())
        self.wanted = wanted(params, config)
        self.interval = _interval(params["interval"])
        self.server = _server(params, config)
        self.mssql = Mssql(self.server, params["encryption"], params["ca_cert"], params["login_timeout"], params["timeout"])
        self.version = ""

    @property
    def secrets(self) -> Tuple[str, ...]:
        """What Ansible must not show either: the password may come from a file, or out of a URL."""
        return self.server.secrets

    def close(self) -> None:
        self.mssql.close()

    def observe(self) -> ProgressState:
        self.version = str(self.mssql.rows(_VERSION)[0][0])
        looks, trouble = [self._look()], ""
        if self.interval:
            time.sleep(self.interval)
            try:
                looks.append(self._look())
            except MssqlError as exc:  # what was seen is told all the same
                trouble = str(exc)
        return ProgressState(self.wanted, tuple(looks), trouble, time.time())

    def diagnose(self, state: ProgressState) -> List[Finding]:
        return diagnose(state)

    def facts(self, state: ProgressState) -> Mapping[str, Any]:
        found = tables(state)
        return {"tables": [table.to_dict() for table in found[:MOST_TABLES]], "matched": len(found)}

    def evidence(self, state: ProgressState) -> Mapping[str, Any]:
        seen = {"server": self.server.where, "version": self.version, "login_user": self.server.user, "database": self.wanted.database}
        return dict(seen, sources=sorted({row.source for look in state.looks for row in look.rows}), looks=len(state.looks))

    # -- one look ----------------------------------------------------------------------------------------------------------

    def _look(self) -> Look:
        started = time.monotonic()
        rows = self._estimates()
        at = (started + time.monotonic()) / 2
        if not self.wanted.count:
            return Look(at, tuple(rows))
        if len(rows) != 1:
            return Look(at, tuple(rows), "only one table at a time is counted" if rows else "")
        return self._counted(rows[0], at)

    def _estimates(self) -> List[Row]:
        denied: List[str] = []
        for view, column in _SOURCES:
            rows = self._estimate(view, column, denied)
            if rows is not None:
                return [row for row in rows if self.wanted.is_meant(row.name)]
        raise JobRunnerError("%s may read neither %s of %s: %s" % (self.server.user, " nor ".join(dict(_SOURCES)), self.wanted.database, denied[0]))

    def _estimate(self, view: str, column: str, denied: List[str]) -> Optional[List[Row]]:
        """None, and the reason, where the user may not read this view."""
        wanted = self.wanted
        pattern = like_prefix(wanted.name)
        texts = {"pattern": pattern if wanted.own or wanted.prefix else pattern[:-1], "schema": wanted.schema or ""}
        statement = _ESTIMATE % {"view": view, "column": column, "schema": " AND s.name = {schema}" if wanted.schema else ""}
        try:
            found = self.mssql.rows(statement, {"database": wanted.database}, texts)
        except MssqlError as exc:
            if not exc.denied:
                raise self._explained(exc) from exc
            denied.append(str(exc))
            return None
        return [Row(name, schema or "", number, int(age), rows if rows is None else int(rows), view) for schema, name, number, age, rows in found]

    def _counted(self, row: Row, at: float) -> Look:
        """The same with the rows counted, if that can be had."""
        names = {"database": self.wanted.database, "schema": row.schema or "dbo", "table": row.name}
        started = time.monotonic()
        try:
            counted = int(self.mssql.rows(_COUNT, names)[0][0])
        except MssqlError as exc:
            if not (exc.denied or isinstance(exc, MssqlTimeout) or exc.number in (_MISSING, _LOCKED)):
                raise
            return Look(at, (row,), str(exc))
        middle = (started + time.monotonic()) / 2
        return Look(middle, (Row(row.name, row.schema, row.object_id, row.age, counted, "count"),))

    def _explained(self, exc: MssqlError) -> MssqlError:
        """What an error of the catalogue means here."""
        database, user = self.wanted.database, self.server.user
        words = {
            _MISSING: "there is no database %s on this server" % database,
            _CLOSED: "%s may not enter the database %s" % (user, database),
            _LOCKED: "the catalogue of %s is locked, perhaps by the statement that makes the table; try again" % database,
        }.get(exc.number)
        return MssqlError("%s (%s)" % (words, exc), exc.number) if words else exc


# -- options -------------------------------------------------------------------------------------------------------------


def wanted(params: Mapping[str, Any], config: Config) -> Wanted:
    """Which tables are meant, checked."""
    name, schema, prefix = params["table"], params["schema"], params["match"] == "prefix"
    check_name("table", name)
    if params["expected_rows"] is not None and params["expected_rows"] < 1:
        raise JobRunnerError("expected_rows must be 1 or more, not %d" % params["expected_rows"])
    own = name.startswith("#") and not name.startswith("##")
    if name.startswith("#"):
        if params["database"] is not None or schema is not None:
            raise JobRunnerError("tables whose names begin with # are all in tempdb: leave out database and schema")
        if own and params["count"]:
            raise JobRunnerError(
                "the rows of %s cannot be counted: only the session that made it may read it. The estimate is all there is: leave out count" % name
            )
        if own and len(name) > PADDED:
            raise JobRunnerError("the name of a temporary table has at most %d characters, table has %d" % (PADDED, len(name)))
        database = "tempdb"
    else:
        database = check_name("database", params["database"] or config.get("TEMP_DATABASE_NAME") or TEMP_DATABASE)
    if schema is not None:
        check_name("schema", schema)
    return Wanted(name, database, schema, prefix, own, params["count"], params["expected_rows"])


def _interval(seconds: float) -> float:
    if not 0 <= seconds <= LONGEST_INTERVAL:
        raise JobRunnerError("interval must be 0 to %g seconds, not %s" % (LONGEST_INTERVAL, seconds))
    return seconds


def _server(params: Mapping[str, Any], config: Config) -> Server:
    """From the options, else from what the service itself is configured with."""
    if params.get("login_host") or params.get("database_url"):
        return server_of(params)
    variable = params["database_url_from"]
    url = config.get(variable)
    if not url:
        raise JobRunnerError(
            "no server: none of the config_files that can be read here sets %s, so give login_host with login_user and login_password, or database_url"
            % variable
        )
    try:
        return parse_url(url)
    except MssqlError as exc:
        raise JobRunnerError("%s in %s: %s" % (variable, config.origin(variable), exc)) from exc
