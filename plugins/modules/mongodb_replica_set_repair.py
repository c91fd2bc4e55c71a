#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mongodb_replica_set_repair
short_description: Bring a replica set of MongoDB back to a writable PRIMARY
version_added: 1.0.0
description:
  - Finds out why a server is not a writable PRIMARY, and mends that by the safest way that fits.
  - A set that was never initiated is initiated. A step-down or freeze is lifted, or waited out. Maintenance mode is left, as often as it was entered.
    The one member of a set whose host name, address or port has changed is corrected in the configuration that is there.
    A server that was started without C(--replSet), or with another name than its data have, is started again with the right one, by its own unit.
  - A configuration is forced in two cases only. One is that corrected host in a set of one member. The other is a set of which a majority is gone for good,
    and then every member that may be dropped has to be named in O(accept_data_loss).
  - Members are dropped only if no member is PRIMARY, those that are dropped cannot be reached by the server nor from the node, no majority can be reached,
    and this server has the newest data of all that are left and may become PRIMARY. If another one has newer data, the module names it.
  - A configuration is always the one that the server has, with nothing changed in it but what the plan says. It is kept in the journal before.
  - The repair is judged by a write. A document is written at the primary, acknowledged by a majority, and taken away again.
  - A set that has a primary is not touched. Nothing is compared by the version of its configuration, which a force lets jump at random.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.mongodb
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  host:
    description:
      - C(HOST:PORT) by which the set is to name this server, where it is initiated or its host is corrected. Without a port, the server's own is taken.
      - The server must be able to reach itself by it. In a container, that is the container's own host name.
      - The default is what the server calls itself and where it listens. To ask it for that takes the role C(clusterMonitor), where users log in.
    type: str
  replica_set:
    description:
      - Name of the set. Needed only where no configuration has it, or where the user may not know what the server was started with.
      - Where a name is known and this is another one, the repair is refused. It may be the wrong server.
    type: str
  stepped_down:
    description:
      - What to do about a server that is SECONDARY while nobody is PRIMARY and a majority is alive.
      - With V(lift), the step-down or freeze is lifted. In a set of several members, an election has twice the election timeout before.
      - With V(wait), it is waited out for at most O(wait) seconds.
    type: str
    choices: [lift, wait]
    default: lift
  wait:
    description:
      - Seconds that a repair may take until a majority acknowledges a write. It must be less than half of O(lock_expiry).
      - Before a repair, also in check mode, seconds to wait for what ends by itself. That is a server that starts, a rollback, an election.
    type: float
    default: 60.0
  probe_database:
    description: Database of its own for the document that is written as a proof. It is gone afterwards, unless others have put something there.
    type: str
    default: fieldops_probe
notes:
  - Roles of the user are C(clusterManager) and C(clusterMonitor) on the database C(admin), and C(readWrite) on O(probe_database).
    Without C(clusterMonitor), the name that the server was started with must be given as O(replica_set), and O(host) as well.
  - A server is started again only where it is a process of a systemd unit on this node. One in a container, or started by hand, is refused with what to do.
    For that, the module must run as root, and O(login_host) be an address of the node.
  - A server whose configuration names another one alone has moved, or was dropped from its set. If that other one is there, the repair is refused. If it is
    another machine, if it was elected after the newest data here, or if nothing tells that this server ever was it, C(data of SET that HOST:PORT does not have)
    must be accepted in O(accept_data_loss). The same goes for a set that is initiated on data. Before MongoDB 5.0, a server cannot tell that it has none.
  - Members that are dropped must have been stopped for good before. One that comes back finds itself removed, and must be emptied before it joins again.
  - What was written into a configuration file or a unit can be taken back with M(fieldops.runbooks.runbook_undo), by the numbers of these changes. What was
    done to the set cannot.
seealso:
  - module: fieldops.runbooks.mongodb_replica_set_info
  - module: fieldops.runbooks.mongodb_query_info
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: What would be done?
  fieldops.runbooks.mongodb_replica_set_repair:
    login_port: 27017
  check_mode: true
  diff: true

- name: A writable PRIMARY, where the database is in a container
  fieldops.runbooks.mongodb_replica_set_repair:
    host: talus-db:27017
  become: true

- name: Initiate a set on data that are known to be the right ones
  fieldops.runbooks.mongodb_replica_set_repair:
    accept_data_loss:
      - data of rs0 that localhost:27017 does not have

- name: Two of three members are gone for good and stopped, and the third goes on alone
  fieldops.runbooks.mongodb_replica_set_repair:
    login_host: db1.example
    login_user: operator
    login_password: "{{ vault_mongodb_password }}"
    accept_data_loss:
      - db2.example:27017
      - db3.example:27017
