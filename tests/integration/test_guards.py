# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards of a real fix: refused as a whole, alike in check mode and for real, saying what would allow it."""

from __future__ import annotations

import os
import signal
import time
from typing import Any
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.rows import RowStore
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.lock import NodeLock
from node import NAMES, Node, Result, guards


def refused(node: Node, **options: Any) -> Result:
    before = node.rows()
    predicted, real = node.fix(check=True, **options), node.fix(**options)
    assert guards(predicted) == guards(real)
    assert predicted["changes"] == real["changes"]
    assert real["changes"]
    assert real["undo_id"] is None
    for refusal in real["refusals"]:
        assert refusal["reason"] in real["msg"]
        assert refusal["allow"] in real["msg"]
    assert node.rows() == before
    return real


def test_max_changes(node: Node) -> None:
    assert guards(refused(node, max_changes=2)) == ["max_changes"]
    assert node.fix(max_changes=3)["changed"]


def test_no_limit(node: Node) -> None:
    assert node.fix(max_changes=0)["changed"]


def test_the_approved_plan_and_no_other(node: Node) -> None:
    approved = node.fix(check=True)["plan_sha256"]
    assert guards(refused(node, approved_plan=approved, filename=[NAMES[0]])) == ["approved_plan"]
    node.make.failed("ingest", "later.fits")
    assert guards(refused(node, approved_plan=approved)) == ["approved_plan"]
    node.execute("DELETE FROM ingestqueue WHERE filename = 'later.fits'")
    node.execute("UPDATE ingestqueue SET after = after - interval '1 second' WHERE id = %s", node.ids[0])
    assert guards(refused(node, approved_plan=approved)) == ["approved_plan"]
    node.execute("UPDATE ingestqueue SET after = after + interval '1 second' WHERE id = %s", node.ids[0])
    assert node.fix(approved_plan=approved.upper())["changed"]
    assert not node.fix(approved_plan=approved)["changed"]


@pytest.mark.parametrize("approved", ["", "yes", "0" * 63, "z" * 64])
def test_what_is_no_hash(node: Node, approved: str) -> None:
    node.failed(node.fix(approved_plan=approved), "approved_plan must be the plan_sha256 of an earlier result (64 hexadecimal digits)")


def test_data_loss_in_its_very_words(node: Node) -> None:
    node.execute("UPDATE ingestqueue SET force = true WHERE id = %s", node.ids[0])
    node.make.pending("ingest", NAMES[0])
    [change] = [change for change in node.fix(check=True, conditions=["twin"])["changes"] if change.get("data_loss")]
    assert guards(refused(node, conditions=["twin"])) == ["accept_data_loss"]
    assert guards(refused(node, conditions=["twin"], accept_data_loss=[change["data_loss"].upper(), "*"])) == ["accept_data_loss"]
    result = node.fixed(conditions=["twin"], accept_data_loss=[change["data_loss"]])
    assert node.undo(result["undo_id"])["changed"]
    assert node.rows()[node.ids[0]]["force"] is True


def break_again(node: Node, row_id: int) -> None:
    node.execute("UPDATE ingestqueue SET inprogress = true WHERE id = %s", row_id)


def test_cooldown(node: Node) -> None:
    first = node.fixed(filename=[NAMES[0]], cooldown=3600)
    break_again(node, node.ids[0])
    again = refused(node, cooldown=3600)
    assert guards(again) == ["cooldown"]
    assert f"on 1 of these subjects 0 s ago (run {first['undo_id']}), first {first['changes'][0]['subject']}" in again["msg"].replace(" 1 s ago", " 0 s ago")
    assert node.fix(cooldown=3600, filename=[NAMES[1]])["changed"]
    assert node.fix(cooldown=0, filename=[NAMES[0]])["changed"]


def test_cooldown_is_released_by_an_undo_and_by_a_failure(node: Node) -> None:
    first = node.fixed(filename=[NAMES[0]])
    assert node.undo(first["undo_id"])["changed"]
    assert node.fix(check=True, cooldown=3600)["changed"]
    with mock.patch.object(RowStore, "_update", side_effect=RuntimeError("broken")):
        failed = node.fix(filename=[NAMES[0]])
    assert (failed["failed"], failed["changed"]) == (True, False)
    assert "unexpected RuntimeError: broken" in failed["msg"]
    assert node.runs()[0].status == "failed"
    assert node.undo(failed["undo_id"])["changed"] is False
    assert node.fix(cooldown=3600)["changed"]


