# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`rabbitmq`: a host that runs RabbitMQ under systemd, its management plugin on loopback. What a test does with it: `lab.hosts.rabbitmq_host`."""

from __future__ import annotations

from lab.hosts.host import Host
from lab.hosts.sites import Site, register

UNIT = "rabbitmq-server.service"
# As Talus needs it: slaves come as guest from other hosts, which RabbitMQ allows since 3.3 only when told to.
CONFIG = """\
loopback_users = none
management.tcp.ip = 127.0.0.1
management.tcp.port = 15672
"""
PLUGINS = "[rabbitmq_management].\n"


def setup(host: Host) -> None:
    """Once: the configuration, and a first start, which makes the node's own files."""
    host.put(CONFIG.encode(), "/etc/rabbitmq/rabbitmq.conf")
    host.put(PLUGINS.encode(), "/etc/rabbitmq/enabled_plugins")
    host.run(["systemctl", "enable", "--quiet", UNIT])
    host.run(["systemctl", "start", UNIT], timeout=180.0)
    host.run(["systemctl", "stop", UNIT], timeout=180.0)


def ready(host: Host) -> None:
    """At each start: the node is up with all that belongs to it."""
    host.wait_for(lambda: host.active(UNIT), "RabbitMQ is active", 120)
    host.run(["rabbitmqctl", "await_startup"], timeout=120.0)


register("rabbitmq", Site(kind="rabbitmq", setup=setup, ready=ready))
