# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hare's state of one object, set in a real Consul while others write there too."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.hare import consul as client
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.hare import publish
from lab.consul import NODES, Consul, fid
from lab.mongo import wait_for
from support import run_module, run_ok, run_refused

TOKEN = "4b5a1f7e-0000-4000-8000-9d8c7b6a5948"
IOS, SERVICE, DRIVE, SDEV = fid("r", 0x13), fid("s", 0x23), fid("k", 0x41), fid("d", 0x31)
EVENT_KEY = f"processes/{IOS}"
IOS_KEY = f"m0conf/nodes/{fid('n', 0x10)}/processes/{IOS}"
SDEV_KEY = f"{IOS_KEY}/services/{SERVICE}/sdevs/{SDEV}"
SITE_KEY = f"m0conf/sites/{fid('S', 1)}/racks/{fid('a', 1)}/encls/{fid('e', 1)}/ctrls/{fid('c', 1)}/drives/{DRIVE}"


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consul]:
    with Consul(tmp_path_factory.mktemp("consul")) as started:
        yield started


@pytest.fixture
def consul(lasting: Consul) -> Consul:
    lasting.fill()
    return lasting


class Operator:
    """Somebody with a journal."""

    def __init__(self, consul: Consul, journal_dir: str) -> None:
        self.consul, self.journal = consul, journal_dir

    def arguments(self, **options: Any) -> dict[str, Any]:
        usual = {} if "state" in options else {"state": "failed", "expected": "online"}
        return {"consul_url": self.consul.url, "journal_dir": self.journal, "object": DRIVE, **usual, **options}

    def ok(self, check: bool = False, **options: Any) -> dict[str, Any]:
        return run_ok("hare_state", self.arguments(**options), check=check)

    def refused(self, **options: Any) -> dict[str, Any]:
        return run_refused("hare_state", self.arguments(**options))

    def undo(self, undo_id: str, *changes: int) -> dict[str, Any]:
        return run_module("runbook_undo", {"undo_id": undo_id, "journal_dir": self.journal, "changes": list(changes)})


@pytest.fixture
def operator(consul: Consul, journal_dir: str) -> Operator:
    return Operator(consul, journal_dir)


def guards(result: dict[str, Any]) -> list[str]:
    return [refusal["guard"] for refusal in result["refusals"]]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """``meanwhile(act)``: between the module's last look and its first write, somebody acts."""

    def arrange(act: Callable[[], None]) -> None:
        write, acts = client.Consul.write, [act]

        def late(self: client.Consul, operations: Any) -> Any:
            if acts:
                acts.pop()()
            return write(self, operations)

        monkeypatch.setattr(client.Consul, "write", late)

    return arrange


@pytest.mark.step("M11")
def test_a_drive_predicted_set_told_and_taken_back(operator: Operator, consul: Consul) -> None:
    before = consul.rows()
    predicted = operator.ok(check=True, state="repair", expected="online")
    assert consul.rows() == before
    assert [(change["action"], change["reversible"]) for change in predicted["changes"]] == [("set_state", True), ("publish", False)]
    result = operator.ok(state="repair", expected="online", approved_plan=predicted["plan_sha256"])
    assert [dict(change, done=False) for change in result["changes"]] == predicted["changes"]
    assert consul.values(SDEV_KEY) == {SDEV_KEY: {"path": "/dev/vda", "state": "repairing"}}
    assert consul.values(SITE_KEY)[SITE_KEY]["state"] == "M0_NC_UNKNOWN"  # Hare's own, which nobody reads
    (event,) = consul.events()
    assert event["message_type"] == "M0_HA_MSG_NVEC"
    assert event["payload"] == {"node": NODES[0], "source_type": "drive", "device": "/dev/vda", "state": "repair"}
    assert (consul.values("epoch")["epoch"], result["published"]) == (2, 2)
    rows = consul.rows()
    assert rows["epoch"]["ModifyIndex"] == rows["bq/2"]["ModifyIndex"] == rows[SDEV_KEY]["ModifyIndex"]  # one transaction
    again = operator.ok(state="repair", object=f"<{SDEV.replace('0x', '')}>")
    assert (again["changed"], again["published"], len(consul.events())) == (False, None, 1)
    assert guards(operator.undo(result["undo_id"])) == ["irreversible"]
    assert consul.rows() == rows
    assert operator.undo(result["undo_id"], 0)["changed"]
    assert consul.values(SDEV_KEY)[SDEV_KEY]["state"] == "online"
    assert len(consul.events()) == 1
    assert operator.undo(result["undo_id"], 0)["changed"] is False


