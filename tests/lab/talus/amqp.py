# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemons' connection to the broker: made once, never again.

A thread asks for messages five times a second, as the daemons do: a queue has no consumers when all is well. Of a broker that goes away the master's
thread dies, and the slave's notices nothing; both processes live on, deaf. Likewise when the broker is not there at the start.
"""

from __future__ import annotations

import importlib
import json
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]
PAUSE = 0.2
DURABLE = ("slaves", "slave_status", "jobs", "job_status")
BROADCAST = "broadcast"


class Amqp(threading.Thread):
    """`on` may be called at any time, `send` too; both wait for the connection."""

    def __init__(self, host: str, notices: bool, own_queue: str = "") -> None:
        super().__init__(daemon=True, name="AmqpMan")
        self.host = host
        self.ready = threading.Event()
        self._notices = notices
        self._own_queue = own_queue
        self._running = threading.Event()
        self._running.set()
        self._outbox: queue.Queue[tuple[str, Message]] = queue.Queue()
        self._handlers: dict[str, Callable[[Message], None]] = {}
        self._tick: Callable[[], None] | None = None
        self._channel: Any = None
        self._log = logging.getLogger("AmqpMan")

    def on(self, queue_name: str, handler: Callable[[Message], None]) -> None:
        """Take messages out of a queue."""
        self._handlers = {**self._handlers, queue_name: handler}

    def every_turn(self, tick: Callable[[], None]) -> None:
        """Called between two looks at the queues, in the thread that may use `depth`."""
        self._tick = tick

    def send(self, queue_name: str, message: Message) -> None:
        """Put a message into a queue; not persistent."""
        self._outbox.put((queue_name, message))

    def depth(self, queue_name: str) -> int:
        """How many messages wait there."""
        return int(self._channel.queue_declare(queue_name, passive=True).method.message_count)

    def stop(self) -> None:
        """No more messages."""
        self._log.info("stopping")
        self._running.clear()

    def run(self) -> None:
        """Connect, declare, and work."""
        self._log.info("running")
        self._connect()
        while self._running.is_set():
            try:
                self._turn()
            except Exception:
                if self._notices:
                    raise
            time.sleep(PAUSE)
        self._log.info("finished")

    def _connect(self) -> None:
        pika = importlib.import_module("pika")
        self._log.info("connecting to amqp: %s", self.host)
        connection = pika.BlockingConnection(pika.URLParameters(f"amqp://guest:guest@{self.host}/%2F?heartbeat=0"))
        self._channel = connection.channel()
        self._channel.exchange_declare(BROADCAST, "fanout")
        for name in DURABLE:
            self._channel.queue_declare(name, durable=True)
        if self._own_queue:
            self._channel.queue_declare(self._own_queue, exclusive=True)
            self._channel.queue_bind(self._own_queue, BROADCAST)
        self.ready.set()

    def _turn(self) -> None:
        while not self._outbox.empty():
            name, message = self._outbox.get()
            self._channel.basic_publish("", name, json.dumps(message))
        for name, handler in self._handlers.items():
            method, _properties, body = self._channel.basic_get(name, auto_ack=True)
            while method is not None:
                handler(json.loads(body))
                method, _properties, body = self._channel.basic_get(name, auto_ack=True)
        if self._tick is not None:
            self._tick()
