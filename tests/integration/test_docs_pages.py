# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pages say holds: the commands name what there is, and the database roles are enough, and not more."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
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