@pytest.mark.step("M11")
def test_a_process_in_both_trees(operator: Operator, consul: Consul) -> None:
    result = operator.ok(object=f"<{IOS.replace('0x', '')}>", state="offline", expected="online")
    assert consul.values(IOS_KEY)[IOS_KEY] == {"name": "m0_server", "state": "offline"}
    assert consul.values(EVENT_KEY)[EVENT_KEY] == {"state": "M0_CONF_HA_PROCESS_STOPPED", "type": "M0_CONF_HA_PROCESS_M0D"}
    payload = {"fid": IOS, "state": "M0_CONF_HA_PROCESS_STOPPED", "type": "M0_CONF_HA_PROCESS_M0D"}
    assert [(event["message_type"], event["payload"]) for event in consul.events()] == [("PROCESS-STATE-UPDATE", payload)]
    assert (result["object"]["status"], result["object"]["agree"], result["object"]["state"]) == ("offline", True, "offline")
    assert result["object"]["kv_keys"] == [IOS_KEY, EVENT_KEY]
    consul.put(IOS_KEY, {"name": "m0_server", "state": "failed"})  # one tree alone
    (change, _event) = operator.ok(object=IOS, state="offline", expected="failed")["changes"]
    assert list(change["after"]) == [IOS_KEY]
    assert operator.ok(object="^r|1:0x13", state="online")["object"]["status"] == "started"


@pytest.mark.step("M11")
def test_without_an_event_all_is_taken_back(operator: Operator, consul: Consul) -> None:
    consul.put(SITE_KEY, {"sdev": SDEV, "state": "online"})  # somebody keeps it there too
    before = consul.values()
    result = operator.ok(publish=False)
    assert (consul.values(SITE_KEY)[SITE_KEY]["state"], consul.values(SDEV_KEY)[SDEV_KEY]["state"]) == ("failed", "failed")
    assert (consul.events(), result["published"]) == ([], None)
    assert operator.undo(result["undo_id"])["changed"]
    assert consul.values() == before
    again = operator.ok(publish=False)
    consul.put(SITE_KEY, {"sdev": SDEV, "state": "repaired"})
    assert guards(operator.undo(again["undo_id"])) == ["changed_since"]
    assert consul.values(SDEV_KEY)[SDEV_KEY]["state"] == "failed"


@pytest.mark.step("M11")
def test_a_service_has_no_event(operator: Operator, consul: Consul) -> None:
    assert "Hare has no event for a service" in operator.refused(object=SERVICE, publish=True)["msg"]
    result = operator.ok(object=SERVICE, expected=None)
    assert [change["action"] for change in result["changes"]] == ["set_state"]
    assert consul.events() == []


@pytest.mark.step("M11")
def test_what_changed_meanwhile_is_not_overwritten(operator: Operator, consul: Consul, meanwhile: Any) -> None:
    other = {"path": "/dev/vda", "state": "offline"}
    meanwhile(lambda: consul.put(SDEV_KEY, other))
    said = operator.refused()
    assert "was changed since it was looked at" in said["msg"]
    assert '"state": "offline"' in said["msg"]
    assert (consul.values(SDEV_KEY)[SDEV_KEY], consul.events(), consul.values("epoch")["epoch"]) == (other, [], 1)
    # Of the tree that is right already, too: a change there would make them contradict each other.
    consul.put(IOS_KEY, {"name": "m0_server", "state": "failed"})
    meanwhile(lambda: consul.put(EVENT_KEY, {"state": "M0_CONF_HA_PROCESS_STOPPING", "type": "M0_CONF_HA_PROCESS_M0D"}))
    assert EVENT_KEY in operator.refused(object=IOS, state="online")["msg"]
    assert consul.values(IOS_KEY)[IOS_KEY]["state"] == "failed"
    meanwhile(lambda: consul.delete(SDEV_KEY))
    assert "was removed since it was looked at" in operator.refused(state="repaired")["msg"]


@pytest.mark.step("M11")
def test_an_index_that_moved_without_a_change_is_no_matter(operator: Operator, consul: Consul, meanwhile: Any) -> None:
    def busy() -> None:
        consul.put(SDEV_KEY, json.dumps({"state": "online", "path": "/dev/vda"}))  # the same in another order
        consul.put("epoch", "2")
        consul.put("bq/2", {"timestamp": "now", "message_type": "SNS_OP", "payload": {}})

    meanwhile(busy)
    assert operator.ok()["published"] == 3
    assert [event["message_type"] for event in consul.events()] == ["SNS_OP", "M0_HA_MSG_NVEC"]
    assert consul.values(SDEV_KEY)[SDEV_KEY]["state"] == "failed"


