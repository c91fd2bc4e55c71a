# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pages say holds: the commands name what there is, and the database roles are enough, and not more."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.mongo import Mongod
from node import Node
from pages import DOCS, blocks
from support import run_module, run_ok

ROOT = DOCS.parent
COMMANDS = ("ansible-playbook", "ansible-doc", "ansible")
NAME = re.compile(r"fieldops\.runbooks\.(\w+)")


def commands(page: Path) -> list[list[str]]:
    """Those of Ansible, in blocks for a shell."""
    lines = [line for block in blocks(page.name, "sh") for line in block.replace("\\\n", " ").splitlines()]
    words = [shlex.split(line, comments=True) for line in lines if re.search(r"fieldops\.runbooks\.", line) and line.startswith(COMMANDS)]
    return [line for line in words if line]


def variables() -> set[str]:
    """All that roles take, and what playbooks ask for by themselves."""
    known = set()
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            known |= set(entry.get("options", {}))
    return known


def wrong(words: list[str], known: set[str]) -> list[str]:
    """What a command names that there is not."""
    said = []
    for n, word in enumerate(words[1:], start=1):
        before = words[n - 1]
        if (found := NAME.fullmatch(word)) is not None:
            folder = "playbooks/{}.yml" if words[0] == "ansible-playbook" else "plugins/modules/{}.py"
            if not (ROOT / folder.format(found.group(1))).is_file():
                said.append(word)
        elif before in ("-e", "--extra-vars"):
            names = set(yaml.safe_load(word)) if word.startswith("{") else {pair.partition("=")[0] for pair in shlex.split(word)}
            said += sorted(names - known)
    return said


def test_commands_name_what_there_is() -> None:
    known = variables()
    told = {page.name: commands(page) for page in sorted(DOCS.glob("*.md"))}
    assert {page.name for page in DOCS.glob("symptom_*.md")} | {"getting_started.md"} <= {name for name, lines in told.items() if lines}
    assert {f"{name}: {shlex.join(line)}": bad for name, lines in told.items() for line in lines if (bad := wrong(line, known))} == {}


def test_a_command_that_names_nothing_is_found() -> None:
    line = ["ansible-playbook", "-i", "mine", "fieldops.runbooks.no_such", "-e", "no_such_variable=1"]
    assert wrong(line, variables()) == ["fieldops.runbooks.no_such", "no_such_variable"]


@pytest.fixture
def roles(own_node: Node) -> Any:
    """Exactly those of the page."""
    server = own_node.server.connect(own_node.database)
    with server.cursor() as cursor:
        for block in blocks("security.md", "sql"):
            cursor.execute(block)
    yield own_node
    with server.cursor() as cursor:
        cursor.execute("DROP OWNED BY fits_mend, fits_look; DROP ROLE fits_mend; DROP ROLE fits_look")
    server.close()


def test_the_roles_of_the_page(roles: Node) -> None:
    """One may look and no more; the other one mends."""
    before = roles.rows()
    known = {name: value for name, value in roles.options(login_user="fits_look").items() if name not in ("queue", "settle", "journal_dir")}
    assert {finding["severity"] for finding in run_ok("fits_queue_info", known)["findings"]} & {"warning", "critical"}
    roles.failed(roles.fix(login_user="fits_look"), "the database user may not mend ingestqueue: it needs SELECT, INSERT, UPDATE and DELETE on it")
    assert roles.rows() == before
    assert roles.history()["runs"] == []
    planned = run_module("fits_queue_reset", roles.options(login_user="fits_mend"), check=True)
    assert roles.rows() == before
    mended = roles.fixed(login_user="fits_mend")
    assert len(mended["changes"]) == len(planned["changes"]) > 0
    assert not roles.fix(login_user="fits_mend")["changed"]
    undone = roles.undo(mended["undo_id"], login_user="fits_mend")
    assert undone["changed"], undone
    assert roles.rows() == before


@pytest.mark.parametrize("queue", ["ingest", "export"])
def test_the_roles_suffice_for_every_queue(roles: Node, queue: str) -> None:
    """A failed row of each is put back in line, and the repair taken back."""
    row = roles.make.failed(queue, "another.fits")
    mended = roles.fixed(login_user="fits_mend", queue=queue, conditions=["failed"])
    assert row in [change["before"]["id"] for change in mended["changes"]]
    assert roles.undo(mended["undo_id"], login_user="fits_mend")["changed"]
    queues = {name for (name,) in roles.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename ~ 'queue$'")}
    may = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND has_table_privilege(%s, oid, %s)"
    assert {name for (name,) in roles.execute(may, "fits_mend", "DELETE")} == queues >= {"ingestqueue", "exportqueue"}
    assert roles.execute(may, "fits_look", "UPDATE") == []


@pytest.fixture
def set_with_users(tmp_path: Path) -> Iterator[Mongod]:
    """A set of one where people log in, and the two users of the page."""
    with Mongod(tmp_path / "db", key="laboratory" * 4) as mongod:
        mongod.initiate()
        mongod.add_user("root", "root-password", ["root"])
        mongod.login = ("root", "root-password")
        for block in blocks("security.md", "json"):
            command = json.loads(block)
            mongod.add_user(command["createUser"], f"{command['createUser']}-password", command["roles"])
        yield mongod


def test_the_users_of_mongodb(set_with_users: Mongod, journal_dir: str) -> None:
    """One may look and no more; the other one makes it PRIMARY again. Neither reads what it has no business with."""

    def as_user(name: str) -> dict[str, Any]:
        return {**set_with_users.params, "login_user": name, "login_password": f"{name}-password"}

    set_with_users.step_down(600)
    seen = run_ok("mongodb_replica_set_info", as_user("talus_look"))
    assert (seen["condition"], seen["command_line_set"]) == ("stepped_down", "rs0")
    mend = {"journal_dir": journal_dir, "wait": 60}
    refused = run_module("mongodb_replica_set_repair", {**as_user("talus_look"), **mend})
    assert refused.get("failed") and not refused.get("changed"), refused
    assert run_ok("mongodb_replica_set_info", as_user("talus_look"))["condition"] == "stepped_down"
    mended = run_ok("mongodb_replica_set_repair", {**as_user("talus_mend"), **mend})
    assert [change["action"] for change in mended["changes"]] == ["lift_step_down"]
    assert mended["replica_set"]["proven_at"]
    assert run_ok("mongodb_replica_set_info", as_user("talus_look"))["condition"] == "healthy"
    query = {"database": "talus", "collection": "slaves"}
    assert run_ok("mongodb_query_info", {**as_user("talus_look"), **query})["changed"] is False
    assert run_module("mongodb_query_info", {**as_user("talus_mend"), **query}).get("failed")


def test_the_rights_of_every_module_are_told() -> None:
    text = (DOCS / "security.md").read_text(encoding="utf-8")
    table = text[text.index("## Rights of each module") : text.index("## What is written where")]
    told = re.findall(r"`((?:[a-z]+_)+[a-z]+)`", "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|")))
    assert sorted(set(told)) == sorted(path.stem for path in ROOT.glob("plugins/modules/*.py") if path.stem != "__init__")
