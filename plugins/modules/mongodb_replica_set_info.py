#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mongodb_replica_set_info
short_description: Tell which condition a MongoDB server and its replica set are in
version_added: 1.0.0
description:
  - A shell whose prompt does not say C(PRIMARY) has a dozen possible causes, which look alike and need different cures. This module asks one
    server directly and names its RV(condition), what becomes of writes now, and the safe remedy.
  - Conditions are told by the codes of the server's answers, never by texts, which differ from release to release.
  - A server that has no configuration of a set, one that is not in the configuration it has, and one that was started with another name than its
    data have, answer C(hello) with the very same words. They are told apart.
  - A server that does not answer, or that does not let the user ask, is a condition as well. The module fails only for bad options and for a
    missing library.
  - Uses one client, asks at most seven questions, and changes nothing.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.record
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
  - fieldops.runbooks.mongodb
options:
  wait:
    description:
      - Look again for up to this many seconds, an hour at most, until RV(healthy) is true. What was seen last is returned either way.
      - A user who may not ask, and a driver of the wrong age, are told at once.
    type: float
    default: 0.0
  behind_max:
    description: Seconds that a member may be behind the newest data before that is worth a finding.
    type: float
    default: 60.0
notes:
  - The role C(clusterMonitor) on the database C(admin) suffices. C(clusterManager) may not see the command line, so that a wrong C(--replSet) cannot
    be told from a server that is not in its configuration; RV(detail) then has V(null) as C(command_line_set).
  - That a server says it is PRIMARY is no proof that a write succeeds. This module reads only;
    M(fieldops.runbooks.mongodb_replica_set_repair) proves it by a write.
  - C(rs.slaveOk()) and its likes are a property of one connection of a client. They change nothing on the server and cure none of these conditions.
  - Tested with MongoDB 4.4, 5.0 and 6.0. Older servers are spoken with in the way they know, but need an older driver and were not run.
seealso:
  - module: fieldops.runbooks.mongodb_replica_set_repair
  - module: fieldops.runbooks.mongodb_query_info
"""

EXAMPLES = r"""
- name: In which condition is the server?
  fieldops.runbooks.mongodb_replica_set_info:
    login_host: talus-db.example.org
  register: mongodb

- name: Go on only where writes are taken
  ansible.builtin.assert:
    that: mongodb.condition == 'healthy'
    fail_msg: "{{ mongodb.findings[0].summary }}"

- name: Wait for a primary after a restart, as a user
  fieldops.runbooks.mongodb_replica_set_info:
    login_user: monitor
    login_password: "{{ vaulted_password }}"
    wait: 60
"""

RETURN = r"""
condition:
  description:
    - V(healthy) it is PRIMARY and a majority of the votes is alive. V(secondary) it is a SECONDARY of a set that has a primary. V(arbiter) it has no data.
    - V(standalone) it runs without C(--replSet) and was never in a set. V(standalone_on_replica_data) the same, on the data of a set.
    - V(not_initiated) there is no configuration. V(removed) there is one, and the server is not in it, mostly because its name, address or port
      has changed. V(wrong_set_name) C(--replSet) is not the name that is stored.
    - V(stepped_down) nobody is PRIMARY though a majority is alive. V(no_majority) too few voters are alive.
    - V(maintenance) it is in maintenance mode. V(too_stale) it can never catch up. V(starting) it starts, copies or catches up. V(rollback) it takes
      writes back.
    - V(unauthorized) the user may not ask. V(unreachable) there is no answer. V(unsupported_version) the driver cannot speak with it. V(unknown) none of
      these.
  returned: always
  type: str
  sample: removed
healthy:
  description: Whether the condition is V(healthy), V(secondary) or V(arbiter).
  returned: always
  type: bool
  sample: false
writes:
  description:
    - What becomes of a write to this server now. V(yes), V(no), V(unsafe) when it is taken and may be lost or missed, V(unknown).
  returned: always
  type: str
  sample: "no"
reads:
  description: What becomes of a read, V(yes), V(no) or V(unknown). That reads work says nothing about writes.
  returned: always
  type: str
  sample: "no"
meaning:
  description: The condition in words.
  returned: always
  type: str
  sample: >-
    a configuration exists, and none of its members is this server: its host name, address or port has changed, or it was removed from the set
    (the configuration names talus-db:27017)
detail:
  description: What the condition rests on; its keys depend on the condition.
  returned: always
  type: dict
  sample: {"stored_set": "rs0", "command_line_set": "rs0", "configured_hosts": ["talus-db:27017"]}
version:
  description: Version of the server. Null where it did not say.
  returned: always
  type: str
  sample: 6.0.5
set_name:
  description: Name of the set, as the server or its data have it. Null where there is none.
  returned: always
  type: str
  sample: rs0