@pytest.mark.step("M11")
def test_many_publishers_lose_nothing(consul: Consul) -> None:
    """Four processes at once, each as hax would: every message has an epoch of its own."""
    params = {"consul_url": consul.url, "timeout": 60, "validate_certs": True, "ca_cert": None}
    children = []
    for writer in range(4):
        pid = os.fork()
        if pid == 0:
            try:
                for number in range(10):
                    publish.carry_out(client.Consul(params), [], publish.Message("SNS_OP", {"writer": writer, "number": number}))
                os._exit(0)
            finally:
                os._exit(99)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
    payloads = [event["payload"] for event in consul.events()]
    assert len(payloads) == consul.values("epoch")["epoch"] - 1 == 40
    for writer in range(4):
        assert [payload["number"] for payload in payloads if payload["writer"] == writer] == list(range(10))


@pytest.mark.step("M11")
def test_a_counter_behind_its_queue_overwrites_no_message(operator: Operator, consul: Consul) -> None:
    message = {"timestamp": "then", "message_type": "SNS_OP", "payload": {}}
    consul.put("bq/2", message)
    said = operator.refused()
    assert "the counter is behind the queue" in said["msg"]
    assert (consul.events(), consul.values(SDEV_KEY)[SDEV_KEY]["state"]) == ([message], "online")
    consul.delete("epoch")
    assert "no number in Hare's key epoch" in operator.refused()["msg"]
    assert operator.ok(publish=False)["changed"]


@pytest.mark.step("M11")
def test_nothing_is_called_failed_by_a_slip_of_the_hand(operator: Operator, consul: Consul) -> None:
    before = consul.values()
    refused = operator.refused(state="failed")
    assert guards(refused) == ["expected"]
    assert "it is online now" in refused["msg"] and "publish: false" in refused["msg"]
    assert (consul.values(), consul.events()) == (before, [])
    assert operator.ok(state="failed", publish=False)["changed"]


@pytest.mark.step("M11")
def test_refused_for_what_is_not_so(operator: Operator, consul: Consul) -> None:
    assert guards(operator.refused(expected="repair")) == ["expected"]
    consul.delete(EVENT_KEY)
    assert guards(operator.refused(object=IOS, state="failed", expected="online")) == ["event"]
    consul.health("ssc-vm-1", "critical")
    assert guards(operator.refused(object=IOS, state="dtm_recovering", publish=False)) == ["node"]
    assert operator.ok(object=IOS, state="offline", publish=False)["changed"]  # which is what a lost node wants
    assert consul.events() == []


@pytest.mark.step("M11")
def test_a_consul_that_is_lost(tmp_path: Path, journal_dir: str, meanwhile: Any) -> None:
    with Consul(tmp_path / "consul") as mortal:
        mortal.fill()
        operator = Operator(mortal, journal_dir)
        meanwhile(mortal.freeze)
        said = operator.refused(timeout=2)
        assert "whether it was made is not known" in said["msg"]
        assert said["undo_id"]
        mortal.thaw()  # now it does what it was asked for
        wait_for(lambda: mortal.values(SDEV_KEY)[SDEV_KEY]["state"] == "failed", "the change is made")
        assert operator.ok()["changed"] is False
        assert len(mortal.events()) == 1
        meanwhile(mortal.kill)
        assert "refuses connections" in operator.refused(state="repair")["msg"]
        assert "refuses connections" in operator.refused(state="repair")["msg"]
    listed = run_ok("runbook_journal_info", {"journal_dir": journal_dir})
    assert [run["status"] for run in listed["runs"]].count("failed") == 2


@pytest.mark.step("M11")
@pytest.mark.parametrize("publish", [True, False])
def test_an_answer_that_was_lost(operator: Operator, consul: Consul, monkeypatch: pytest.MonkeyPatch, publish: bool) -> None:
    """The write was made, and nobody said so: it is found to be this run's own. It was not made: it is made once. Somebody came between: left alone."""
    write, lose = client.Consul.write, ["after"]

    def losing(self: client.Consul, operations: Any) -> Any:
        when = lose.pop() if lose else ""
        if when == "after":
            assert write(self, operations) == []
        elif when == "theirs":
            consul.put(SDEV_KEY, {"path": "/dev/vda", "state": "offline"})
        if when:
            raise client.Lost("whether it was made is not known")
        return write(self, operations)

    monkeypatch.setattr(client.Consul, "write", losing)
    done = operator.ok(publish=publish)
    assert (done["changed"], done["published"], len(consul.events())) == (True, 2 if publish else None, int(publish))
    lose.append("before")
    done = operator.ok(state="repaired", publish=publish)
    assert (done["changed"], done["published"], len(consul.events())) == (True, 3 if publish else None, 2 * publish)
    lose.append("theirs")
    assert "was changed since it was looked at" in operator.refused(state="online", publish=publish)["msg"]
    assert consul.values(SDEV_KEY)[SDEV_KEY]["state"] == "offline"
    assert len(consul.events()) == 2 * publish


