# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""runbook_undo on a real queue: what comes back, what is refused and why, and what happens when it is called wrongly."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from lab.fits import schema
from node import NAMES, Node, guards


def test_predicted_done_once_and_redone(node: Node) -> None:
    before = node.rows()
    run = node.fixed()
    after = node.rows()
    predicted = node.undo(run["undo_id"], check=True)
    assert node.rows() == after
    assert len(node.runs()) == 1
    real = node.undo(run["undo_id"])
    assert node.rows() == before
    assert [dict(change, done=True) for change in predicted["changes"]] == real["changes"]
    assert predicted["plan_sha256"] == real["plan_sha256"]
    assert real["undone"] == {"undo_id": run["undo_id"], "fix": "fits_queue_reset", "status": "ok"}
    for check in (True, False):
        again = node.undo(run["undo_id"], check=check)
        assert (again["changed"], again["changes"], again["undo_id"]) == (False, [], None)
    redone = node.undo(real["undo_id"])
    assert redone["changed"]
    assert node.rows() == after
    assert node.undo(redone["undo_id"])["changed"]
    assert node.rows() == before


def test_some_changes_then_the_rest(node: Node) -> None:
    before = node.rows()
    run = node.fixed()
    after = node.rows()
    first, *others = [change["before"]["id"] for change in run["changes"]]
    assert node.undo(run["undo_id"], 0)["changes_total"] == 1
    assert node.rows() == {first: before[first], **{row_id: after[row_id] for row_id in others}}
    assert node.undo(run["undo_id"])["changes_total"] == 2
    assert node.rows() == before


def test_one_row_was_changed_since(node: Node) -> None:
    """Refused as a whole; what stands in the way is named, and so is what is free."""
    run = node.fixed()
    taken = run["changes"][1]["before"]["id"]
    node.execute("UPDATE ingestqueue SET inprogress = true WHERE id = %s", taken)
    after = node.rows()
    for check in (True, False):
        refused = node.undo(run["undo_id"], check=check)
        assert guards(refused) == ["changed_since"]
        [refusal] = refused["refusals"]
        assert refusal["reason"].startswith(f"1 subjects were changed since the run (change 1), first {run['changes'][1]['subject']}: it is now ")
        assert refusal["allow"] == "undo only others: changes: [0, 2]."
        assert refused["findings"][0]["detail"] == {"made": 2, "as_before": 0, "changed": 1, "free": [0, 2]}
        assert node.rows() == after
    assert node.undo(run["undo_id"], 0, 2)["changed"]
    assert node.rows()[taken] == after[taken]
    assert len(node.runs()) == 2


def test_a_row_was_served_since(node: Node) -> None:
    run = node.fixed()
    node.execute("DELETE FROM ingestqueue WHERE filename = %s", NAMES[0])
    assert "it is gone (served, or deleted)" in node.undo(run["undo_id"])["refusals"][0]["reason"]


def test_a_removed_row_whose_place_was_taken(node: Node) -> None:
    """The removed twin may not come back beside a row that is now as it was: a constraint forbids it."""
    node.make.pending("ingest", NAMES[0])
    run = node.fixed(conditions=["orphaned", "twin"])
    removed = [change["before"]["id"] for change in run["changes"] if change["after"] is None]
    assert removed == [node.ids[0]]
    node.execute("UPDATE ingestqueue SET inprogress = true WHERE filename = %s", NAMES[0])
    after = node.rows()
    result = node.undo(run["undo_id"])
    node.failed(result, "nothing was written", "already exists")
    assert node.rows() == after
    assert node.runs()[0].status == "failed"
    node.execute("DELETE FROM ingestqueue WHERE filename = %s", NAMES[0])
    assert node.undo(run["undo_id"])["changed"]
    assert removed[0] in node.rows()


def test_a_removed_row_that_somebody_put_back(node: Node) -> None:
    node.make.pending("ingest", NAMES[0])
    before = node.rows()
    run = node.fixed(conditions=["twin"])
    node.execute("INSERT INTO ingestqueue SELECT * FROM jsonb_populate_record(NULL::ingestqueue, %s)", json.dumps(before[node.ids[0]]))
    assert "it is there again" in node.undo(run["undo_id"])["refusals"][0]["reason"]


# -- called wrongly ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("undo_id", "says"),
    [
        ("20260131T235959-fits_queue_reset-0123abcd", "no run 20260131T235959-fits_queue_reset-0123abcd in the journal below"),
        ("../../../etc/passwd", "is not an id as fixes return it"),
        ("", "is not an id as fixes return it"),
        ("20260131T235959-fits_queue_reset-0123abcd\n", "is not an id as fixes return it"),
    ],
)
def test_unknown_run(node: Node, undo_id: str, says: str) -> None:
    for check in (True, False):
        node.failed(node.undo(undo_id, check=check), says)
    assert not os.path.exists(node.journal_dir)


