#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talus_web_dev
short_description: Work on the web server of Talus in a container of its own
version_added: 1.0.0
description:
  - With O(state=present) a container C(talus-web_dev), or C(talus_web_dev), is started that has the sources of a checkout at C(/web), so that
    no image has to be built for a change. It runs a shell or another command, and the port of the development server is published.
  - It is connected to the database as this one's container allows. On a network of users it joins that network, on the default bridge it is
    linked. What else it mounts, and its image, are those of the production's container where there is one.
  - The command has a terminal that nobody sits at, so a shell stays. RV(container.shell) is the command line for a shell of one's own.
  - With O(state=absent) it is removed. The production's container is never touched.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.talus.docker
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  state:
    description: Whether the container is there.
    type: str
    choices: [present, absent]
    default: present
  spelling:
    description:
      - How its name is spelt. By default as that of the container for development that is there, else as that of the database's container.
    type: str
    choices: [underscore, hyphen]
  source:
    description:
      - A checkout of Talus on the node, or its C(src/web/app), where C(manage.py) is.
      - Required with O(state=present).
    type: path
  image:
    description:
      - Image of the container. It must be on the node; nothing is pulled or built.
      - By default that of the production's container, else C(talus/talus-web) or C(talus_web) by the spelling.
    type: str
  command:
    description: What the container runs, with its arguments. It is gone when this ends.
    type: list
    elements: str
    default: [bash]
  address:
    description:
      - Address of the node that the port is published on. Talus has no authentication, so whoever reaches it may do everything.
    type: str
    default: 0.0.0.0
  port:
    description: Port of the development server, in the container and on the node.
    type: int
    default: 8080
  volumes:
    description:
      - What else is mounted, as C(/on/the/node:/in/the/container) with C(:ro) at its end where it is not to be written.
      - By default what the production's container mounts, else what upstream's start script does.
    type: list
    elements: str
  environment:
    description:
      - Variables that the container gets. Only their names are compared, journaled and returned.
      - A container with such variables cannot be started again by an undo, since their values are kept nowhere.
    type: dict
    default: {}
  timeout:
    description: Seconds to wait for one answer of the Docker Engine.
    type: float
    default: 30.0
notes:
  - A container with other settings than those asked for is not replaced. Remove it first.
  - The database is the production's. What is written there while sources are tried is the production's business at once, and no undo takes it
    back.
seealso:
  - module: fieldops.runbooks.talus_info
"""

EXAMPLES = r"""
- name: Work on the sources that were copied to the master
  fieldops.runbooks.talus_web_dev:
    source: /home/talus/talus
  become: true
  register: dev

- name: How do I get in?
  ansible.builtin.debug:
    msg: "{{ dev.container.shell }}"

- name: Run the development server itself, for this node alone
  fieldops.runbooks.talus_web_dev:
    source: /home/talus/talus/src/web/app
    command: [python, manage.py, runserver, "0.0.0.0:8080"]
    address: 127.0.0.1
  become: true

- name: The work is over
  fieldops.runbooks.talus_web_dev:
    state: absent
  become: true
"""

RETURN = r"""
container:
  description: The container for development, null when there is none.
  returned: always
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: talus-web_dev
    image:
      description: Its image.
      type: str
      sample: talus/talus-web
    command:
      description: What it runs.
      type: list
      elements: str
      sample: [bash]
    mounts:
      description: What is mounted, by place in the container. The sources are at C(/web).
      type: list
      elements: str
      sample: ["/talus/talus_code_cache:/code_cache:rw", "/home/talus/talus/src/web/app:/web:rw"]
    port:
      description: Where the port of the development server is published.
      type: str
      sample: "0.0.0.0:8080"
    network:
      description: Its network, V(default) on the default bridge.
      type: str
      sample: talus_nw
    link:
      description: Its link to the database's container, on the default bridge.
      type: str
      sample: "talus-db:talus-db"
    environment:
      description: Names of the variables that it was given.
      type: list
      elements: str
      sample: []
    running:
      description: Whether it runs.
      type: bool
      sample: true
    written:
      description: What was written in it outside its mounts, and would be lost with it.
      type: list
      elements: str
      sample: []
    shell:
      description: The command line for a shell in it.
      type: str
      sample: docker exec -it talus-web_dev bash
database:
  description: The container of the database that it is connected to. Null when there is none.
  returned: always
  type: str
  sample: talus-db
changed:
  description: Whether anything was changed; in check mode, whether anything would be.
  returned: always
  type: bool
  sample: true
