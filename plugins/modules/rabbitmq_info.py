#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rabbitmq_info
short_description: Tell how a RabbitMQ broker stands
version_added: 1.0.0
description:
  - Looks at a broker's node, alarms, queues and connections, and says what is wrong with them.
  - Asks the management API, or the node itself by C(rabbitmqctl), on this host or in a container. Without the management plugin no more than
    rabbitmqctl is needed. RV(tried) tells which ways led to nothing, and why.
  - A broker that is down is a finding, not a failure. The module fails only when nothing can be said of the broker, as without the right to ask it.
  - Clients that poll a queue (C(basic.get)) are no consumers. A queue's consumers are 0 then while all is well, so expect connections
    (O(expected_clients), O(min_connections)) instead.
  - Reads only. The messages themselves are never read.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.record
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  via:
    description:
      - V(management) asks the management API at O(management_url).
      - V(rabbitmqctl) runs O(rabbitmqctl) on this host, as root or as the user rabbitmq.
      - V(container) runs O(rabbitmqctl) in O(container).
      - V(auto) tries what is named, in the order O(management_url), O(container), O(rabbitmqctl); where none of them is named,
        the management API on this host's loopback, then rabbitmqctl on this host.
    type: str
    choices: [auto, management, rabbitmqctl, container]
    default: auto
  management_url:
    description:
      - Address of the management API, without C(/api).
      - With O(via=management), it is C(http://127.0.0.1:15672) if it is not set.
    type: str
  management_user:
    description: User of the management API. It needs the tag C(monitoring) to see nodes and their alarms.
    type: str
    default: guest
  management_password:
    description:
      - Its password.
      - Leave it out for the user guest with the password that RabbitMQ gives it. If it is named, Ansible hides that word in every result.
    type: str
  validate_certs:
    description: Whether the certificate of O(management_url) is verified.
    type: bool
    default: true
  ca_cert:
    description: File of the only authorities that are trusted. Without it, those of the node.
    type: path
  rabbitmqctl:
    description:
      - The program, by its path, or by a name that is looked for. With O(container), it is looked for in the container.
      - It is C(rabbitmqctl) if it is not set.
    type: str
  node:
    description: Name of the node that rabbitmqctl asks, as C(rabbit@host). Without it, rabbitmqctl knows the node of its host.
    type: str
  container:
    description: Name of the container that the broker runs in. One that is not there or has ended is a broker that is down.
    type: str
  docker_host:
    description:
      - Address of the Docker Engine's socket, for O(container).
      - If it is not set, the environment variable E(DOCKER_HOST) is used.
    type: str
    default: unix:///var/run/docker.sock
  vhost:
    description: Virtual host that expected queues and clients are looked for in. All of them are listed.
    type: str
    default: /
  expected_queues:
    description: Names of queues that there should be, or patterns as of a shell, such as V(slaves_*).
    type: list
    elements: str
    default: []
  max_depth:
    description: Messages in one queue, ready and unacknowledged, above which it is worth a finding. With V(0), none is.
    type: int
    default: 1000
  expected_clients:
    description:
      - Addresses or names of hosts that should be connected. One that should have two connections is named twice.
      - A name is resolved on the managed node.
    type: list
    elements: str
    default: []
  min_connections:
    description: How many connections there should be at least, whoever they are from.
    type: int
    default: 0
  proxies:
    description:
      - Addresses behind which there may be any client. A connection from one of them counts for one of O(expected_clients) that is not seen otherwise.
      - With O(via=container), the gateways of the container's networks are among them. Docker's own proxy, which stands before every published port
        of an engine without C(iptables), shows the broker no other address.
    type: list
    elements: str
    default: []
  wait:
    description:
      - Look again for up to this many seconds, an hour at most, until RV(healthy) is true. What was seen last is returned either way.
    type: float
    default: 0.0
  timeout:
    description: Seconds for one way, 1 to 600. A node that hangs is told as one that does not answer.
    type: float
    default: 30.0
requirements:
  - For O(container), docker >= 4.1 on the managed node (Debian and Ubuntu C(python3-docker))
notes:
  - Works with RabbitMQ from 3.2 on. All is asked for by one C(rabbitmqctl eval), as each start of rabbitmqctl takes longer than its answer,
    and old ones print no JSON.
  - The management API's numbers are up to five seconds old; rabbitmqctl's are of now. Who may only come from the broker's own host
    (RV(loopback_users)) is told by rabbitmqctl alone.
  - Up to 1000 queues, connections and exchanges are returned. RV(totals) and the findings are about all of them.
seealso:
  - module: fieldops.runbooks.node_health_info
"""

EXAMPLES = r"""
- name: How does the broker on this host stand?
  fieldops.runbooks.rabbitmq_info:
  become: true
  register: broker

- name: Talus' broker in its container, with the daemons that should be there
  fieldops.runbooks.rabbitmq_info:
    container: talus-amqp
    expected_queues: [slaves, slave_status, jobs, job_status]
    max_depth: 100
    min_connections: 3
  become: true

- name: By the management API, after a restart, until all slaves are connected again
  fieldops.runbooks.rabbitmq_info:
    management_url: https://broker.example.org:15671
    management_user: monitor
    management_password: "{{ broker_monitor_password }}"
    ca_cert: /etc/ssl/broker-ca.pem
    expected_clients: "{{ groups['talus_slaves'] }}"
    wait: 120

- name: A node with a name of its own
  fieldops.runbooks.rabbitmq_info:
    via: rabbitmqctl
    rabbitmqctl: /opt/rabbitmq/sbin/rabbitmqctl
    node: talus@broker
  become: true
  become_user: rabbitmq
"""

RETURN = r"""
healthy:
  description: Whether alarms, queues and connections could be read, and nothing critical was found.
  returned: always
  type: bool
  sample: true
via:
  description: The way that led to what is told, one of V(management), V(rabbitmqctl), V(container).
  returned: always
  type: str
  sample: rabbitmqctl
tried:
  description: Ways that led to no broker, and why.
  returned: always
  type: dict
  sample: {"management": "no management API answers at http://127.0.0.1:15672: 127.0.0.1:15672 refuses connections"}
running:
  description: Whether the broker runs. False as well when only its Erlang machine does.
  returned: always
  type: bool
  sample: true
node:
  description: Name of the node that answered.
  returned: always
  type: str
  sample: rabbit@broker
version:
  description: Version of RabbitMQ.
  returned: always
  type: str
  sample: 3.10.8
erlang:
  description: Version of Erlang.
  returned: always
  type: str
  sample: "25"
uptime:
  description: Seconds since the node was started.
  returned: always
  type: float
  sample: 86400.25
cluster:
  description: The cluster, as that node sees it.
  returned: always
  type: dict
  contains:
    nodes:
      description: All members.
      type: list
      elements: str
      sample: [rabbit@broker]
    running:
      description: Those that run.
      type: list
      elements: str
      sample: [rabbit@broker]
    partitions:
      description: Nodes that lost others, each with those that it lost.
      type: list
      elements: list
      sample: []
memory:
  description: What the node uses, and from which on it takes no messages any more, in bytes.
  returned: always
  type: dict
  sample: {"used": 136962048, "limit": 10110604083}
disk:
  description: What is free on the disk of its data, and below which it takes no messages any more, in bytes.
  returned: always
  type: dict
  sample: {"free": 77086498816, "limit": 50000000}
alarms:
  description: Alarms of all nodes.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: C(memory), C(disk), or the broker's own word.
      type: str
      sample: memory
    node:
      description: The node.
      type: str
      sample: rabbit@broker
listeners:
  description: Where nodes listen.
  returned: always
  type: list
  elements: dict
  sample: [{"node": "rabbit@broker", "protocol": "amqp", "address": "::", "port": 5672}]
loopback_users:
  description: Users who may only come from the broker's own host. Null where it is not told, as by the management API.
  returned: always
  type: list
  elements: str
  sample: []
queues:
  description: The queues. Numbers are null while the broker does not tell them.
  returned: always
  type: list
  elements: dict
  contains:
    vhost:
      description: Virtual host.
      type: str
      sample: /
    name:
      description: Name of the queue.
      type: str
      sample: slave_status
    durable:
      description: Whether it outlives a restart of the broker. Its messages do so only if they are persistent.
      type: bool
      sample: true
    auto_delete:
      description: Whether it goes with its last consumer.
      type: bool
      sample: false
    exclusive:
      description: Whether it belongs to one connection, and goes with it.
      type: bool
      sample: false
    ready:
      description: Messages that wait to be fetched.
      type: int
      sample: 2
    unacked:
      description: Messages that were fetched and not acknowledged.
      type: int
      sample: 1
    depth:
      description: Both together.
      type: int
      sample: 3
    consumers:
      description: Subscribers. Who polls is none.
      type: int
      sample: 0
    state:
      description: State in the broker's words; empty where it tells none.
      type: str
      sample: running
connections:
  description: The clients.
  returned: always
  type: list
  elements: dict
  contains:
    host:
      description: Where it comes from, as the broker sees it.
      type: str
      sample: 192.0.2.17
    port:
      description: Its port there.
      type: int
      sample: 49152
    user:
      description: The user.
      type: str
      sample: guest
    vhost:
      description: Virtual host.
      type: str
      sample: /
    state:
      description: State in the broker's words.
      type: str
      sample: running
    channels:
      description: Its channels.
      type: int
      sample: 1
    protocol:
      description: The protocol.
      type: str
      sample: AMQP 0-9-1
    connected_at:
      description: Since when, in seconds since 1970. Null for versions that do not tell it.
      type: float
      sample: 1769904000.25
exchanges:
  description: The exchanges. The one without a name is the default one.
  returned: always
  type: list
  elements: dict
  sample: [{"vhost": "/", "name": "broadcast", "type": "fanout", "durable": false}]
totals:
  description: How many there are of all. Null where they could not be read.
  returned: always
  type: dict
  sample:
    queues: 5
    connections: 3
    exchanges: 8
    blocked: 0
    messages: 3
    messages_ready: 2
    messages_unacked: 1
missing:
  description: What the broker could not tell, by part, and why.
  returned: always
  type: dict
  sample: {}
findings:
  description: What is so, worst or not.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: rabbitmq.alarm.disk
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: critical
    subject:
      description: What it is about.
      type: str
      sample: rabbit@broker
    summary:
      description: One sentence for a person.
      type: str
      sample: "the disk of rabbit@broker has less space than its limit (31 of 47 MiB): no publisher's messages are taken in the whole cluster"
    detail:
      description: The same for a program.
      type: dict
      sample: {"alarm": "disk", "free": 33452032, "limit": 50000000}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": null, "vars": {}, "text": "make room on the disk of the broker's data; it takes messages again by itself when there is"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "talus.rst", "heading": "AMQP"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"ways": ["management", "rabbitmqctl"], "uid": 0, "clients": {"slave1": ["192.0.2.17"]}, "proxies": []}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.62
record:
  description: What was read, without secrets, for O(replay).
  returned: when O(record)
  type: dict
  sample: {"version": 1, "check": "rabbitmq_info", "state": {}, "judged_by": {}}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import env_fallback

from ..module_utils.connect.docker import DEFAULT_HOST
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info
from ..module_utils.rabbitmq.errors import RabbitMQError
from ..module_utils.rabbitmq.info import BrokerInfo

OPTIONS = ArgumentSpec(
    {
        "via": {"type": "str", "choices": ["auto", "management", "rabbitmqctl", "container"], "default": "auto"},
        "management_url": {"type": "str"},
        "management_user": {"type": "str", "default": "guest"},
        "management_password": {"type": "str", "no_log": True},
        "validate_certs": {"type": "bool", "default": True},
        "ca_cert": {"type": "path"},
        "rabbitmqctl": {"type": "str"},
        "node": {"type": "str"},
        "container": {"type": "str"},
        "docker_host": {"type": "str", "default": DEFAULT_HOST, "fallback": (env_fallback, ["DOCKER_HOST"])},
        "vhost": {"type": "str", "default": "/"},
        "expected_queues": {"type": "list", "elements": "str", "default": []},
        "max_depth": {"type": "int", "default": 1000},
        "expected_clients": {"type": "list", "elements": "str", "default": []},
        "min_connections": {"type": "int", "default": 0},
        "proxies": {"type": "list", "elements": "str", "default": []},
        "wait": {"type": "float", "default": 0.0},
        "timeout": {"type": "float", "default": 30.0},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.recordable().to_kwargs())
    run_info(module, BrokerInfo, (RabbitMQError,))


if __name__ == "__main__":
    main()