def test_everything_at_once(node: Node) -> None:
    node.fixed(filename=[NAMES[0]])
    break_again(node, node.ids[0])
    node.execute("UPDATE ingestqueue SET force = true WHERE id = %s", node.ids[0])
    node.make.pending("ingest", NAMES[0], path="elsewhere")
    node.make.pending("ingest", NAMES[0])
    lock = NodeLock(node.journal_dir, 900)
    lock.acquire("run-1", "other_fix", "somebody")
    options = {"conditions": ["failed", "orphaned", "twin"], "max_changes": 1, "approved_plan": "0" * 64, "cooldown": 3600}
    real = refused(node, **options)
    assert guards(real) == ["max_changes", "approved_plan", "accept_data_loss", "cooldown", "lock"]
    assert real["msg"].splitlines()[0] == f"fits_queue_reset refused; nothing was changed ({real['changes_total']} planned)."
    lock.release()


@pytest.mark.parametrize(
    ("option", "value"), [("max_changes", -1), ("cooldown", -1), ("lock_wait", -0.1), ("journal_keep_days", -1), ("journal_keep_runs", -1), ("lock_expiry", 59)]
)
def test_values_that_make_no_sense(node: Node, option: str, value: float) -> None:
    options: dict[str, Any] = {option: value}
    node.failed(node.fix(**options), f"{option} must be")


# -- the lock ---------------------------------------------------------------------------------------------------------


def test_a_lock_that_a_live_process_holds(node: Node) -> None:
    """Stopped in the middle of its transaction; killed, it frees the lock at once."""
    pid = os.fork()
    if pid == 0:
        with mock.patch.object(RowStore, "_update", lambda *_arguments: os.kill(os.getpid(), signal.SIGSTOP)):
            node.fix(filename=[NAMES[0]])
        os._exit(1)
    os.waitpid(pid, os.WUNTRACED)
    try:
        told = refused(node, filename=[NAMES[1]])["msg"]
        assert "another remediation is at work on this node: fits_queue_reset (run fits_queue_reset-" in told
        assert f", pid {pid}, by " in told
        started = time.monotonic()
        assert guards(node.fix(filename=[NAMES[1]], lock_wait=0.3)) == ["lock"]
        assert time.monotonic() - started >= 0.3
    finally:
        node.kill(pid)
    assert node.fix(filename=[NAMES[1]])["changed"]
    os.waitpid(pid, 0)


def test_a_lock_that_expired_is_taken_over(node: Node) -> None:
    Journal(node.journal_dir).prepare()
    lock = NodeLock(node.journal_dir, 900, clock=lambda: time.time() - 901)
    lock.acquire("run-1", "other_fix", "somebody")
    assert node.fix()["changed"]


@pytest.mark.parametrize("text", ["", "garbage", "{}", "[1]"])
def test_a_corrupted_lock_file(node: Node, text: str) -> None:
    Journal(node.journal_dir).prepare()
    with open(os.path.join(node.journal_dir, "lock"), "w", encoding="ascii") as file:
        file.write(text)
    assert node.fix(check=True)["changed"]
    assert node.fix()["changed"]


def test_many_at_once(node: Node) -> None:
    """Eight that do not wait: one mends, the others are refused or find nothing to do; eight more find nothing."""
    read, write = os.pipe()
    children = []
    for _number in range(8):
        pid = os.fork()
        if pid == 0:
            try:
                result = node.fix()
                os.write(write, b"refused\n" if "refusals" in result else f"{result['changed']}\n".encode())
            finally:
                os._exit(0)
        children.append(pid)
    os.close(write)
    for pid in children:
        os.waitpid(pid, 0)
    with os.fdopen(read) as pipe:
        seen = pipe.read().splitlines()
    assert len(seen) == 8
    assert seen.count("True") == 1
    assert set(seen) <= {"True", "False", "refused"}
    assert len(node.runs()) == 1
    assert all(not row["inprogress"] for row in node.rows().values())