@pytest.mark.parametrize("numbers", [[3], [-1], [0, 1, 99]])
def test_changes_that_the_run_does_not_have(node: Node, numbers: list[int]) -> None:
    run = node.fixed()
    after = node.rows()
    node.failed(node.undo(run["undo_id"], *numbers), f"has no change {max(numbers, key=abs)}; it has 0 to 2")
    assert node.rows() == after


def test_another_version_of_the_journal(node: Node) -> None:
    run = node.fixed()
    path = Path(node.journal_dir) / "runs" / f"{run['undo_id']}.jsonl"
    path.write_text(path.read_text(encoding="ascii").replace('"v":1', '"v":2'), encoding="ascii")
    node.failed(node.undo(run["undo_id"]), "journal version 2 is not supported; this collection writes and reads version 1")
    [finding] = node.history()["findings"]
    assert finding["code"] == "runbook.journal.unreadable"


def test_a_damaged_journal(node: Node) -> None:
    run = node.fixed()
    path = Path(node.journal_dir) / "runs" / f"{run['undo_id']}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[2], *lines[3:]]))
    after = node.rows()
    node.failed(node.undo(run["undo_id"]), "it is damaged at line 2")
    assert node.rows() == after


def test_a_journal_that_others_may_write(node: Node) -> None:
    run = node.fixed()
    after = node.rows()
    (Path(node.journal_dir) / "runs").chmod(0o777)
    for check in (True, False):
        node.failed(node.undo(run["undo_id"], check=check), "others may write to")
    assert node.rows() == after


def test_a_fix_that_this_version_cannot_undo(node: Node) -> None:
    run = node.fixed()
    other = run["undo_id"].replace("fits_queue_reset", "talus_unlock")
    runs = Path(node.journal_dir) / "runs"
    text = (runs / f"{run['undo_id']}.jsonl").read_text(encoding="ascii").replace("fits_queue_reset", "talus_unlock")
    (runs / f"{other}.jsonl").write_text(text, encoding="ascii")
    node.failed(node.undo(other), "runs of talus_unlock cannot be undone by this version; it undoes: fits_enqueue, fits_permissions, fits_queue_reset")


def test_another_database(node: Node, databases: Databases) -> None:
    """Also one that has the very same rows."""
    run = node.fixed()
    node.session.close()
    other = databases.copy(node.database)
    node.failed(node.undo(run["undo_id"], login_db=other), f"was made on database {node.database}, not on {other}")
    assert node.undo(run["undo_id"], login_db=None)["changed"]


def test_without_connection_options(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    run = node.fixed()
    node.connection = {}
    node.failed(node.undo(run["undo_id"]), f"cannot connect to database {node.database} on the local socket: ")


def test_a_role_that_may_only_read(node: Node) -> None:
    run = node.fixed()
    after = node.rows()
    node.failed(node.undo(run["undo_id"], login_user=schema.READ_ONLY), "the database user may not")
    assert node.rows() == after
    assert node.undo(run["undo_id"])["changed"]


def test_no_undo_id(node: Node) -> None:
    """As a play passes it on when the fix had nothing to do."""
    node.failed(node.undo(None), "undo_id '' is not an id as fixes return it")


def test_an_undo_is_guarded_like_any_fix(node: Node) -> None:
    run = node.fixed()
    predicted = node.undo(run["undo_id"], check=True)
    assert guards(node.undo(run["undo_id"], max_changes=2, approved_plan="0" * 64)) == ["max_changes", "approved_plan"]
    assert node.undo(run["undo_id"], approved_plan=predicted["plan_sha256"])["changed"]


def test_undone_by_many_at_once(node: Node) -> None:
    """Of five that wait for each other, one takes the run back and four find nothing left."""
    before = node.rows()
    run = node.fixed()
    results = _in_children(5, lambda: node.undo(run["undo_id"], lock_wait=60))
    assert sorted(results) == ["False"] * 4 + ["True"]
    assert node.rows() == before


def _in_children(count: int, call: Any) -> list[str]:
    """What ``changed`` is in the results of several processes that do the same."""
    read, write = os.pipe()
    children = []
    for _number in range(count):
        pid = os.fork()
        if pid == 0:
            try:
                result = call()
                os.write(write, f"{result.get('msg') or result['changed']}\n".encode())
            finally:
                os._exit(0)
        children.append(pid)
    os.close(write)
    for pid in children:
        os.waitpid(pid, 0)
    with os.fdopen(read) as pipe:
        return pipe.read().splitlines()
