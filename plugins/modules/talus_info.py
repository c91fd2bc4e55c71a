#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talus_info
short_description: Tell how a master or slave of Talus stands
version_added: 1.0.0
description:
  - Looks at the containers, the daemons, the records in MongoDB and the Vagrant boxes of a host in one call, and says what is wrong between
    them.
  - Containers are found under every spelling of their names, by name, hostname or image. What a container or a daemon goes by as the
    address of another one is held against the address that this one has now, and so is the order in which they were started.
  - Daemons are processes of exactly the argv C(python -m master INTERFACE) or C(python -m slave BROKER VMS INTERFACE). Shells, sudo and
    others that have such words in their command line are none.
  - A process that is up proves nothing. A daemon consumes only with an established connection of its own to the broker, and the master to the
    database as well. Neither makes a new one by itself after the broker was restarted.
  - A replica set that is not initiated shows as a master that ends again and again. Where that is so, the finding says it.
  - Slaves are judged by the heartbeat in their documents, which stay when a slave has gone. Images and jobs that nobody works on are named.
  - Whatever cannot be read is a finding and is named in RV(missing), and the rest is told all the same.
  - Passwords of images are not even asked for, and nothing is changed.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.record
  - fieldops.runbooks.mongodb
  - fieldops.runbooks.talus.docker
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  parts:
    description:
      - What to look at. By default all that the host can have, which is everything on a master, and the daemons on a slave.
    type: list
    elements: str
    choices: [containers, daemons, records, boxes]
  roles:
    description:
      - What the host is meant to be. A daemon of a role that does not run is a finding.
      - By default that is told from the units or jobs, the containers and the daemons that are found.
    type: list
    elements: str
    choices: [master, slave]
  components:
    description:
      - What is to be restarted, in place of what does not work. RV(restart) then names these and all that depends on them.
    type: list
    elements: str
    choices: [db, amqp, web, master, slave]
  manager:
    description: What starts services on the host. By default the one that is in charge.
    type: str
    choices: [systemd, upstart]
  init_dir:
    description: Directory of upstart's job files, which tell what a job really starts.
    type: path
    default: /etc/init
  database:
    description: Name of Talus's database.
    type: str
    default: talus
  amqp_host:
    description:
      - Host of the broker, to see whether it answers.
      - By default what the slave of this host was started with, else C(localhost) on a master.
    type: str
  amqp_port:
    description: Port of the broker.
    type: int
    default: 5672
  boxes_dir:
    description: Directory of Vagrant's boxes, of the user who runs the master.
    type: path
    default: /root/.vagrant.d/boxes
  images_dir:
    description: Directory of libvirt's images, which boxes are links to.
    type: path
    default: /var/lib/libvirt/images
  files_dir:
    description: Directory of uploaded files, which the web server's container has for its directory of temporary files.
    type: path
    default: /tmp/talus/tmp
  heartbeat_timeout:
    description: Seconds after which a slave that reports every 5 seconds counts as silent.
    type: float
    default: 15.0
  image_timeout:
    description:
      - Seconds after which an image that is being configured is worth a finding. One that was begun before the master was started is one
        at once, since the master does not look at it again.
    type: float
    default: 7200.0
  log_lines:
    description:
      - How many lines of the end of each container's log to return, 1000 at most. Lines that may hold a secret are not returned.
    type: int
    default: 0
  settle:
    description: Seconds that a daemon must be old before it is believed to stay, and to have made its connections.
    type: float
    default: 30.0
  watch:
    description:
      - Seconds, 60 at most, to watch a daemon that is young or away, where the manager does not count how often it started it again. Upstart
        does not. V(0) does not watch.
    type: float
    default: 3.0
  wait:
    description:
      - Look again for up to this many seconds, an hour at most, until nothing that was looked at calls for a restart and the daemons have their
        connections, those that are younger than O(settle) as well. What was seen last is returned either way.
      - What no restart mends, such as a slave of another host that is silent, is not waited for.
    type: float
    default: 0.0
notes:
  - Run it as root. Connections of a process, and the environment that it was started with, are not for other users to see.
  - O(timeout) counts for answers of the Docker Engine as well.
  - The condition of the replica set is told in detail by M(fieldops.runbooks.mongodb_replica_set_info).
seealso:
  - module: fieldops.runbooks.mongodb_replica_set_info
  - module: fieldops.runbooks.talus_web_dev
"""

EXAMPLES = r"""
- name: How does the master stand?
  fieldops.runbooks.talus_info:
  become: true
  register: talus

- name: Does the slave of this host consume?
  fieldops.runbooks.talus_info:
    parts: [daemons]
    roles: [slave]
  become: true

- name: Which slaves and images are in trouble?
  fieldops.runbooks.talus_info:
    parts: [records, boxes]
    heartbeat_timeout: 60
  become: true

- name: Wait until all is well after a restart of the stack
  fieldops.runbooks.talus_info:
    wait: 180
  become: true
