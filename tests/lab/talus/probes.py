# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a host: what of Talus runs, and whether it works. A process that is up proves nothing, so each is asked for what it is there for."""

from __future__ import annotations

import contextlib
import importlib
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

PATIENCE = 120.0
CONTAINERS = ("db", "amqp", "web")
ORDER = (*CONTAINERS, "master", "slave")
Document = dict[str, Any]


def run(*argv: str, check: bool = True) -> str:
    """What a command said."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(argv)}: {done.stderr or done.stdout}")
    return done.stdout.strip()


def wait_for(condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
    """What the condition gives as soon as that is true."""
    limit = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > limit:
            raise SystemExit(f"waited {timeout:g} s in vain: {what}")
        time.sleep(0.1)
    return found


# -- what there is --------------------------------------------------------------------------------------------------------


def unit(part: str) -> str:
    """The unit of a part, however it is spelled on this host."""
    names = [f"docker.talus{mark}{part}" if part in CONTAINERS else f"talus{mark}{part}" for mark in "-_"]
    return next((name for name in names if Path(f"/etc/systemd/system/{name}.service").exists()), names[0]) + ".service"


def container(part: str) -> str:
    """The container of a part."""
    return unit(part).removeprefix("docker.").removesuffix(".service")


def containers() -> dict[str, Document]:
    """All whose name begins with talus."""
    names = [name for name in run("docker", "ps", "--all", "--format", "{{.Names}}").split() if name.startswith("talus")]
    found = {}
    for name in names:
        with contextlib.suppress(IndexError, ValueError):  # it went away meanwhile
            (about,) = json.loads(run("docker", "inspect", "--type", "container", name, check=False) or "[]")
            state = {"id": about["Id"], "running": about["State"]["Running"], "pid": about["State"]["Pid"], "started": about["State"]["StartedAt"]}
            found[name] = {**state, "address": about["NetworkSettings"]["IPAddress"]}
    return found


def daemons(name: str) -> list[Document]:
    """Processes with exactly the arguments of the daemon, with their unit, if they have one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            words = (folder / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").split("\0")
            if words[0].rpartition("/")[2].startswith("python") and words[1:3] == ["-m", name] and len(words) == {"master": 4, "slave": 6}[name]:
                group = (folder / "cgroup").read_text(encoding="ascii").strip().rpartition("/")[2]
                found.append({"pid": int(folder.name), "argv": words, "unit": group})
    return found


def state() -> Document:
    """All of it."""
    units = {part: dict(line.split("=", 1) for line in show(unit(part)).splitlines()) for part in ORDER}
    return {"containers": containers(), "daemons": {name: daemons(name) for name in ("master", "slave")}, "units": units}


def show(name: str) -> str:
    """What systemd knows."""
    return run("systemctl", "show", "--property=Id,LoadState,ActiveState,SubState,Result,NRestarts,MainPID", name)


# -- whether it works -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def mongo(timeout: float = 3.0) -> Iterator[MongoClient[Document]]:
    """The database, directly."""
    milliseconds = int(timeout * 1000)
    client: MongoClient[Document] = MongoClient(
        "127.0.0.1", 27017, directConnection=True, retryWrites=False, serverSelectionTimeoutMS=milliseconds, connectTimeoutMS=milliseconds
    )
    with client:
        yield client


def db_answers() -> bool:
    """Anything at all."""
    with contextlib.suppress(PyMongoError), mongo(1.0) as client:
        return bool(client.admin.command("ping")["ok"])
    return False


def db_writes() -> bool:
    """A write is taken, and known to a majority."""
    with contextlib.suppress(PyMongoError), mongo(1.0) as client:
        if client.admin.command("isMaster").get("ismaster"):
            client.lab.command({"insert": "proof", "documents": [{"at": time.time()}], "writeConcern": {"w": "majority", "wtimeout": 5000}})
            client.lab.proof.drop()
            return True
    return False


@contextlib.contextmanager
def channel() -> Iterator[Any]:
    """A channel of the broker; None when it does not answer."""
    pika = importlib.import_module("pika")
    address = pika.ConnectionParameters("127.0.0.1", 5672, socket_timeout=3, stack_timeout=5, blocked_connection_timeout=5)
    try:
        connection = pika.BlockingConnection(address)
    except (pika.exceptions.AMQPError, OSError):
        yield None
        return
    try:
        yield connection.channel()
    finally:
        with contextlib.suppress(pika.exceptions.AMQPError):
            connection.close()


def broker_answers() -> bool:
    """It lets guest in."""
    with channel() as opened:
        return opened is not None


def web(path: str = "/api/master/", body: Document | None = None) -> int:
    """The status of a read, or of a write; 0 when nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1{path}", data=data), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def consumes(name: str, patience: float = 6.0) -> bool:
    """Whether a daemon takes a message that says nothing out of its queue. Of several slaves it may be any."""
    queue = {"master": "slave_status", "slave": "slaves"}[name]
    limit = time.monotonic() + patience
    with channel() as opened:
        if opened is None:
            return False
        opened.queue_declare(queue, durable=True)
        opened.confirm_delivery()
        opened.basic_publish("", queue, json.dumps({"type": "heartbeat", "uuid": "lab"}))
        while depth := opened.queue_declare(queue, passive=True).method.message_count:
            if time.monotonic() > limit:
                return False
            time.sleep(0.1)
        return not depth


def slave_is_known() -> bool:
    """The slave of this host has told the master of itself just now."""
    with contextlib.suppress(PyMongoError), mongo() as client:
        return client.talus.slave.find_one({"hostname": socket.gethostname(), "timestamps.modified": {"$gt": time.time() - 10}}) is not None
    return False


PROBES: dict[str, Callable[[], bool]] = {
    "db": db_writes,
    "amqp": broker_answers,
    "web": lambda: web() == 200,
    "master": lambda: len(daemons("master")) == 1 and consumes("master"),
    "slave": lambda: len(daemons("slave")) == 1 and consumes("slave") and slave_is_known(),
}


def works(parts: Sequence[str]) -> dict[str, bool]:
    """Each by its probe."""
    return {part: PROBES[part]() for part in parts}
