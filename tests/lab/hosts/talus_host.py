# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test does on a master of Talus: its parts, its documents, and faults.

talus = TalusHost(host("talus-master"))
talus.works()                                # {"db": True, "amqp": True, "web": True, "master": True, "slave": True}, each asked for what it is there for
talus.containers(), talus.daemons("slave")   # addresses, processes with exactly the daemon's arguments
talus.restart_broker()                       # and so on: the faults say what they left
talus.mend()                                 # no fault is left and everything works, started in order; documents stay
talus.clear()                                # no documents, messages, boxes either, for tests that share a host
slave = TalusSlave(host("talus-slave"))      # brought up after its master
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from lab.hosts import talus_moved
from lab.hosts.host import Host
from lab.hosts.talus_moved import AT_HOME, DROP_IN, UNITS
from lab.hosts.talus_sites import call
from lab.talus import seeds, settings

PARTS = ("db", "amqp", "web", "master", "slave")
SOURCE = "/home/talus/talus/src"
LOGS = "/var/log/talus"
IMAGES, BOXES = "/var/lib/libvirt/images", "/root/.vagrant.d/boxes"
DECOYS, ORPHAN = "/var/lib/lab-talus/decoys", "/run/lab-orphan"
OF_TESTS = "lab-test-"
"""How the units begin that a test started."""
Document = dict[str, Any]


