# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for what Talus' daemons do at the broker; runs on the host, with Debian's pika. Its one argument is JSON:

{"do": "declare"}                                                    the queues and the exchange that the master makes
{"do": "publish", "queue": "jobs", "count": 30, "persistent": false}
{"do": "depths"}                                                     messages by queue, as the broker counts them
{"do": "daemon", "poll": ["slaves"], "own": "slaves_1", "publish": "slave_status"}

A daemon polls (`basic.get`), so it is no consumer. As Talus' own it does not connect again: after the broker was restarted it runs on, and is deaf.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import Any

import pika  # type: ignore[import-not-found, import-untyped, unused-ignore]

QUEUES = ("slaves", "slave_status", "jobs", "job_status")
EXCHANGE = "broadcast"
PAUSE = 0.2


def connect(wish: dict[str, Any]) -> Any:
    """As guest, like the daemons, unless another user is named."""
    login = pika.PlainCredentials(wish.get("user", "guest"), wish.get("password", "guest"))
    return pika.BlockingConnection(pika.ConnectionParameters(wish.get("host", "127.0.0.1"), credentials=login, heartbeat=0))


def declare(channel: Any) -> None:
    """What the master declares when it starts."""
    for queue in QUEUES:
        channel.queue_declare(queue, durable=True)
    channel.exchange_declare(EXCHANGE, exchange_type="fanout")


def publish(channel: Any, wish: dict[str, Any]) -> None:
    """Messages, not persistent unless it is wished; in the broker's hands when this returns."""
    channel.confirm_delivery()
    kept = pika.BasicProperties(delivery_mode=2 if wish.get("persistent") else 1)
    for number in range(wish.get("count", 1)):
        channel.basic_publish("", wish["queue"], b"secret-of-message-%d" % number, properties=kept)


def depths(connection: Any, names: list[str]) -> dict[str, int]:
    """Ready messages, of queues that are there."""
    found = {}
    for name in names:
        channel = connection.channel()
        with contextlib.suppress(pika.exceptions.ChannelClosedByBroker):
            found[name] = channel.queue_declare(name, passive=True).method.message_count
    return found


def daemon(connection: Any, wish: dict[str, Any]) -> None:
    """Poll and publish until killed, whatever becomes of the connection."""
    channel = connection.channel()
    declare(channel)
    polled = list(wish.get("poll", []))
    if "own" in wish:
        channel.queue_declare(wish["own"], exclusive=True)
        channel.queue_bind(wish["own"], EXCHANGE)
        polled.append(wish["own"])
    print("ready", flush=True)
    while True:
        with contextlib.suppress(Exception):
            for queue in polled:
                while channel.basic_get(queue, auto_ack=True)[0] is not None:
                    pass
            if "publish" in wish:
                channel.basic_publish("", wish["publish"], b"status")
            connection.process_data_events(0)
        time.sleep(PAUSE)


def main() -> None:
    """The wish."""
    wish = json.loads(sys.argv[1])
    connection = connect(wish)
    if wish["do"] == "daemon":
        daemon(connection, wish)
    elif wish["do"] == "declare":
        declare(connection.channel())
    elif wish["do"] == "publish":
        publish(connection.channel(), wish)
    else:
        print(json.dumps(depths(connection, wish.get("queues", list(QUEUES)))))
    connection.close()


if __name__ == "__main__":
    main()