changes:
  description: The plan, and what became of it. At most 1000 are shown; the journal has all.
  returned: always
  type: list
  elements: dict
  contains:
    n:
      description: Number of the change within the run, as M(fieldops.runbooks.runbook_undo) takes it.
      type: int
      sample: 0
    action:
      description: What is done to the subject.
      type: str
      sample: create
    subject:
      description: What is changed.
      type: str
      sample: "container:talus-web_dev"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample:
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample: {"image": "talus/talus-web", "command": ["bash"], "mounts": ["/home/talus/talus/src/web/app:/web:rw"], "port": "0.0.0.0:8080",
               "network": "talus_nw", "link": null, "environment": []}
    reason:
      description: Why, in one sentence.
      type: str
      sample: to work on the sources in /home/talus/talus/src/web/app
    reversible:
      description: Whether the change can be undone.
      type: bool
      sample: true
    data_loss:
      description: What would be lost, if anything.
      type: str
      sample: ""
    done:
      description: Whether it was done. Always false in check mode.
      type: bool
      sample: true
    note:
      description: Why it was not done, if the subject changed between plan and change.
      type: str
      sample: "the container was made, changed or removed since it was looked at: left alone"
changes_total:
  description: Number of changes in the plan.
  returned: always
  type: int
  sample: 1
plan_sha256:
  description: Hash of the plan. The same plan has the same hash in check mode and in the real run.
  returned: always
  type: str
  sample: 6b1f0c3f5f6d2d3a7f7c8f0d4f3c2a1b0e9d8c7b6a5948372615f4e3d2c1b0a9
undo_id:
  description: Takes this run back, with M(fieldops.runbooks.runbook_undo). Null when nothing was changed.
  returned: always
  type: str
  sample: 20260131T235959-talus_web_dev-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the plan. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "database", "reason": "the database's container talus-db does not run (exited).", "allow": "start it first"}]
guards:
  description: What each guard decided on the plan, those that let it pass as well. In the order in which they are told.
  returned: always
  type: list
  elements: dict
  contains:
    guard:
      description: Name of the guard; those that only this fix has are listed when they refuse.
      type: str
      sample: cooldown
    decision:
      description: V(pass), V(refuse), or V(off) where it was not asked.
      type: str
      sample: refuse
    why:
      description: Why, in words.
      type: str
      sample: "the same fix was run on 1 of these subjects 40 s ago (run 20260131T235959-fits_queue_reset-0123abcd), first ingest:a.fits: it does not hold."
    allow:
      description: What would allow the plan; empty unless it was refused.
      type: str
      sample: "find out why it came back; or wait 561 s, or pass cooldown: 0."
findings:
  description: What is so, worst or not; after a fix, what is so now.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: talus.web_dev.present
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: info
    subject:
      description: What it is about.
      type: str
      sample: talus-web_dev
    summary:
      description: One sentence for a person.
      type: str
      sample: "talus-web_dev has the sources of /home/talus/talus/src/web/app at /web, on port 0.0.0.0:8080: docker exec -it talus-web_dev bash"
    detail:
      description: The same for a program.
      type: dict
      sample: {"image": "talus/talus-web", "command": ["bash"], "running": true}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
        playbook:
        vars: {}
        text: "fieldops.runbooks.talus_web_dev with state: absent when the work is over"
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "talus.rst", "heading": "Webserver"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"docker_host": "unix:///var/run/docker.sock", "name": "talus-web_dev"}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.45
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.docker import DockerError
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix
from ..module_utils.talus.argspec import DOCKER
from ..module_utils.talus.errors import TalusError
from ..module_utils.talus.web_dev import WebDev

OPTIONS = ArgumentSpec(
    {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "spelling": {"type": "str", "choices": ["underscore", "hyphen"]},
        "source": {"type": "path"},
        "image": {"type": "str"},
        "command": {"type": "list", "elements": "str", "default": ["bash"]},
        "address": {"type": "str", "default": "0.0.0.0"},  # noqa: S104 - developers are elsewhere
        "port": {"type": "int", "default": 8080},
        "volumes": {"type": "list", "elements": "str"},
        "environment": {"type": "dict", "default": {}},
        "timeout": {"type": "float", "default": 30.0},
    },
    required_if=[("state", "present", ["source"])],
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **DOCKER.merge(OPTIONS, GUARDS).to_kwargs())
    run_fix(module, WebDev, (TalusError, DockerError))


if __name__ == "__main__":
    main()