command_line_set:
  description: The name given with C(--replSet), or in the configuration file; empty where there is none. Null where this user may not know it.
  returned: always
  type: str
  sample: rs0
primary:
  description: Host of the member that is PRIMARY, as this server sees it.
  returned: always
  type: str
  sample: talus-db:27017
members:
  description:
    - The members as this server sees them. Where it has no status, only what its configuration has of them.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Id in the configuration.
      type: int
      sample: 0
    host:
      description: Host and port in the configuration.
      type: str
      sample: talus-db:27017
    self:
      description: Whether it is this server.
      type: bool
      sample: true
    state:
      description: Number of its state. Null where there is no status.
      type: int
      sample: 1
    state_name:
      description: Name of its state.
      type: str
      sample: PRIMARY
    healthy:
      description: Whether it is reached.
      type: bool
      sample: true
    votes:
      description: Its votes.
      type: int
      sample: 1
    priority:
      description: Its priority; with 0 it can never be PRIMARY.
      type: float
      sample: 1.0
    arbiter:
      description: Whether it votes and has no data.
      type: bool
      sample: false
    hidden:
      description: Whether clients are not told of it.
      type: bool
      sample: false
    optime:
      description: Time of the last operation that it has, in seconds since 1970.
      type: int
      sample: 1769904000
    behind:
      description: Seconds by which that is older than the newest operation that any member has.
      type: int
      sample: 0
    uptime:
      description: Seconds that it has been up.
      type: int
      sample: 86400
    sync_source:
      description: The member that it copies from.
      type: str
      sample: ""
    maintenance:
      description: How often it was put in maintenance mode. It takes as many times to leave it.
      type: int
      sample: 0
    message:
      description: What the server says of it.
      type: str
      sample: ""
votes:
  description: All votes, those of members that are alive, and how many it takes to have a primary. Null where there is no status.
  returned: always
  type: dict
  sample: {"total": 3, "alive": 3, "needed": 2}
config:
  description: The configuration of the set as the server has it, in extended JSON. Null where there is none, or it may not be read.
  returned: always
  type: dict
  sample:
    _id: rs0
    version: 73386
    term: 4
    members: [{"_id": 0, "host": "talus-db:27017", "priority": 1.0, "votes": 1}]
    settings: {"electionTimeoutMillis": 10000, "replicaSetId": {"$oid": "6b03424032fa01043ab1fb17"}}
findings:
  description: The condition, then members that are down or behind.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: C(mongodb.replica_set.) and the condition, C(mongodb.replica_set.two_primaries), C(mongodb.member.down) or C(mongodb.member.behind).
      type: str
      sample: mongodb.replica_set.removed
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: critical
    subject:
      description: The server, or the member.
      type: str
      sample: localhost:27017
    summary:
      description: One sentence for a person.
      type: str
      sample: "localhost:27017: it was started with --replSet, and no configuration of a set exists"
    detail:
      description: The same for a program.
      type: dict
      sample: {"command_line_set": "rs0", "condition": "not_initiated", "writes": "no", "reads": "no"}
    remedy:
      description: What would mend it, as a playbook with variables, and in words. Null where nothing is wrong.
      type: dict
      sample: {"playbook": "fieldops.runbooks.talus_replica_set", "vars": {}, "text": "initiate the set, if its data are the right ones"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "talus.rst", "heading": "MongoDB"}
evidence:
  description: What the findings rest on. The codes are those of the server's answers, 0 for an answer and -1 for a refusal without a code.
  returned: always
  type: dict
  sample:
    address: localhost:27017
    driver: 4.20.0
    codes: {"isMaster": 0, "replSetGetStatus": 93, "getCmdLineOpts": 0, "replSetGetConfig": 0}
    state:
    looks: 1
    error: "MongoDB at localhost:27017: Our replica set config is invalid or we are not a member of it (code 93)"
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.03
record:
  description: What was read, without secrets, for O(replay).
  returned: when O(record)
  type: dict
  sample: {"version": 1, "check": "mongodb_replica_set_info", "state": {}, "judged_by": {}}
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils.connect.mongo import IMPORT_ERROR, MongoError
from ..module_utils.mongodb.argspec import CONNECTION
from ..module_utils.mongodb.errors import MongodbError
from ..module_utils.mongodb.info import ReplicaSetInfo
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec({"wait": {"type": "float", "default": 0.0}, "behind_max": {"type": "float", "default": 60.0}})


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **CONNECTION.merge(OPTIONS).recordable().to_kwargs())
    if IMPORT_ERROR is not None and not module.params["replay"]:
        module.fail_json(msg=missing_required_lib("pymongo"), exception=IMPORT_ERROR)
    run_info(module, ReplicaSetInfo, (MongodbError, MongoError))


if __name__ == "__main__":
    main()