class TalusHost:
    """`host` with what is particular to a master of Talus."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """A function of `lab.talus.on_host` or `lab.talus.probes`, on the host."""
        return call(self.host, name, *arguments, **options)

    # -- what there is ------------------------------------------------------------------------------------------------

    def state(self) -> Document:
        """Containers, daemons and units."""
        found: Document = self.call("state")
        return found

    def containers(self) -> dict[str, Document]:
        """Those whose names begin with talus: id, running, pid, started, address."""
        found: dict[str, Document] = self.call("containers")
        return found

    def daemons(self, name: str) -> list[Document]:
        """Processes with exactly the arguments of `master` or `slave`: pid, argv, unit."""
        found: list[Document] = self.call("daemons", name)
        return found

    def unit(self, part: str) -> str:
        """The unit of a part, as it is spelled here."""
        return str(self.call("unit", part))

    def show(self, part: str) -> dict[str, str]:
        """ActiveState, SubState, Result, NRestarts and so on of a part's unit."""
        return dict(line.split("=", 1) for line in str(self.call("show", self.unit(part))).splitlines())

    def works(self, parts: Sequence[str] = PARTS) -> dict[str, bool]:
        """Which of them do what they are there for: the database takes a write, the broker lets guest in, the web application reads, daemons take messages."""
        found: dict[str, bool] = self.call("works", list(parts))
        return found

    def consumes(self, daemon: str, patience: float = 6.0) -> bool:
        """Whether `master` or `slave` takes a message out of its queue; to one that does not it stays there."""
        return bool(self.call("consumes", daemon, patience=patience))

    def web(self, path: str = "/api/master/", body: Document | None = None) -> int:
        """The status of a read, or with a body of a write; 0 when nobody answers."""
        return int(self.call("web", path, body))

    def log(self, part: str, lines: int = 200) -> str:
        """What a part's unit said last."""
        return self.host.run(["journalctl", "--unit", self.unit(part), f"--lines={lines}", "--output=cat"]).stdout

    def systemctl(self, verb: str, part: str) -> None:
        """`restart db` and the like, and nothing else: no order, no waiting for anything to work."""
        self.host.run(["systemctl", verb, self.unit(part)], timeout=300.0)

    def wait_works(self, *parts: str, timeout: float = 120.0) -> None:
        """Wait until they do."""
        self.host.wait_for(lambda: all(self.works(parts or PARTS).values()), f"{', '.join(parts or PARTS)} works", timeout)

    def up(self) -> None:
        """Start in order what does not work."""
        self.call("up")

    def down(self, parts: Sequence[str] = PARTS) -> None:
        """Stop in order."""
        self.call("stop", list(parts))

    # -- documents ----------------------------------------------------------------------------------------------------

    def seed(self) -> dict[str, str]:
        """The documents of a small installation; identifiers: os, code, image, task, job."""
        found: dict[str, str] = self.call("seed")
        return found

    def find(self, collection: str) -> list[Document]:
        """All documents, identifiers as text."""
        found: list[Document] = self.call("find", collection)
        return found

    def admin(self, command: Document) -> Document:
        """What the database answers to a command; its refusal, with `code`, is an answer."""
        found: Document = self.call("admin", command)
        return found

    def dead_slave(self, hostname: str = "talus-slave-gone", silent: float = 3600.0) -> str:
        """A slave that has said nothing for so long; the document's id."""
        document = seeds.slave(hostname, silent)
        document["timestamps"]["created"] = {"$date": document["timestamps"]["created"].timestamp()}
        return str(self.call("insert", "slave", document))

    def image(self, status: str = "configuring", name: str = "windows-base", age: float = 0.0, **others: Any) -> str:
        """An image; one that is `configuring` nobody looks at again. Its id."""
        document = seeds.image(ObjectId(), name, status, **others)
        document["os"] = {"$oid": str(document["os"])}
        document["timestamps"] = {name: moment - age for name, moment in document["timestamps"].items()}
        return str(self.call("insert", "image", document))

    def job(self, status: str = "running", name: str = "stuck", image: str | None = None, age: float = 0.0, **others: Any) -> str:
        """A job: `running`, `stopping` and `cancelling` are looked at when the master starts; `run` is taken at once. Its id."""
        document = seeds.job(ObjectId(), ObjectId(), name, status, **others)
        document["task"], document["image"] = {"$oid": str(document["task"])}, {"$oid": image or str(document["image"])}
        document["timestamps"] = {moment: at - age for moment, at in document["timestamps"].items()}
        return str(self.call("insert", "job", document))

    # -- faults: power, broker, database ------------------------------------------------------------------------------

    def power_loss(self) -> None:
        """The host dies and comes back; everything is started at once, in no order, and some of it gives up."""
        self.host.crash()
        self.host.start()
        self.host.wait_for(lambda: self.host.active("docker"), "the engine runs", 90)

    def kill_everything(self, engine: bool = True) -> list[int]:
        """SIGKILL to all of Talus, its containers and (`engine`) Docker too, on a host that goes on; systemd starts it all again, in no order."""
        found: list[int] = self.call("kill_everything", engine=engine)
        return found

    def restart_broker(self) -> None:
        """The broker alone: it works, its queues are new, and both daemons are deaf."""
        self.systemctl("restart", "amqp")
        self.wait_works("amqp")

    def restart_database(self, moved: bool = True) -> str:
        """The database alone, with another address than before: the link of the web application and the master's environment lead nowhere. The address."""
        address = str(self.call("database", moved=moved))
        self.wait_works("db")
        return address

    def kill_daemon(self, name: str) -> None:
        """SIGKILL to a daemon's unit, with all its processes."""
        self.host.run(["systemctl", "kill", "--signal=KILL", self.unit(name)])

    def stay_dead(self, *parts: str) -> None:
        """What is killed is not started again by systemd: whoever starts it decides when."""
        for unit in map(self.unit, parts):
            self.host.put(b"[Service]\nRestart=no\n", f"{UNITS}/{unit}.d/{DROP_IN}")
        self.host.run(["systemctl", "daemon-reload"])

    def move(self, *others: TalusHost) -> str:
        """This host has another address from now on, known here and on the others. What was connected to the old one hears nothing of it. The old address."""
        return talus_moved.move(self.host, *(other.host for other in others))

    def at_home(self) -> None:
        """Its address, the names that it knows, and its units are as they were, for those who look for it at their own start."""
        self._script(AT_HOME)

    def started(self, pid: int) -> int:
        """When a process was started, by the clock that all hosts of a laboratory have in common."""
        return int(self.host.read(f"/proc/{pid}/stat").decode().rpartition(")")[2].split()[19])

    def farewells(self) -> dict[int, float]:
        """The daemons that have ended by themselves, and the seconds that they took to it."""
        path = f"{settings.FOLDER}/{settings.FAREWELLS}"
        lines = self.host.read(path).decode().splitlines() if self.host.exists(path) else []
        return {int(pid): float(seconds) for pid, seconds in (line.split() for line in lines)}

    # -- faults: the replica set ----------------------------------------------------------------------------------------

    def uninitiated(self) -> None:
        """The set was never initiated: the start script came too early. The data are gone, and the master dies again and again."""
        self.call("database", wipe=True, INITIATE="no")
        self.call("wait_code", 94)
        self.systemctl("restart", "master")

    def stepped_down(self, seconds: int = 600) -> None:
        """SECONDARY for that long: pages are shown, writes fail."""
        self.admin({"replSetStepDown": seconds, "force": True})
        self.call("wait_state", 2)

    def maintenance(self, times: int = 2) -> None:
        """RECOVERING by an administrator's word, given so many times."""
        self.stepped_down()
        for _time in range(times):
            self.admin({"replSetMaintenance": True})
        self.call("wait_state", 3)

    def removed(self, hostname: str = "talus-db-renamed") -> None:
        """The container has another host name than the configuration knows: the member is REMOVED."""
        self.call("database", hostname=hostname, INITIATE="no")
        self.call("wait_code", 93)

    def standalone(self) -> None:
        """The database is started without --replSet on the data of a set: writes are taken, and not in the oplog."""
        self.call("database", INITIATE="no", MONGOD_ARGUMENTS="")
        self.call("wait_code", 76)

    def wrong_set_name(self, name: str = "rs1") -> None:
        """The database is started with another name of the set than its data have."""
        self.call("database", INITIATE="no", MONGOD_ARGUMENTS=f"--replSet {name}")
        self.call("wait_code", 93)

    def no_start_script(self) -> None:
        """From now on the database's container neither initiates nor forces a reconfiguration when it starts."""
        self.call("environment", INITIATE="no")

    # -- faults: daemons ------------------------------------------------------------------------------------------------

    def _set(self, name: str, value: float | None) -> None:
        if value is None:
            self.host.run(["rm", "-f", f"{settings.FOLDER}/{name}"])
        else:
            self.host.put(f"{value:g}\n".encode(), f"{settings.FOLDER}/{name}")

    def slave_stop_takes(self, seconds: float | None) -> None:
        """How long the slave takes to stop, from now on."""
        self._set(settings.SLAVE_STOP, seconds)

    def master_stop_takes(self, seconds: float | None) -> None:
        """How long the master takes, where it is asked to; its unit kills it."""
        self._set(settings.MASTER_STOP, seconds)

    def slave_hangs(self, on: bool = True) -> None:
        """Slaves take no notice of SIGTERM; systemd kills what is left of the unit after 90 s."""
        self._set(settings.HANG, 1 if on else None)

    def machines_take(self, seconds: float | None) -> None:
        """How long a job's virtual machine runs, or the configuration of an image takes."""
        self._set(settings.VM_SECONDS, seconds)

    def orphan_slave(self, hangs: bool = True) -> int:
        """A second slave that no unit of Talus knows of, as somebody started it by hand, and (`hangs`) that takes no notice of SIGTERM; its pid."""
        self.host.run(["mkdir", "-p", ORPHAN])
        self.host.put(b"1\n" if hangs else b"0\n", f"{ORPHAN}/{settings.HANG}")
        options = [f"--working-directory={SOURCE}", f"--setenv=TALUS_LAB_SETTINGS={ORPHAN}"]
        self._start("orphan", ["bash", "-c", "exec python3 -m slave talus-master 10 eth0"], options)
        pid = self._main_pid("orphan")
        self.host.wait_for(lambda: pid in {each["pid"] for each in self.daemons("slave")}, "the orphan runs")
        return pid

    def decoys(self) -> dict[str, int]:
        """Processes that merely have "master" or "slave" somewhere in their command lines; pids by what they look like."""
        words = {
            "postfix": ["bash", "-c", "exec -a /usr/lib/postfix/sbin/master tail -f /dev/null"],
            "salt": ["python3", f"{DECOYS}/salt-master", "-d"],
            "reader": ["tail", "-f", f"{SOURCE}/master/bin/start_raw"],
            "quoting": ["tail", "--silent", "-F", "/var/log/python3 -m master eth0"],
            "module": ["python3", "-m", "master.tool", "eth0"],
            "monitor": ["python3", "-m", "slave_monitor", "talus-master", "10", "eth0"],
        }
        for name, argv in words.items():
            self._start(name, argv, [f"--working-directory={DECOYS}"])
        return {name: self._main_pid(name) for name in words}

    def _start(self, name: str, argv: Sequence[str], options: Sequence[str]) -> None:
        """A unit of a test's own."""
        self.host.run(["systemd-run", "--quiet", "--collect", f"--unit={OF_TESTS}{name}", *options, *argv])

    def _main_pid(self, name: str) -> int:
        return int(self.host.run(["systemctl", "show", "--property=MainPID", "--value", f"{OF_TESTS}{name}.service"]).stdout)

    # -- faults: files, network, names --------------------------------------------------------------------------------------

    def bridge(self, up: bool) -> None:
        """The bridge of talus-network; without it a slave dies at its start."""
        self.host.run(["/usr/local/sbin/lab-virbr2", "up" if up else "down"])

    def logs_fill_the_disk(self, size: str = "16m") -> str:
        """Apache's logs lie in a small file system, which they have filled; the file that did it."""
        file = f"{LOGS}/apache2/error.log"
        self._script(
            f"""
            systemctl stop {self.unit("web")}
            mountpoint --quiet {LOGS}/apache2 || mount -t tmpfs -o size={size} lab-logs {LOGS}/apache2
            head --bytes={size.upper()} /dev/zero | tr '\\0' x >{file} 2>/dev/null || true
            systemctl start {self.unit("web")}
            """
        )
        self.wait_works("web")
        return file

    def box(self, identity: str | None = None, volume: bool = True) -> str:
        """A box of vagrant, of an image that the database does not have unless its id is given; without `volume` its file is gone. The id."""
        identity = identity or str(ObjectId())
        self.call("box", identity, volume=volume)
        return identity

    def respell(self) -> None:
        """Underscores instead of hyphens in the names of containers, images, host names and units."""
        self.call("respell")

    def dev_container(self) -> None:
        """The web application's container for developers, beside the other; nobody sits at its terminal."""
        name = self.call("container", "web")
        link = self.call("container", "db")
        options = ["--detach", "--rm", "--link", f"{link}:{link}", "-p", "8080:8080", "-v", f"{LOGS}:/logs", "--name", f"{name}_dev"]
        self.host.run(["docker", "run", *options, "--entrypoint", "bash", "talus/talus-web", "-c", "sleep infinity & wait"])

    # -- the end ------------------------------------------------------------------------------------------------------------

    def mend(self) -> None:
        """Undo every fault of this file; everything works, as it was installed."""
        self._script(
            f"""
            rm -f {settings.FOLDER}/{settings.HANG} {settings.FOLDER}/{settings.SLAVE_STOP}
            units=$(systemctl list-units --all --plain --no-legend '{OF_TESTS}*' | cut -d' ' -f1)
            [ -z "$units" ] || {{ systemctl kill --signal=KILL $units 2>/dev/null || true; systemctl stop $units 2>/dev/null || true; }}
            if mountpoint --quiet {LOGS}/apache2; then systemctl stop '*talus?web.service'; umount {LOGS}/apache2; fi
            systemctl start docker.socket docker.service
            docker ps --quiet --filter name=_dev | xargs --no-run-if-empty docker rm --force >/dev/null
            systemctl restart lab-virbr2
            """
        )
        self.at_home()
        self.call("as_installed")
        self.up()

    def clear(self) -> None:
        """No documents but those of the daemons that run, no messages, no boxes, no logs of pages."""
        self.call("empty")
        self._script(f"find {LOGS}/apache2 -type f -exec truncate --size=0 '{{}}' +; rm -f {LOGS}/mongodb/mongodb.log.*")

    def wait_job(self, job: str, status: str, timeout: float = 60.0) -> Document:
        """Wait until a job is so far; the document."""

        def found() -> list[Document]:
            return [each for each in self.find("job") if each["_id"] == job and each["status"]["name"] == status]

        return self.host.wait_for(found, f"job {job} is {status}", timeout)[0]

    def _script(self, text: str) -> None:
        self.host.run(["sh", "-e", "-c", textwrap.dedent(text)], timeout=300.0)


class TalusSlave(TalusHost):
    """A slave on a host of its own: `show("slave")`, `daemons("slave")`, `log("slave")` and the faults of slaves."""

    def known_to(self, master: TalusHost, silent: float = 15.0) -> bool:
        """Whether the master has heard of it just now."""
        told = [document["timestamps"].get("modified", 0.0) for document in master.find("slave") if document["hostname"] == self.host.name]
        return any(time.time() - moment < silent for moment in told)

    def mend(self) -> None:
        """No fault is left, and the daemon is a new one."""
        self._script(
            f"""
            rm -f {settings.FOLDER}/*
{AT_HOME}
            units=$(systemctl list-units --all --plain --no-legend '{OF_TESTS}*' | cut -d' ' -f1)
            [ -z "$units" ] || {{ systemctl kill --signal=KILL $units 2>/dev/null || true; systemctl stop $units 2>/dev/null || true; }}
            systemctl start libvirtd.socket libvirtd.service
            systemctl reset-failed talus-slave.service 2>/dev/null || true
            systemctl restart talus-slave.service
            """
        )

    def clear(self) -> None:
        """It keeps nothing."""


__all__ = ["BOXES", "IMAGES", "LOGS", "PARTS", "SOURCE", "TalusHost", "TalusSlave"]
