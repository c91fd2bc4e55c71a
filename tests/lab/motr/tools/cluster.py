# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stand-ins share: which clients the configuration knows, the records of indices, and the HA messages that were delivered."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[3]
TOOLS = ("m0kv", "m0hagen", "m0ham", "ss")
HA = "inet:tcp:127.0.0.1@22001"
PROFILE = "<7000000000000001:0>"
CLIENTS = {"inet:tcp:127.0.0.1@22501": "<7200000000000001:25>", "inet:tcp:127.0.0.1@22502": "<7200000000000001:26>"}
ENDPOINT = next(iter(CLIENTS))
MASK = (1 << 56) - 1

Index = dict[str, str]
"""Values by keys, both in hexadecimal."""


def index_name(fid: str) -> str:
    """One name for every spelling, with the type that the tools give an index (m0_fid_tassume)."""
    container, key = (int(half, 16) for half in fid.strip("<>").split(":"))
    return f"{0x78 << 56 | container & MASK:x}:{key:x}"


class Cluster:
    """Below one directory."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)

    @property
    def bin(self) -> Path:
        return self.directory / "bin"

    def create(self, *names: str) -> Cluster:
        """Make the directory and the tools, all but ``ss`` unless they are named."""
        self.bin.mkdir(parents=True)
        for name in names or [each for each in TOOLS if each != "ss"]:
            command = [sys.executable, "-m", f"lab.motr.tools.{name}", str(self.directory)]
            script = self.bin / name
            script.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(TESTS))} exec {shlex.join(command)} "$@"\n', encoding="utf-8")
            script.chmod(0o755)
        self.write("state.json", {"ha": HA, "profile": PROFILE, "clients": CLIENTS, "indices": {}, "delivered": [], "connections": [], "fault": {}})
        return self

    def arguments(self, **others: Any) -> dict[str, Any]:
        known = {"endpoint": ENDPOINT, "ha_endpoint": HA, "profile": PROFILE, "process": CLIENTS[ENDPOINT], "tools_dir": str(self.bin)}
        return {**known, **others}

    # -- state -----------------------------------------------------------------------------------------------------------

    def write(self, name: str, value: Any) -> None:
        path = self.directory / name
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(value), encoding="utf-8")
        temporary.replace(path)

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.directory / "state.json").read_text(encoding="utf-8"))
        return found

    @contextlib.contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """The state, for nobody else meanwhile."""
        with open(self.directory / "lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self.state
            yield state
            self.write("state.json", state)

    def fault(self, **faults: Any) -> None:
        """``start_seconds`` that a client takes, ``rc`` of every operation, ``hang``, ``lost_puts``, ``overwritten_by`` (hexadecimal) after a put."""
        with self.changing() as state:
            state["fault"] = faults

    # -- records ---------------------------------------------------------------------------------------------------------

    def records(self, fid: str) -> dict[bytes, bytes]:
        found: Index = self.state["indices"].get(index_name(fid), {})
        return {bytes.fromhex(key): bytes.fromhex(value) for key, value in found.items()}

    def put(self, fid: str, key: bytes, value: bytes) -> None:
        with self.changing() as state:
            state["indices"].setdefault(index_name(fid), {})[key.hex()] = value.hex()

    def remove(self, fid: str, key: bytes) -> None:
        with self.changing() as state:
            state["indices"].get(index_name(fid), {}).pop(key.hex(), None)

    # -- clients ---------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def joined(self, endpoint: str) -> Iterator[bool]:
        """Whether an endpoint was free; it is taken as long as this process has it."""
        name = self.directory / f"endpoint-{endpoint.encode().hex()}"
        with open(name, "w", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def wait_until_alone(self, timeout: float = 60.0) -> None:
        """Until no client is at work: one whose parent was killed goes on."""
        deadline = time.monotonic() + timeout
        for endpoint in CLIENTS:
            while True:
                with self.joined(endpoint) as free:
                    if free:
                        break
                assert time.monotonic() < deadline, f"a client still has {endpoint}"
                time.sleep(0.01)


def leave_traces() -> None:
    """As every client does where it runs, 16 MB of them."""
    with open(f"m0trace.{os.getpid()}", "wb") as file:
        file.truncate(16 << 20)
