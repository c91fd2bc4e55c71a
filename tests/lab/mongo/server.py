# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One real mongod with its own directory and port, and what can be done to it."""

from __future__ import annotations

import atexit
import contextlib
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from lab import procfs
from lab.keeper import keeper
from lab.mongo import binaries

PATIENCE = 120.0
ADDRESS = "127.0.0.1"
PORT_TAKEN = 48
"""Exit code of a mongod that cannot listen."""
TEST_COMMANDS = ["--setParameter", "enableTestCommands=1"]
T = TypeVar("T")


class ServerError(RuntimeError):
    """The server did not start, or did not get where it should; the message holds the end of its log."""


class Mongod:
    """A mongod with ``--replSet`` unless `replset` is None. Not started yet."""

    def __init__(
        self,
        folder: Path,
        version: str = "6.0",
        replset: str | None = "rs0",
        port: int | None = None,
        key: str | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """`key` turns authentication on; `options` are further words of its command line."""
        self.folder = folder
        self.version = version
        self.replset = replset
        self.port = port or free_port()
        self.key = key
        self.options = list(options)
        self.login: tuple[str, str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    # -- what others need to know -----------------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """Its name in a configuration."""
        return f"{ADDRESS}:{self.port}"

    @property
    def params(self) -> dict[str, Any]:
        """Connection options of a module."""
        known: dict[str, Any] = {"login_host": ADDRESS, "login_port": self.port}
        if self.login:
            known |= {"login_user": self.login[0], "login_password": self.login[1]}
        return known

    @property
    def dbpath(self) -> Path:
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        return self.folder / "mongod.log"

    @property
    def pid(self) -> int | None:
        """Its process while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def argv(self) -> list[str]:
        """Its command line, for a unit that is to run it. `environment` goes with it."""
        words = [str(binaries.mongod(self.version)), "--port", str(self.port), "--bind_ip", ADDRESS, "--nounixsocket"]
        words += ["--dbpath", str(self.dbpath), "--logpath", str(self.log_file), "--logappend", "--wiredTigerCacheSizeGB", "0.25"]
        words += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        if self.version not in {"4.2", "4.4"}:  # a member of a larger set would otherwise say good-bye for 15 seconds
            words += ["--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"]
        if self.replset is not None:
            words += ["--replSet", self.replset, "--oplogSize", "50"]
        if self.key is not None:
            words += ["--keyFile", str(self.folder / "key")]
        return words + self.options

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": str(self.folder)} | binaries.environment(self.version)

    # -- life cycle -------------------------------------------------------------------------------------------------

    def __enter__(self) -> Mongod:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def prepare(self) -> None:
        """Its directories and its key, for a unit that is to run it."""
        self.dbpath.mkdir(parents=True, exist_ok=True)
        if self.key is not None:
            path = self.folder / "key"
            path.unlink(missing_ok=True)
            path.touch(mode=0o600)
            path.write_text(self.key, encoding="utf-8")

    def start(self, **changes: Any) -> Mongod:
        """Start and wait until it answers; ``start(replset=None)``, ``start(port=...)`` and so on change it for good."""
        for name, value in changes.items():
            if name not in {"replset", "port", "key", "options", "version"}:
                raise TypeError(f"a mongod has no {name}")
            setattr(self, name, value)
        if self.pid is not None:
            return self
        self.prepare()
        atexit.register(self.close)
        for _attempt in range(3):
            self._process = subprocess.Popen(
                self.argv, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
            keeper().watch_process(self._process.pid, signal.SIGTERM)
            if self._wait_answer():
                return self
            code = self._process.wait()
            if code != PORT_TAKEN or self.port_given(changes):
                break
            self.port = free_port()
        raise ServerError(f"mongod {self.version} on port {self.port} ended with {code}: {self.log_tail()}")

    @staticmethod
    def port_given(changes: dict[str, Any]) -> bool:
        return "port" in changes

    def restart(self, **changes: Any) -> Mongod:
        """Stop it in the ordinary way and start it again, changed."""
        self.stop()
        return self.start(**changes)

    def stop(self) -> None:
        """In the ordinary way; its data stay."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As in a power cut; its data stay as they are."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """It takes connections, and answers nobody."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Safe to call at any time, any number of times. Its directory is its owner's to remove."""
        self._end(signal.SIGKILL)
        atexit.unregister(self.close)

    def _signal(self, signum: int) -> None:
        if self._process is not None:
            self._process.send_signal(signum)

    def _end(self, signum: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        started = procfs.start_time(process.pid)
        if started is not None:
            procfs.send(process.pid, started, signal.SIGCONT)
            procfs.end(process.pid, started, signum, grace=60.0)
        process.wait()
        keeper().forget_process(process.pid)

    def _wait_answer(self) -> bool:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.pid is not None:
            try:
                with socket.create_connection((ADDRESS, self.port), timeout=1.0):
                    pass
                with self.client(timeout=5.0, login=False) as client:
                    if client.admin.command("ismaster")["ok"] and self.pid is not None:
                        return True
            except (OSError, PyMongoError):
                if self._driver_too_new():
                    return True
            time.sleep(0.05)
        if self.pid is not None:
            raise ServerError(f"mongod {self.version} does not answer on port {self.port}: {self.log_tail()}")
        return False

    def _driver_too_new(self) -> bool:
        """For 4.2, which the driver does not speak with: that it listens must do."""
        if self.version != "4.2":
            return False
        try:
            socket.create_connection((ADDRESS, self.port), timeout=1.0).close()
        except OSError:
            return False
        return True

    def log_tail(self, size: int = 3000) -> str:
        try:
            return self.log_file.read_text(encoding="utf-8", errors="replace")[-size:]
        except OSError:
            return "(no log)"

    # -- asking it ----------------------------------------------------------------------------------------------------

    def client(self, timeout: float = 30.0, login: bool = True, **options: Any) -> MongoClient[dict[str, Any]]:
        """A direct connection of a test's own; close it."""
        milliseconds = int(timeout * 1000)
        known: dict[str, Any] = {"directConnection": True, "retryWrites": False, "retryReads": False, "serverSelectionTimeoutMS": milliseconds}
        known |= {"connectTimeoutMS": milliseconds, "socketTimeoutMS": milliseconds}
        if login and self.login:
            known |= {"username": self.login[0], "password": self.login[1], "authSource": "admin"}
        return MongoClient(ADDRESS, self.port, **(known | options))

    def command(self, name: str, value: Any = 1, database: str = "admin", **more: Any) -> dict[str, Any]:
        """One command, over a connection of its own."""
        with self.client() as client:
            return dict(client[database].command(name, value, **more))

    def status(self) -> dict[str, Any]:
        return self.command("replSetGetStatus")

    def config(self) -> dict[str, Any]:
        return dict(self.command("replSetGetConfig")["config"])

    def hello(self) -> dict[str, Any]:
        return self.command("isMaster")

    def is_primary(self) -> bool:
        return bool(self.hello()["ismaster"])

    def state(self) -> int:
        """Its own state: 1 PRIMARY, 2 SECONDARY, 3 RECOVERING, ..."""
        return int(self.status()["myState"])

    def write(self, document: dict[str, Any] | None = None, majority: bool = True, database: str = "talus", collection: str = "proof") -> None:
        """Insert one document, acknowledged by a majority, or by this one alone once it is in its journal."""
        from pymongo import WriteConcern

        concern = WriteConcern(w="majority", wtimeout=30_000) if majority else WriteConcern(w=1, j=True)
        with self.client() as client:
            client[database].get_collection(collection, write_concern=concern).insert_one(dict(document or {"at": time.time()}))

    def documents(self, database: str = "talus", collection: str = "proof") -> list[dict[str, Any]]:
        with self.client() as client:
            return list(client[database][collection].find())

    # -- bringing it about ------------------------------------------------------------------------------------------

    def initiate(self, host: str | None = None, wait: bool = True) -> Mongod:
        """A set of this one member, under a host name of its own or another one that it has."""
        self.command("replSetInitiate", {"_id": self.replset, "version": 1, "members": [{"_id": 0, "host": host or self.host}]})
        if wait:
            self.wait_primary()
        return self

    def wait_primary(self) -> Mongod:
        wait_for(self.is_primary, f"{self.host} is PRIMARY")
        return self

    def wait_state(self, *states: int) -> Mongod:
        wait_for(lambda: self.state() in states, f"{self.host} is in state {states}")
        return self

    def step_down(self, seconds: int = 60) -> Mongod:
        """SECONDARY for that long, though nobody else could be PRIMARY."""
        self.command("replSetStepDown", seconds, force=True)
        return self.wait_state(2)

    def maintenance(self, times: int = 1, step_down: int = 600) -> Mongod:
        """RECOVERING by an administrator's word, given so many times."""
        if self.is_primary():
            self.step_down(step_down)
        for _time in range(times):
            self.command("replSetMaintenance", True)
        return self.wait_state(3)

    def move(self) -> Mongod:
        """REMOVED: it comes back on another port than the one in its configuration."""
        self.stop()
        return self.start(port=free_port())

    def start_halting(self, fail_point: str) -> Mongod:
        """Start it so that it stops at one point of its own code and waits there until `let_go`."""
        tests = [] if "enableTestCommands=1" in self.options else TEST_COMMANDS
        return self.start(options=[*self.options, *tests, "--setParameter", f'failpoint.{fail_point}={{"mode": "alwaysOn"}}'])

    def halt_at(self, fail_point: str) -> Mongod:
        """The same while it runs, until it is there. It must have been started with `TEST_COMMANDS`."""
        count = self.command("configureFailPoint", fail_point, mode="alwaysOn")["count"]
        self.command("waitForFailPoint", fail_point, timesEntered=count + 1, maxTimeMS=int(PATIENCE * 1000))
        return self

    def let_go(self, fail_point: str) -> Mongod:
        self.command("configureFailPoint", fail_point, mode="off")
        return self

    def add_user(self, name: str, password: str, roles: Sequence[Any]) -> None:
        """With `key`, the first user is made through the localhost exception, and should be root."""
        self.command("createUser", name, pwd=password, roles=list(roles))


def free_port() -> int:
    """A port that nobody listens on right now, below those that the kernel and every engine hand out by themselves."""
    while True:
        port = random.randrange(20000, 30000)  # noqa: S311  it need not be a surprise
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((ADDRESS, port))
            return port


def wait_for(predicate: Callable[[], T], what: str, timeout: float = PATIENCE) -> T:
    """What the predicate says once that is true; errors of the driver count as not yet."""
    deadline = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = said = predicate()
            if said:
                return said
        except PyMongoError as error:
            last = error
        time.sleep(0.05)
    raise ServerError(f"not within {timeout:.0f} s: {what} (last: {last})")