@pytest.mark.step("M11")
def test_what_is_not_json_is_not_set_beside(operator: Operator, consul: Consul) -> None:
    """Neither is one tree set without the other, nor are bytes that are no text written back as other ones."""
    consul.put(EVENT_KEY, "{")
    for said in (operator.ok(object=IOS, state="online"), operator.refused(object=IOS, state="stopped", expected="online", publish=False)):
        assert [finding["subject"] for finding in said["findings"] if finding["code"] == "hare.key.damaged"] == [EVENT_KEY]
    assert guards(said) == ["damaged"]
    odd = b'{"path": "/dev/vd\xff", "state": "online"}'
    consul.ask("PUT", f"/v1/kv/{SDEV_KEY}", odd)
    said = operator.refused(publish=False)
    assert "holds something else than Hare writes" in said["msg"]
    assert SDEV_KEY in said["msg"]
    assert base64.b64decode(consul.rows(SDEV_KEY)[SDEV_KEY]["Value"]) == odd


@pytest.mark.parametrize("state", ["failed", "offline", "stopped", "unknown"])
def test_each_state_with_the_event_of_a_failure_wants_what_was_expected(operator: Operator, consul: Consul, state: str) -> None:
    assert guards(operator.refused(object=IOS, state=state)) == ["expected"]
    consul.put(IOS_KEY, {"name": "m0_server", "state": "M0_NC_UNKNOWN"})
    assert operator.ok(object=IOS, state=state, expected="M0_NC_UNKNOWN")["published"] == 2


@pytest.mark.parametrize("url", ["http://user:{0}@127.0.0.1:1", "user:{0}@127.0.0.1:1", "http://127.0.0.1:1/?token={0}", "http://127.0.0.1:1/#{0}"])
def test_a_url_with_a_secret_is_refused_and_not_repeated(operator: Operator, url: str) -> None:
    secret = "a-secret-" + "of-somebody"
    for said in (operator.refused(consul_url=url.format(secret)), run_refused("hare_info", {"consul_url": url.format(secret)})):
        assert "consul_token" in said["msg"]
        assert secret not in said["msg"]


def test_a_token_reaches_neither_journal_nor_result(tmp_path: Path, journal_dir: str) -> None:
    with Consul(tmp_path / "consul", TOKEN) as locked:
        locked.fill()
        operator = Operator(locked, journal_dir)
        result = operator.ok(consul_token=TOKEN)
        assert locked.values(SDEV_KEY)[SDEV_KEY]["state"] == "failed"
        kept = "".join(path.read_text(encoding="utf-8") for path in Path(journal_dir).rglob("*") if path.is_file())
        assert locked.url in kept
        assert TOKEN not in kept + str(result)
        known = {"consul_url": locked.url, "timeout": 10, "validate_certs": True, "ca_cert": None}
        with pytest.raises(MotrError, match=r"Permission denied.*consul_token"):
            client.Consul(known).write([client.put("epoch", "7")])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"state": "repairing"}, "repairing is what Hare keeps, repair is what it takes. Accepted are online, failed, offline, repair, repaired, rebalance"),
        ({"state": "started", "object": IOS}, "Accepted are online, dtm_recovering, failed, offline, stopped, unknown"),
        ({"expected": "repairing"}, "expected: 'repairing' is no state"),
        ({"state": "M0_NC_UNKNOWN"}, "state: 'M0_NC_UNKNOWN' is no state"),
        ({"object": "13"}, "is no fid"),
        ({"object": fid("n", 0x10)}, "is the fid of a node"),
        ({"object": fid("r", 0x77)}, f"Hare knows no process {fid('r', 0x77)}; it knows {fid('r', 0x11)}"),
        ({"object": fid("k", 0x77)}, "Hare knows no drive"),
    ],
)
def test_bad_input(operator: Operator, consul: Consul, options: dict[str, Any], said: str) -> None:
    before = consul.rows()
    assert said in operator.refused(**options)["msg"]
    assert consul.rows() == before
