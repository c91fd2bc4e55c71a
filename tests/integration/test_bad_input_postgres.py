# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that is not there, says no, or goes away in the middle: one clear error each, and nothing changed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import postgres
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.observe import FitsHost
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.rows import RowStore
from lab.fits import schema
from lab.pg import Postgres
from node import NAMES, Node
from support import run_module

MODULES = ("fits_queue_info", "fits_queue_reset")


def call(node: Node, module: str, **options: Any) -> dict[str, Any]:
    known = node.options(**options)
    if module == "fits_queue_info":
        known = {name: value for name, value in known.items() if name not in ("queue", "settle", "journal_dir")}
    return run_module(module, known)


@pytest.fixture(params=MODULES)
def module(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# -- not reached ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"login_db": "no_such"}, ["cannot connect to database no_such on /", 'database "no_such" does not exist']),
        ({"login_db": "host=elsewhere dbname=x"}, ['database "host=elsewhere dbname=x" does not exist']),
        ({"login_user": "no_such"}, ['role "no_such" does not exist']),
        ({"login_unix_socket": "/nowhere"}, ["on /nowhere: ", "No such file or directory"]),
        ({"login_unix_socket": None, "login_host": "no-such-host.invalid"}, ["on no-such-host.invalid: ", "could not translate host name"]),
        ({"login_unix_socket": None, "login_host": "127.0.0.1", "login_port": 1}, ["on 127.0.0.1: ", "Connection refused"]),
        ({"login_unix_socket": None, "login_host": "127.0.0.1", "login_port": 99999}, ['invalid port number: "99999"']),
        ({"login_db": "a\0b"}, ["cannot connect to database"]),
        ({"peer_user": "no_such_user"}, ["peer_user: there is no user no_such_user on this node"]),
    ],
)
def test_not_reached(node: Node, module: str, options: dict[str, Any], words: list[str]) -> None:
    before = node.rows()
    node.failed(call(node, module, **options), *words)
    assert node.rows() == before
    assert node.history()["runs"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_peer_user_is_who_connects(server: Postgres, node: Node) -> None:
    """The server sees another user, and the module is root again right after."""
    server.connect("postgres").cursor().execute("DO $$ BEGIN CREATE ROLE daemon LOGIN IN ROLE fits_ro; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    params = {**node.connection, "login_user": None, "peer_user": "daemon"}
    found = postgres.Postgres(params, "fitsdata")
    try:
        assert found.row("SELECT current_user")[0] == "daemon"
        assert (os.geteuid(), os.getegid()) == (0, 0)
    finally:
        found.close()
    node.failed(call(node, "fits_queue_reset", login_user=None, peer_user="daemon"), "the database user may not")


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is played by a root that gives up its rights")
def test_only_root_can_be_another_user(node: Node) -> None:
    with mock.patch.object(os, "geteuid", lambda: 65534):
        node.failed(call(node, "fits_queue_info", peer_user="daemon"), "peer_user: only root, or daemon, can connect as daemon")


def test_without_the_library(node: Node, module: str) -> None:
    with mock.patch.object(postgres, "psycopg2", None):
        node.failed(call(node, module), "the Python library psycopg2 is missing on this node (Debian: python3-psycopg2)")


def test_a_file_name_that_no_server_takes(node: Node, module: str) -> None:
    before = node.rows()
    node.failed(call(node, module, filename=["a\0b.fits"]), "NUL")
    assert node.rows() == before


# -- not allowed ------------------------------------------------------------------------------------------------------


def test_a_role_that_may_read(node: Node) -> None:
    before = node.rows()
    assert call(node, "fits_queue_info", login_user=schema.READ_ONLY)["queues"]["ingest"]["orphaned"] == 2
    for check in (True, False):
        node.failed(node.fix(check=check, login_user=schema.READ_ONLY), "may not mend ingestqueue: it needs SELECT, INSERT, UPDATE and DELETE")
    assert node.rows() == before


def test_a_role_that_may_nothing(own_node: Node, module: str) -> None:
    own_node.execute(f"REVOKE ALL ON ingestqueue FROM {schema.READ_ONLY}")
    own_node.failed(call(own_node, module, login_user=schema.READ_ONLY), "may not read ingestqueue", "needs SELECT")


def test_a_role_that_may_update_some_columns_only(own_node: Node) -> None:
    before = own_node.rows()
    own_node.execute(f"GRANT UPDATE (inprogress) ON ingestqueue TO {schema.READ_ONLY}")
    own_node.failed(own_node.fix(login_user=schema.READ_ONLY), "may not")
    assert own_node.rows() == before


# -- goes away, or keeps one waiting ----------------------------------------------------------------------------------


def at_update(action: Any) -> Any:
    """In the transaction, after the deletions and before anything is updated."""
    real = RowStore._update

    def update(store: RowStore, images: Any) -> None:
        action()
        real(store, images)

    return mock.patch.object(RowStore, "_update", update)


def test_session_ended_in_the_middle(node: Node) -> None:
    before = node.rows()

    def end() -> None:
        node.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", postgres.APPLICATION_NAME)

    with at_update(end):
        result = node.fix()
    node.failed(result, "the connection to database", "was lost", "What had not been committed was rolled back")
    assert node.rows() == before
    [run] = node.runs()
    assert (run.status, run.undo_id) == ("failed", result["undo_id"])
    assert [change["done"] for change in result["changes"]] == [False] * 3
    undone = node.undo(result["undo_id"])
    assert (undone["changed"], undone["undo_id"]) == (False, None)
    assert node.fix()["changed"]


def test_session_ended_in_the_moment_of_the_commit(node: Node) -> None:
    """Whether it was made cannot be known: the journal says so, and undo finds out."""
    before = node.rows()
    real = postgres.Postgres.rows

    def rows(self: postgres.Postgres, statement: Any, values: Any = None) -> Any:
        found = real(self, statement, values)
        if statement == "COMMIT" and node.rows() != before:  # made; the answer is what gets lost
            self._connection.close()
            raise postgres.PostgresError("server closed the connection unexpectedly")
        return found

    with mock.patch.object(postgres.Postgres, "rows", rows):
        result = node.fix()
    assert result["failed"]
    assert "whether it was made only shows by looking" in result["msg"]
    assert {entry.state for entry in node.runs()[0].changes} == {"unknown"}
    assert node.rows() != before
    assert node.undo(result["undo_id"])["changed"]
    assert node.rows() == before


def test_table_locked(node: Node, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a migration, say."""
    before = node.rows()
    monkeypatch.setattr(postgres.Postgres.__init__, "__defaults__", (60000, 150))
    node.session.autocommit = False
    node.execute("LOCK TABLE ingestqueue IN ACCESS EXCLUSIVE MODE")
    node.failed(call(node, module), "canceling statement due to lock timeout")
    node.session.rollback()
    node.session.autocommit = True
    assert node.rows() == before


def test_statement_too_slow(own_node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    before = own_node.rows()
    own_node.execute("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END'")
    own_node.execute("CREATE TRIGGER slow BEFORE UPDATE ON ingestqueue FOR EACH ROW EXECUTE FUNCTION slow()")
    monkeypatch.setattr(FitsHost.__init__, "__defaults__", (500,))
    result = own_node.fix()
    own_node.failed(result, "canceling statement due to statement timeout")
    assert own_node.rows() == before
    assert own_node.runs()[0].status == "failed"
    assert not own_node.undo(result["undo_id"])["changed"]


def test_a_row_that_another_session_holds_is_left_alone(node: Node) -> None:
    node.session.autocommit = False
    node.execute("SELECT 1 FROM ingestqueue WHERE id = %s FOR UPDATE", node.ids[0])
    result = node.fix()
    node.session.rollback()
    node.session.autocommit = True
    assert result["changed"]
    assert {change["before"]["id"]: change["done"] for change in result["changes"]} == {node.ids[0]: False, node.ids[1]: True, node.ids[2]: True}
    assert node.rows()[node.ids[0]]["inprogress"] is True
    assert node.fix()["changes_total"] == 1


def test_constraint_refuses(own_node: Node) -> None:
    before = own_node.rows()
    own_node.execute("ALTER TABLE ingestqueue ADD CONSTRAINT strict CHECK (inprogress)  NOT VALID")
    own_node.failed(own_node.fix(), "the queue changed while it was being mended, and nothing was written", 'violates check constraint "strict"')
    assert own_node.rows() == before


# -- a server with passwords and TLS, which is killed at last ---------------------------------------------------------


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """As from another host: over TCP and TLS, with a password. One for all, since nothing that is tried changes it."""
    with Postgres(listen="127.0.0.1", auth="scram-sha-256", password="super-4711", tls="require", fsync=True) as server:
        schema.create(server, "fitsdata", "C", password="geheim-815")
        options = {"login_host": "localhost", "login_port": server.tls_port, "login_user": schema.OWNER, "login_password": "geheim-815"}
        path = tmp_path_factory.mktemp("far")
        places = {"scripts_dir": str(path / "scripts"), "log_dir": [str(path)], "lockfile_dir": [str(path)]}
        node = Node(server, "fitsdata", {**options, "ssl_mode": "verify-full", "ca_cert": server.ca_cert}, places, str(path / "journal"))
        yield node
        node.session.close()


def test_far_and_verified(far: Node) -> None:
    assert not call(far, "fits_queue_info").get("failed")
    assert far.fix(check=True)["changed"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"login_password": "falsch-0815"}, ["password authentication failed for user"]),
        ({"login_password": None}, ["no password supplied"]),
        ({"ca_cert": "/etc/hostname"}, ["could not"]),
        ({"ca_cert": "/nowhere/ca.crt"}, ['root certificate file "/nowhere/ca.crt" does not exist']),
        ({"login_host": "127.0.0.2"}, ["Connection refused"]),
        ({"ssl_mode": "disable"}, ["no encryption"]),
    ],
    ids=["wrong password", "no password", "no certificate", "no such certificate", "nobody there", "no TLS"],
)
def test_far_and_refused(far: Node, module: str, options: dict[str, Any], words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSFILE", "/nowhere")
    result = call(far, module, **options)
    far.failed(result, "cannot connect to database", *words)
    assert "falsch-0815" not in str(result)
    assert "geheim-815" not in str(result)


def test_certificate_of_an_unknown_authority(far: Node, module: str, tmp_path: Any) -> None:
    from lab.pg_tls import make_certificates

    make_certificates(tmp_path / "other")
    far.failed(call(far, module, ca_cert=str(tmp_path / "other" / "ca.crt")), "certificate verify failed")


def test_killed_in_the_middle(far: Node) -> None:
    """The server dies as in a power cut, between two statements of the repair; last, because it starts anew."""
    before = far.rows()
    died = threading.Event()

    def die() -> None:
        far.server.kill()
        died.set()

    with at_update(die):
        result = far.fix()
    assert died.is_set()
    far.failed(result, "the connection to database", "was lost")
    far.failed(far.fix(), "cannot connect to database")
    assert far.history()["lock"] is None
    far.server.start()
    far.session = far.server.connect(far.database)
    assert far.rows() == before
    # Straight to the server: the front still listens, but nobody needs it any more.
    far.connection.update(login_unix_socket=far.server.socket_dir, login_port=far.server.port, ssl_mode="disable")
    assert not far.undo(result["undo_id"])["changed"]
    assert far.fix(filename=[NAMES[0]])["changed"]