"""

RETURN = r"""
healthy:
  description: Whether nothing that was looked at is critical.
  returned: always
  type: bool
  sample: true
restart:
  description:
    - What a restart would mend, and all that depends on it, in the order of starting. A container that comes back has another address, and a
      daemon does not connect to a broker again.
    - What no restart mends, such as a database without a primary, is not in it.
  returned: always
  type: list
  elements: str
  sample: [amqp, master, slave]
roles:
  description: What the host is, as given by O(roles) or as found.
  returned: always
  type: list
  elements: str
  sample: [master]
spelling:
  description: How most names on the host are spelt, V(underscore) or V(hyphen). Null when there is no name.
  returned: always
  type: str
  sample: hyphen
manager:
  description: What starts services on the host. Null when that could not be told.
  returned: always
  type: str
  sample: systemd
units:
  description: By component, the unit or job of it as its manager sees it; null where there is none.
  returned: always
  type: dict
  sample:
    db: {"name": "docker.talus-db", "manager": "systemd", "active": "active", "sub": "running", "enabled": true, "main_pid": 812,
         "restarts": 0, "result": "success", "exit_code": null}
    amqp:
    web:
    master:
    slave:
containers:
  description: The containers C(db), C(amqp) and C(web); each null where there is none. Null when they were not looked at.
  returned: always
  type: dict
  contains:
    db:
      description: The database's container. C(amqp) and C(web) have the same keys.
      type: dict
      sample:
        id: 0e7dbe0b5bd6
        name: talus-db
        component: db
        kind: service
        spelling: hyphen
        found_by: name
        image: talus/talus-db
        hostname: talus-db
        status: running
        running: true
        exit_code:
        restarts: 0
        started: 1769904000.25
        ports: [{"container": "27017/tcp", "address": "0.0.0.0", "port": 27017}]
        mounts: [{"source": "/talus/data", "destination": "/talus/data", "writable": true}]
        networks: {"talus_nw": "172.18.0.2"}
        network_mode: talus_nw
        links: []
        holds: []
        log: []
    amqp:
      description: The broker's container.
      type: dict
      sample:
    web:
      description: The web server's container. C(holds) are the addresses of others that it goes by, C(log) is the end of its log, with O(log_lines).
      type: dict
      sample:
other_containers:
  description: Other containers of Talus, such as those for development (C(kind) V(dev)) and shells (V(shell)), with the same keys.
  returned: always
  type: list
  elements: dict
  sample: []
daemons:
  description: The processes of the daemons, oldest first. Null when they were not looked at.
  returned: always
  type: dict
  contains:
    master:
      description: Masters, of which there should be one. Slaves have the same keys.
      type: list
      elements: dict
      sample:
        - pid: 4711
          start: 123456
          argv: [python, -m, master, em1]
          owner: root
          age: 86400.5
          started: 1769817600.0
          interface: em1
          broker:
          max_vms:
          unit: talus-master
          connected: {"amqp": true, "mongodb": true}
          connections: [{"address": "172.17.0.3", "port": 5672, "state": "established"}]
          holds: [{"component": "amqp", "where": "environment", "name": "TALUS_AMQP_PORT_5672_TCP", "address": "172.17.0.3"}]
    slave:
      description: Slaves.
      type: list
      elements: dict
      sample: []
vagrants:
  description: Runs of C(vagrant up), and the pid of the master that waits for each; null where that has ended.
  returned: always
  type: list
  elements: dict
  sample: [{"pid": 5012, "argv": ["ruby", "/usr/bin/vagrant", "up"], "age": 61.2, "master": 4711}]
broker:
  description: Whether the broker answers. Null where no broker is known.
  returned: always
  type: dict
  sample: {"host": "localhost", "port": 5672, "answers": true, "problem": ""}
database:
  description: What the MongoDB server says of itself. C(initiated) is null for a server without a replica set. Null when it was not asked.
  returned: always
  type: dict
  sample: {"address": "localhost:27017", "writable": true, "initiated": true, "replica_set": "rs0", "primary": "talus-db:27017"}
slaves:
  description: The documents of slaves, at most 1000. Null when records were not read.
  returned: always
  type: list
  elements: dict
  sample:
    - id: 5633f1c7a3e4b1d2c3f4a5b6
      hostname: slave1
      ip: 192.0.2.11
      uuid: 4ad7f1a0-7d6f-4a53-9a43-0c5b5d0f1b11
      max_vms: 10
      running_vms: 1
      total_jobs_run: 4711
      vms: [{"job": "5633f1c7a3e4b1d2c3f4a5c0", "idx": 3, "vnc_port": 5905, "tool": "BrowserFuzz", "start_time": 1769904000.0, "vm_status": "running"}]
      heartbeat_age: 3.1
      alive: true
images:
  description: Numbers of images by status, and the images, at most 1000, with the seconds since the latest time in each document.
  returned: always
  type: dict
  sample:
    total: 2
    by_status: {"ready": 1, "configuring": 1}
    list: [{"id": "5633f1c7a3e4b1d2c3f4a5b7", "name": "win7", "status": "configuring", "base_image": null, "age": 120.0}]
