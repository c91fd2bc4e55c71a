# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mongod that runs without --replSet, or under another name, is started again with the right one by a real systemd. The driver is Debian's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lab.hosts import Host
from lab.mongo import binaries
from operating import Operator

Result = dict[str, Any]
MONGOD = "/usr/local/bin/mongod"
CONF = "/etc/mongod.conf"
MODULE = "mongodb_replica_set_repair"
HEAD = """# where to write
storage:
  dbPath: /var/lib/mongodb
systemLog:
  destination: file
  path: /var/log/mongod.log
  logAppend: true

net:
  port: 27017
  bindIp: 127.0.0.1   # this host alone
setParameter: {diagnosticDataCollectionEnabled: false}
"""
TAIL = """
#security:
"""


class Place:
    """A host, mongods that are units of it, and the module on it."""

    def __init__(self, host: Host, operator: Operator) -> None:
        self.host = host
        self.operator = operator
        if not host.exists(MONGOD):
            host.put(binaries.mongod("6.0"), MONGOD, mode=0o755)

    def unit(self, name: str, command: str) -> None:
        self.host.put(f"[Service]\nExecStart={command}\nRestart=always\nTimeoutStopSec=90\n".encode(), f"/etc/systemd/system/{name}.service")
        self.host.run(["systemctl", "daemon-reload"])
        self.host.run(["systemctl", "restart", name])

    def configure(self, replication: str) -> None:
        """Write the configuration file, and start the server with it."""
        self.host.put((HEAD + replication + TAIL).encode(), CONF, mode=0o640)
        self.unit("mongod", f"{MONGOD} --config {CONF}")

    def run(self, port: int = 27017, check: bool = False, **options: Any) -> Result:
        """Once the server answers; the module waits for what starts, and a server that is not there yet is none."""
        self.host.wait_for(lambda: self._listens(port), f"port {port} is listened on", timeout=120)
        return self.operator.module(self, MODULE, check, login_host="127.0.0.1", login_port=port, wait=120, **options)

    def repaired(self, port: int = 27017, **options: Any) -> Result:
        """As it was predicted, and once."""
        expected = self.run(port, check=True, **options)
        made = self.run(port, approved_plan=expected["plan_sha256"], **options)
        assert "msg" not in made, made["msg"]
        assert made["changed"] and all(change["done"] for change in made["changes"])
        assert made["replica_set"]["condition"] == "healthy" and made["replica_set"]["proven_at"]
        again = self.run(port, **options)
        assert again["changed"] is False and again["changes"] == []
        return made

    def _listens(self, port: int) -> bool:
        return f"127.0.0.1:{port} " in self.host.run(["ss", "--no-header", "--listening", "--tcp", "--numeric"]).stdout


@pytest.fixture
def place(host: Callable[..., Host], operator: Operator) -> Place:
    return Place(host("mongodb", kind="mongodb"), operator)


def actions(result: Result) -> list[str]:
    return [change["action"] for change in result["changes"]]


@pytest.mark.step("T14")
@pytest.mark.thorough
def test_by_its_configuration_file(place: Place) -> None:
    """The name is written where it belongs, everything else in the file stays byte for byte, and the unit is restarted."""
    place.host.run(["mkdir", "-p", "/var/lib/mongodb"])
    place.configure("")
    # Never in a set: it is named, started again, and initiated.
    made = place.repaired(replica_set="rs0")
    assert actions(made) == ["set_replset", "restart", "initiate"]
    assert [change["subject"] for change in made["changes"]] == [f"file:{CONF}", "service:mongod.service", "replica_set:rs0"]
    assert [change["reversible"] for change in made["changes"]] == [True, False, False]
    assert place.host.read(CONF) == (HEAD + TAIL + "replication:\n  replSetName: rs0\n").encode()
    assert place.host.run(["stat", "-c", "%a", CONF]).stdout.strip() == "640"

    # Another name than its data have.
    place.configure("replication: # of Talus\n  oplogSizeMB: 50\n  replSetName: rs1  # see there\n")
    refused = place.run(replica_set="rs1")
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["replica_set"]
    made = place.repaired()
    assert actions(made) == ["set_replset", "restart"]
    written = place.host.read(CONF)
    assert written == (HEAD + "replication: # of Talus\n  oplogSizeMB: 50\n  replSetName: rs0  # see there\n" + TAIL).encode()
    # The file can be taken back, and the server goes on with what it was started with.
    undone = place.operator.module(place, "runbook_undo", undo_id=made["undo_id"], changes=[0])
    assert undone["changed"]
    assert place.host.read(CONF) == written.replace(b"rs0", b"rs1")
    assert place.run()["replica_set"]["condition"] == "healthy"

    # Alone on the data of a set; the file says already what it is to say.
    place.configure("")
    place.run(check=True)
    place.host.put(written, CONF, mode=0o640)
    made = place.repaired()
    assert actions(made) == ["restart"]
    assert place.host.read(CONF) == written


@pytest.mark.step("T14")
def test_by_its_unit(place: Place) -> None:
    """A command line without a file gets a drop-in, and one that the unit does not have as it is, is refused."""
    place.host.run(["mkdir", "-p", "/var/lib/plain"])
    words = f"{MONGOD} --port 27018 --dbpath /var/lib/plain --logpath /var/log/plain.log --setParameter diagnosticDataCollectionEnabled=false"
    place.unit("plain", f'/bin/sh -c "exec {words}"')
    refused = place.run(27018, replica_set="rs0")
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["restart"]
    assert "another command than its own" in refused["msg"]

    place.unit("plain", words)
    made = place.repaired(27018, replica_set="rs0")
    assert actions(made) == ["set_replset", "restart", "initiate"]
    drop_in = made["changes"][0]["subject"].removeprefix("file:")
    assert drop_in.startswith("/etc/systemd/system/plain.service.d/")
    assert f"\nExecStart=\nExecStart={words} --replSet rs0\n" in place.host.read(drop_in).decode()
    # What the server calls itself, as it listens on this host alone.
    assert made["replica_set"]["primary"] == "localhost:27018"
