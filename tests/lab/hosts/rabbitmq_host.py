# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test does on a host with a broker: Talus' queues, clients that poll as its daemons do, and faults.

    broker = RabbitHost(host("rabbitmq"))
    broker.talus()                                # the queues, the exchange, a master and two slaves, connected
    broker.client("slave3", own="slaves_3", poll=["slaves"], publish="slave_status")
    broker.publish("jobs", 50)                    # nobody fetches them; they are not persistent
    broker.memory_alarm()                         # and so on: the faults return when they show
    broker.mend()                                 # no fault is left; queues and clients stay
    broker.clear()                                # no queues and clients either, for tests that share a host

Wherever pika is on a host, its client can be used by itself: `Client(host)`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lab.hosts.host import Host
from lab.hosts.rabbitmq_sites import UNIT

CLIENT = Path(__file__).resolve().parents[1] / "rabbitmq/client.py"
PLACE = "/usr/local/lib/fieldops-lab/rabbitmq_client.py"
QUEUES = ("slaves", "slave_status", "jobs", "job_status")
PREFIX = "lab-amqp-"
MEND = (
    "rabbit:start(), application:start(rabbitmq_management),"
    " vm_memory_monitor:set_vm_memory_high_watermark(0.4), rabbit_disk_monitor:set_disk_free_limit(50000000),"
    ' rabbit_auth_backend_internal:change_password(<<"guest">>, <<"guest">>, <<"lab">>),'
    " application:set_env(rabbit, loopback_users, []), rabbit_alarm:get_alarms()."
)
OUT_OF_THE_WAY = "/usr/sbin/rabbitmqctl.away"