"""

RETURN = r"""
replica_set:
  description: The set as this server sees it; after a repair, as it is now.
  returned: always
  type: dict
  contains:
    condition:
      description: Condition of this server, as M(fieldops.runbooks.mongodb_replica_set_info) names it.
      type: str
      sample: healthy
    set_name:
      description: Name of the set; null where none is known.
      type: str
      sample: rs0
    writes:
      description: What becomes of a write to this server, one of V(yes), V(no), V(unsafe), V(unknown).
      type: str
      sample: "yes"
    primary:
      description: Host of the primary; null where there is none.
      type: str
      sample: talus-db:27017
    members:
      description: All members, as M(fieldops.runbooks.mongodb_replica_set_info) returns them.
      type: list
      elements: dict
      sample: [{"id": 0, "host": "talus-db:27017", "self": true, "state": 1, "state_name": "PRIMARY", "healthy": true, "votes": 1, "priority": 1.0}]
    own_host:
      description: What the server calls itself and where it listens; null where that was not asked, or may not be.
      type: str
      sample: talus-db:27017
    proven_at:
      description: Server at which a write was acknowledged by a majority; null where nothing was changed.
      type: str
      sample: localhost:27017
changed:
  description: Whether anything was changed; in check mode, whether anything would be.
  returned: always
  type: bool
  sample: true
changes:
  description: The plan, and what became of it.
  returned: always
  type: list
  elements: dict
  contains:
    n:
      description: Number of the change within the run, as M(fieldops.runbooks.runbook_undo) takes it.
      type: int
      sample: 0
    action:
      description:
        - What is done to the subject, one of V(initiate), V(correct_host), V(lift_step_down), V(leave_maintenance), V(set_replset), V(restart),
          V(drop_member).
      type: str
      sample: correct_host
    subject:
      description: What is changed.
      type: str
      sample: "replica_set:rs0"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample: {"hosts": ["talus_db:27017"]}
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample: {"hosts": ["talus-db:27017"]}
    reason:
      description: Why, in one sentence.
      type: str
      sample: "the only member is configured as talus_db:27017, which is not this server any more; it is talus-db:27017"
    reversible:
      description: Whether the change can be undone. Only what is written into files can.
      type: bool
      sample: false
    data_loss:
      description: What could be lost. The plan is refused unless O(accept_data_loss) lists these very words.
      type: str
      sample: db2.example:27017
    done:
      description: Whether it was done. Always false in check mode.
      type: bool
      sample: true
    note:
      description: Why it was not done, if the subject changed between plan and change.
      type: str
      sample: it has a configuration by now
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
  description: Name of this run in the journal, which also has the configuration as it was. Null when nothing was changed.
  returned: always
  type: str
  sample: 20260131T235959-mongodb_replica_set_repair-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the repair. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "newest", "reason": "db2.example:27017 has newer data than this server, which would be lost.", "allow": "running this there"}]
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
seen:
  description: The set as it was seen last, in the form of RV(replica_set).
  returned: when no write was acknowledged after a repair
  type: dict
  sample: {"condition": "starting", "set_name": "rs0", "primary": null}
findings:
  description: What is so; after a repair, what is so now.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: mongodb.replica_set.healthy
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: ok
    subject:
      description: What it is about.
      type: str
      sample: localhost:27017
    summary:
      description: One sentence for a person.
      type: str
      sample: "localhost:27017: it is PRIMARY and a majority of its set is alive"
    detail:
      description: The same for a program.
      type: dict
      sample: {"votes": 1, "votes_alive": 1, "votes_needed": 1, "writes": "yes", "set": "rs0"}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": null, "vars": {}, "text": "bring the other members back"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "talus.rst", "heading": "MongoDB"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  contains:
    version:
      description: Version of the server.
      type: str
      sample: 6.0.5
    codes:
      description: Codes with which it refused to tell its status, its configuration and its stored configuration; 0 where it told, null where it was not asked.
      type: dict
      sample: {"status": 93, "config": 0, "stored": null}
    peers:
      description: The other members, asked directly from this node, where a majority is missing.
      type: list
      elements: dict
      sample: [{"host": "db2.example:27017", "listening": false, "state": null, "condition": "", "why": "Connection refused"}]
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.4
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.mongo import MongoError
from ..module_utils.connect.service import ServiceError
from ..module_utils.mongodb.argspec import CONNECTION
from ..module_utils.mongodb.errors import MongodbError
from ..module_utils.mongodb.repair import Repair
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "host": {"type": "str"},
        "replica_set": {"type": "str"},
        "stepped_down": {"type": "str", "choices": ["lift", "wait"], "default": "lift"},
        "wait": {"type": "float", "default": 60.0},
        "probe_database": {"type": "str", "default": "fieldops_probe"},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(CONNECTION, GUARDS).to_kwargs())
    run_fix(module, Repair, (MongoError, MongodbError, ServiceError))


if __name__ == "__main__":
    main()
