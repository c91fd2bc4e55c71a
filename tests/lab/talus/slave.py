# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of the slave daemon.

It needs the bridge of the virtual machines, tells the master of itself every five seconds, and takes its time to stop: its machines are ended one by one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import threading
import time
import uuid
from types import FrameType
from typing import Any

from lab.talus import settings
from lab.talus.amqp import Amqp, Message
from lab.talus.network import address_of

HEARTBEAT = 5.0
GUESTS = 55555
MACHINES = 50


class Slave:
    """What runs jobs; its virtual machines are a pause."""

    def __init__(self, host: str, max_vms: int, interface: str) -> None:
        self._log = logging.getLogger("Slave")
        self._max_vms = max_vms
        self._ip = address_of(interface)
        self._uuid = str(uuid.uuid4())
        self._amqp = Amqp(host, notices=False, own_queue=f"slaves_{self._uuid}")
        self._asked = threading.Event()
        self._stopping = threading.Event()
        self._vms: list[dict[str, Any]] = []
        self._jobs_run = 0
        for number in range(2, 2 + MACHINES):
            argv = ["arp", "-s", f"192.168.123.{number}", f"00:00:c0:a8:7b:{number:02x}"]
            subprocess.run(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    def run(self) -> None:
        """Until it is stopped. Without a broker it waits for ever for what it is to do."""
        self._log.info("running")
        self._amqp.on("slaves", self._on_message)
        self._amqp.on(f"slaves_{self._uuid}", self._on_message)
        self._amqp.start()
        while not self._asked.is_set() and not self._amqp.ready.wait(0.1):
            pass
        about = {"uuid": self._uuid, "ip": self._ip, "hostname": socket.gethostname(), "max_vms": self._max_vms}
        self._amqp.send("slave_status", {"type": "new", **about})
        self._log.info("waiting for slave config to be received")
        while not self._asked.is_set():
            self._amqp.send("slave_status", self._status())
            self._asked.wait(HEARTBEAT)
        self._stop()

    def ask(self) -> None:
        """Asked to stop; asked again, nothing changes."""
        self._asked.set()

    def _stop(self) -> None:
        say("stopping!")
        self._log.info("stopping!")
        self._stopping.set()
        self._amqp.stop()
        began = time.monotonic()
        while time.monotonic() < began + settings.number(settings.SLAVE_STOP):
            time.sleep(0.1)
        self._log.info("all handlers have exited, goodbye")
        say("all handlers have exited, goodbye")
        settings.farewell(os.getpid(), time.monotonic() - began)

    def _status(self) -> Message:
        return {"type": "status", "uuid": self._uuid, "running_vms": len(self._vms), "total_jobs_run": self._jobs_run, "vms": list(self._vms)}

    def _on_message(self, message: Message) -> None:
        if message.get("type") == "config":
            self._log.info("handling config: %s", message)
            self._amqp.on("jobs", self._on_job)
        elif message.get("type") == "cancel":
            self._log.info("handling a job cancellation: %s", message)

    def _on_job(self, message: Message) -> None:
        machine = {"job": message["job"], "idx": message["idx"], "vnc_port": 5905 + len(self._vms), "tool": message["tool"]}
        self._vms.append({**machine, "start_time": time.time(), "vm_status": "running"})
        threading.Thread(target=self._machine, args=(self._vms[-1],), daemon=True).start()

    def _machine(self, machine: dict[str, Any]) -> None:
        self._log.info("running job %s #%s", machine["job"], machine["idx"])
        if not self._stopping.wait(settings.number(settings.VM_SECONDS)):
            self._amqp.send("job_status", {"type": "progress", "job": machine["job"], "idx": machine["idx"], "amt": 1})
            self._jobs_run += 1
        self._vms.remove(machine)


def say(text: str) -> None:
    """On standard output, behind which nobody may read any more."""
    with contextlib.suppress(OSError):
        os.write(1, f"{text}\n".encode())


def main(host: str, max_vms: int, interface: str) -> int:
    """The daemon."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s:%(name)s:%(message)s")
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    address = address_of(settings.bridge())
    slave = Slave(host, max_vms, interface)

    def asked(_signum: int, _frame: FrameType | None) -> None:
        if not settings.number(settings.HANG):
            slave.ask()

    signal.signal(signal.SIGINT, asked)
    signal.signal(signal.SIGTERM, asked)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(socket.create_server((address, GUESTS)))
        except OSError as error:  # it goes on without
            logging.getLogger("Slave").error("Unhandled error in Deferred: %s", error)
        slave.run()
    return 0