class Client:
    """The stand-in of Talus' daemons, on a host; each runs as a unit of its own, `lab-amqp-<name>`."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def ask(self, **wish: Any) -> str:
        """Do something at the broker, and end."""
        if not self.host.exists(PLACE):
            self.host.put(CLIENT, PLACE)
        return self.host.run(["python3", PLACE, json.dumps(wish)]).stdout

    def start(self, name: str, **wish: Any) -> None:
        """A daemon; returns when it is connected. `amqp` is the address that it goes to."""
        if not self.host.exists(PLACE):
            self.host.put(CLIENT, PLACE)
        unit = f"{PREFIX}{name}"
        options = [f"--unit={unit}", "--collect", "--quiet", "--property=StandardOutput=journal"]
        self.host.run(["systemd-run", *options, "python3", PLACE, json.dumps({"do": "daemon", **wish})])
        self.host.wait_for(lambda: "ready" in self.log(name), f"{name} is connected", 60)

    def log(self, name: str) -> str:
        """What a daemon said since its latest start."""
        invocation = self.host.run(["systemctl", "show", "--property=InvocationID", "--value", f"{PREFIX}{name}"]).stdout.strip()
        return self.host.run(["journalctl", "--output=cat", f"_SYSTEMD_INVOCATION_ID={invocation}"], check=False).stdout if invocation else ""

    def running(self, name: str) -> bool:
        """Whether its process lives, which says nothing of its connection."""
        return self.host.active(f"{PREFIX}{name}")

    def stop(self, name: str) -> None:
        """Kill a daemon."""
        self.host.run(["systemctl", "kill", "--signal=KILL", f"{PREFIX}{name}"], check=False)
        self.host.wait_for(lambda: not self.running(name), f"{name} is gone", 30)

    def stop_all(self) -> None:
        """Kill all of them."""
        listed = self.host.run(["systemctl", "list-units", "--all", "--plain", "--no-legend", f"{PREFIX}*"]).stdout.splitlines()
        for line in listed:
            self.stop(line.split()[0].removesuffix(".service").removeprefix(PREFIX))


class RabbitHost:
    """`host` with what is particular to a broker."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.clients = Client(host)

    # -- use ------------------------------------------------------------------------------------------------------------

    def ctl(self, *words: str, check: bool = True) -> str:
        """rabbitmqctl's answer."""
        return self.host.run(["rabbitmqctl", "--quiet", *words], check=check).stdout

    def eval(self, expression: str) -> str:
        """What an expression is on the node."""
        return self.ctl("eval", expression).strip()

    def declare(self) -> None:
        """The queues and the exchange that Talus' master makes."""
        self.clients.ask(do="declare")

    def talus(self) -> None:
        """A master and two slaves, each connected as guest, with the queues and the exchange that they use."""
        self.clients.start("master", poll=["slave_status", "job_status"])
        for slave in ("slave1", "slave2"):
            self.clients.start(slave, own=f"slaves_{slave}", poll=["slaves"], publish="slave_status")

    def client(self, name: str, **wish: Any) -> None:
        """One more daemon: `own` is its exclusive queue, `poll` those that it fetches from, `publish` where it writes to, `host` the broker's address."""
        self.clients.start(name, **wish)

    def publish(self, queue: str, count: int = 1, persistent: bool = False) -> None:
        """Messages that the broker has taken when this returns."""
        self.clients.ask(do="publish", queue=queue, count=count, persistent=persistent)

    def depths(self) -> dict[str, int]:
        """Messages by queue, of Talus' queues that are there."""
        found: dict[str, int] = json.loads(self.clients.ask(do="depths"))
        return found

    def connections(self) -> int:
        """As the broker counts them."""
        return int(self.eval("length(rabbit_networking:connections())."))

    # -- faults -----------------------------------------------------------------------------------------------------------

    def memory_alarm(self) -> None:
        """The node uses more memory than it may."""
        self.ctl("set_vm_memory_high_watermark", "absolute", "10MB")
        self._wait_alarm("memory")

    def disk_alarm(self) -> None:
        """The disk has less space than the node wants."""
        self.ctl("set_disk_free_limit", "100000GB")
        self._wait_alarm("disk")

    def _wait_alarm(self, kind: str) -> None:
        self.host.wait_for(lambda: kind in self.eval("rabbit_alarm:get_alarms()."), f"the alarm {kind} is raised", 60)

    def stop_app(self) -> None:
        """RabbitMQ is stopped; its Erlang machine runs."""
        self.ctl("stop_app")

    def stop(self) -> None:
        """The service is down."""
        self.host.run(["systemctl", "stop", UNIT], timeout=180)

    def freeze(self) -> None:
        """The node's process gets no time: everything that asks it waits."""
        self.host.run(["systemctl", "kill", "--kill-whom=main", "--signal=STOP", UNIT])

    def restart(self) -> None:
        """The broker is restarted: connections are cut, and messages that were not persistent are gone."""
        self.host.run(["systemctl", "restart", UNIT], timeout=240)

    def management_off(self) -> None:
        """The management plugin does not run on the node."""
        self.eval("application:stop(rabbitmq_management).")

    def guest_only_from_here(self, so: bool = True) -> None:
        """As RabbitMQ is since 3.3: guest may not come from another host, nor by another address of this one."""
        self.eval("application:set_env(rabbit, loopback_users, [%s])." % ("rabbit_data_coercion:to_binary(guest)" if so else ""))

    def guest_password(self, password: str) -> None:
        """Guest has another password: who uses the usual one is refused."""
        self.ctl("change_password", "guest", password)

    def rabbitmqctl_away(self) -> None:
        """There is no rabbitmqctl."""
        self.host.run(["sh", "-c", f"test -e {OUT_OF_THE_WAY} || mv /usr/sbin/rabbitmqctl {OUT_OF_THE_WAY}"])

    # -- and back ---------------------------------------------------------------------------------------------------------

    def mend(self) -> None:
        """No fault is left; the node runs as it was set up."""
        self.host.run(["sh", "-c", f"test ! -e {OUT_OF_THE_WAY} || mv {OUT_OF_THE_WAY} /usr/sbin/rabbitmqctl"])
        self.host.run(["systemctl", "kill", "--kill-whom=main", "--signal=CONT", UNIT], check=False)
        self.host.run(["systemctl", "start", UNIT], timeout=180)
        self.host.wait_for(lambda: self.eval(MEND) == "[]", "no alarm is left", 60)

    def clear(self) -> None:
        """No clients, no queues; the exchange goes too."""
        self.clients.stop_all()
        self.host.wait_for(lambda: self.connections() == 0, "no connection is left", 60)
        for queue in self.ctl("list_queues", "name", "--no-table-headers").split():
            self.ctl("delete_queue", queue)
