# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of a set of three that are started again by a real systemd, one after the other, while the set is written to: no acknowledged write is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab.hosts import Host
from operating import Operator
from test_mongodb_restart import MONGOD, Place, actions

PORTS = (27101, 27102, 27103)
LEDGER, FOLDER = "/var/lib/lab-ledger", "/var/lib/trio"
HOSTS = [f"127.0.0.1:{port}" for port in PORTS]
CONFIG = {
    "_id": "rs0",
    "members": [{"_id": number, "host": host, "priority": 2 if number == 0 else 1} for number, host in enumerate(HOSTS)],
    "settings": {"heartbeatIntervalMillis": 500, "heartbeatTimeoutSecs": 5, "electionTimeoutMillis": 5000},
}
# Numbers that a majority has acknowledged, one a line. Whoever is no member of the set is not written to.
WRITER = f"""
import pymongo, time
with open("{LEDGER}", "w", buffering=1) as ledger:
    client = pymongo.MongoClient({HOSTS!r}, replicaSet="rs0", retryWrites=False, serverSelectionTimeoutMS=1000, socketTimeoutMS=10000)
    collection = client.talus.get_collection("ledger", write_concern=pymongo.WriteConcern(w="majority", wtimeout=2000))
    number = 0
    while True:
        number += 1
        try:
            collection.insert_one({{"_id": number}})
            ledger.write("%d\\n" % number)
        except pymongo.errors.PyMongoError:
            pass
        time.sleep(0.01)
"""


class Trio(Place):
    """Three members, each a unit of one host."""

    def start(self, number: int, *options: str) -> None:
        """A member with other options than it had, and with those of `--replSet` among them, or not."""
        words = [MONGOD, "--port", str(PORTS[number]), "--bind_ip", "127.0.0.1", "--dbpath", f"{FOLDER}{number}", "--logpath", f"/var/log/trio{number}.log"]
        words += ["--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "50", "--setParameter", "diagnosticDataCollectionEnabled=false"]
        words += ["--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"]  # a member would otherwise say good-bye for 15 seconds
        self.host.run(["mkdir", "-p", f"{FOLDER}{number}"])
        self.unit(f"trio{number}", " ".join([*words, *options]))
        self.host.wait_for(lambda: self._listens(PORTS[number]), f"member {number} listens", timeout=120)

    def ask(self, number: int, expression: str) -> Any:
        """What an expression with `client`, directly at a member, comes to."""
        client = f"pymongo.MongoClient('127.0.0.1', {PORTS[number]}, directConnection=True, serverSelectionTimeoutMS=5000)"
        code = f"import json, pymongo\nclient = {client}\nprint(json.dumps({expression}, default=str))"
        done = self.host.run(["python3", "-c", code], check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def primaries(self) -> list[int]:
        """Who of them takes writes for the set."""
        told = [self.ask(number, "client.admin.command('isMaster')") or {} for number in range(len(PORTS))]
        return [number for number, each in enumerate(told) if each.get("ismaster") and each.get("setName") == "rs0"]

    def acknowledged(self) -> set[int]:
        return {int(line) for line in self.host.read(LEDGER).decode().split()}

    def goes_on(self) -> None:
        """Another write is acknowledged from now on."""
        count = len(self.acknowledged())
        self.host.wait_for(lambda: len(self.acknowledged()) > count, "a majority acknowledges writes", timeout=120)

    def whole(self) -> None:
        """All three are in the set again."""

        def states() -> list[int]:
            status = self.ask(0, "client.admin.command('replSetGetStatus')") or {"members": []}
            return sorted(member["state"] for member in status["members"])

        self.host.wait_for(lambda: states() == [1, 2, 2], "one is PRIMARY and two are SECONDARY", timeout=120)


@pytest.fixture
def trio(host: Callable[..., Host], operator: Operator) -> Iterator[Trio]:
    """A set of three that is written to."""
    made = Trio(host("mongodb", kind="mongodb"), operator)
    for number in range(len(PORTS)):
        made.start(number, "--replSet rs0")
    assert made.ask(0, f"client.admin.command('replSetInitiate', {CONFIG!r})") is not None
    made.whole()
    made.host.put(WRITER.encode(), "/usr/local/lib/lab-ledger.py")
    made.host.run(["systemd-run", "--quiet", "--collect", "--unit=lab-ledger", "python3", "/usr/local/lib/lab-ledger.py"])
    made.host.wait_for(lambda: made.host.exists(LEDGER) and made.acknowledged(), "the first writes are acknowledged", timeout=60)
    yield made
    made.host.run(["systemctl", "stop", "lab-ledger", *(f"trio{number}" for number in range(len(PORTS)))], check=False)
    made.host.run(["sh", "-c", f"rm -rf {FOLDER}? {LEDGER} /etc/systemd/system/trio?.service*; systemctl daemon-reload"])


@pytest.mark.step("T14")
@pytest.mark.thorough
def test_members_that_were_started_outside_of_their_set(trio: Trio) -> None:
    """Alone on the data of the set, and under another name: a secondary each, and then the primary itself."""
    loss = f"writes to 127.0.0.1:{PORTS[1]} while it ran without --replSet"
    trio.start(1)
    refused = trio.run(PORTS[1])
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["accept_data_loss"]
    assert loss in refused["msg"]
    trio.goes_on()
    for number, options, accepted in ((1, "", [loss]), (2, "--replSet rs1", []), (0, "--replSet rs1", [])):
        if number != 1:
            trio.start(number, options)
        made = trio.run(PORTS[number], accept_data_loss=accepted)
        assert "msg" not in made, made["msg"]
        assert actions(made) == ["set_replset", "restart"]
        trio.whole()
        trio.goes_on()
    trio.host.run(["systemctl", "stop", "lab-ledger"])
    acknowledged = trio.acknowledged()
    (primary,) = trio.host.wait_for(trio.primaries, "one is PRIMARY")
    there = trio.ask(primary, "[row['_id'] for row in client.talus.ledger.find()]")
    assert acknowledged and acknowledged - set(there) == set()