jobs:
  description: Numbers of jobs by status, and those that have not ended, at most 1000.
  returned: always
  type: dict
  sample:
    total: 812
    by_status: {"finished": 800, "cancelled": 11, "running": 1}
    active: [{"id": "5633f1c7a3e4b1d2c3f4a5c0", "name": "fuzz", "status": "running", "queue": "jobs", "priority": 50, "limit": 100, "progress": 12,
              "image": "5633f1c7a3e4b1d2c3f4a5b7", "debug": false, "age": 3600.0}]
boxes:
  description: Vagrant's boxes, the base images of libvirt, and the directory of uploaded files. Null when they were not looked at.
  returned: always
  type: dict
  contains:
    boxes:
      description: Boxes by version. C(image) is V(link), V(file), V(broken) or V(missing), for the box's C(box.img).
      type: list
      elements: dict
      sample:
        - name: 5633f1c7a3e4b1d2c3f4a5b7
          version: "0"
          path: /root/.vagrant.d/boxes/5633f1c7a3e4b1d2c3f4a5b7/0/libvirt
          image: link
          target: /var/lib/libvirt/images/5633f1c7a3e4b1d2c3f4a5b7_vagrant_box_image_0.img
          size: 8589934592
          metadata: true
    volumes:
      description: Base images.
      type: list
      elements: dict
      sample: [{"image_id": "5633f1c7a3e4b1d2c3f4a5b7", "path": "/var/lib/libvirt/images/5633f1c7a3e4b1d2c3f4a5b7_vagrant_box_image_0.img", "size": 8589934592}]
    uploads:
      description: The directory of uploaded files, at most 10000 of them counted; null when it is not there.
      type: dict
      sample: {"path": "/tmp/talus/tmp", "files": 3, "bytes": 1048576}
missing:
  description: What could not be looked at, by part (C(manager), C(containers), C(links), C(logs), C(daemons), C(records), C(boxes)), and why.
  returned: always
  type: dict
  sample: {}
findings:
  description: What is so, worst or not; after a fix, what is so now.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: talus.daemon.deaf
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: critical
    subject:
      description: What it is about.
      type: str
      sample: master 4711
    summary:
      description: One sentence for a person.
      type: str
      sample: "the master (process 4711) is up and does nothing: it has no connection to the broker, and does not make a new one by itself"
    detail:
      description: The same for a program.
      type: dict
      sample: {"kind": "master", "pid": 4711, "age": 86400.5, "owner": "root", "connections": []}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
        playbook: fieldops.runbooks.talus_daemon_restart
        vars: {"talus_daemons": ["master"], "talus_repair": true}
        text: restart the master, and see that it consumes
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "talus.rst", "heading": "Master Daemon"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"docker_host": "unix:///var/run/docker.sock", "mongodb": "localhost:27017", "boxes_dir": "/root/.vagrant.d/boxes", "missing": {}, "uid": 0}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.31
record:
  description: What was read, without secrets, for O(replay).
  returned: when O(record)
  type: dict
  sample: {"version": 1, "check": "talus_info", "state": {}, "judged_by": {}}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.mongo import OPTIONS as MONGODB
from ..module_utils.connect.mongo import MongoError
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info
from ..module_utils.talus.argspec import DOCKER
from ..module_utils.talus.errors import TalusError
from ..module_utils.talus.info import TalusInfo
from ..module_utils.talus.restart import ORDER

OPTIONS = ArgumentSpec(
    {
        "parts": {"type": "list", "elements": "str", "choices": ["containers", "daemons", "records", "boxes"]},
        "roles": {"type": "list", "elements": "str", "choices": ["master", "slave"]},
        "components": {"type": "list", "elements": "str", "choices": list(ORDER)},
        "manager": {"type": "str", "choices": ["systemd", "upstart"]},
        "init_dir": {"type": "path", "default": "/etc/init"},
        "database": {"type": "str", "default": "talus"},
        "amqp_host": {"type": "str"},
        "amqp_port": {"type": "int", "default": 5672},
        "boxes_dir": {"type": "path", "default": "/root/.vagrant.d/boxes"},
        "images_dir": {"type": "path", "default": "/var/lib/libvirt/images"},
        "files_dir": {"type": "path", "default": "/tmp/talus/tmp"},  # noqa: S108 - it is where Talus has it
        "heartbeat_timeout": {"type": "float", "default": 15.0},
        "image_timeout": {"type": "float", "default": 7200.0},
        "log_lines": {"type": "int", "default": 0},
        "settle": {"type": "float", "default": 30.0},
        "watch": {"type": "float", "default": 3.0},
        "wait": {"type": "float", "default": 0.0},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **DOCKER.merge(OPTIONS, ArgumentSpec(MONGODB)).recordable().to_kwargs())
    run_info(module, TalusInfo, (TalusError, MongoError))


if __name__ == "__main__":
    main()
