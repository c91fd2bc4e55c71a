#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mongodb_query_info
short_description: Read documents, counts and names from a MongoDB server
version_added: 1.0.0
description:
  - Reads from one server without a shell, also where that is a SECONDARY, and takes no more of the server's time and of the answer than it was
    allowed.
  - Only plain queries are sent. Whatever runs code on the server, or writes, is refused before anything is sent, for example C($where), C($function),
    C($expr), C($out) and C($merge).
  - Values whose field has a name like a password's are hidden, see O(hide).
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
  - fieldops.runbooks.mongodb
options:
  what:
    description:
      - V(documents) the documents of O(collection) that match O(filter). V(count) their number.
      - V(collections) the names of the collections of O(database). V(databases) the names of the databases.
    type: str
    choices: [documents, count, collections, databases]
    default: documents
  database:
    description: Database to read. Needed for all but O(what=databases).
    type: str
  collection:
    description: Collection to read. Needed for O(what=documents) and O(what=count).
    type: str
  filter:
    description:
      - What documents must match, as C(find) takes it. Values may be in extended JSON, such as those of C($oid) and C($date) in the examples.
      - It is shown in logs like any other option, so it is no place for a secret.
    type: dict
    default: {}
  projection:
    description: Fields with V(true) or V(false), or with C($slice) and a number. Expressions are refused.
    type: dict
    default: {}
  sort:
    description: Fields with V(1) or V(-1), one to an element, the most important first.
    type: list
    elements: dict
    default: []
  skip:
    description: How many to leave out at the beginning.
    type: int
    default: 0
  limit:
    description: How many documents or names to return, at most 10000.
    type: int
    default: 100
  max_time:
    description: Seconds that the server may take, not more than O(timeout). It stops by itself then.
    type: float
    default: 5.0
  max_bytes:
    description: How many bytes of documents to return, 1024 to 67108864. Whole documents are left out beyond.
    type: int
    default: 1048576
  hide:
    description:
      - Words that hide the value of each field whose name contains one of them, in any case and at any depth. V([]) hides nothing.
      - A hidden field cannot be used in O(filter) or O(sort) either.
      - Talus keeps the passwords of images as plain text (C(password) in the collection C(image)).
    type: list
    elements: str
    default: [passw, passphrase, pwd, secret, token, credential, api_key, apikey, private_key]
seealso:
  - module: fieldops.runbooks.mongodb_replica_set_info
"""

EXAMPLES = r"""
- name: Which images are not ready, newest first?
  fieldops.runbooks.mongodb_query_info:
    login_host: talus-db.example.org
    database: talus
    collection: image
    filter:
      status.name: {$ne: ready}
    projection: {name: true, status: true, timestamps: true}
    sort:
      - timestamps.created: -1

- name: One job by its id
  fieldops.runbooks.mongodb_query_info:
    database: talus
    collection: job
    filter:
      _id: {$oid: 54c1d5b9d5f1a31fcd8e5f5a}

- name: How many jobs run?
  fieldops.runbooks.mongodb_query_info:
    what: count
    database: talus
    collection: job
    filter: {status.name: running}

- name: What is there?
  fieldops.runbooks.mongodb_query_info:
    what: collections
    database: talus
"""

RETURN = r"""
documents:
  description: The documents, in relaxed extended JSON.
  returned: with O(what=documents)
  type: list
  elements: dict
  sample:
    - _id: {$oid: 54c1d5b9d5f1a31fcd8e5f5a}
      name: win7
      username: user
      password: "********"
      status: {"name": configuring}
      timestamps: {"created": {"$date": "2026-01-30T08:00:00Z"}}
count:
  description: Their number.
  returned: with O(what=count)
  type: int
  sample: 3
collections:
  description: The collections by name, each with its type (V(collection), V(view) or V(timeseries)).
  returned: with O(what=collections)
  type: list
  elements: dict
  sample: [{"name": "image", "type": "collection"}, {"name": "job", "type": "collection"}]
databases:
  description: The databases by name, each with its size on disk in bytes.
  returned: with O(what=databases)
  type: list
  elements: dict
  sample: [{"name": "admin", "size": 40960}, {"name": "talus", "size": 524288}]
truncated:
  description: Whether there is more than O(limit) or O(max_bytes) let through.
  returned: always
  type: bool
  sample: false
hidden:
  description: The fields whose values were hidden.
  returned: always
  type: list
  elements: str
  sample: [password]
findings:
  description: One, when the answer was cut short.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: mongodb.query.truncated
    severity:
      description: Always V(info).
      type: str
      sample: info
    subject:
      description: Database and collection.
      type: str
      sample: talus.job
    summary:
      description: One sentence for a person.
      type: str
      sample: "talus.job: only the first 100 documents of the answer are shown"
    detail:
      description: The same for a program.
      type: dict
      sample: {"shown": 100, "bytes": 81920}
    remedy:
      description: What to do to see more, in words.
      type: dict
      sample: {"playbook": null, "vars": {}, "text": "narrow the filter or the projection, or raise limit (100) or max_bytes (1048576)"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "talus.rst", "heading": "MongoDB"}
evidence:
  description: Where the answer comes from.
  returned: always
  type: dict
  sample: {"address": "localhost:27017", "driver": "4.20.0", "namespace": "talus.job", "bytes": 81920}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.02
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils.connect.mongo import IMPORT_ERROR, MongoError
from ..module_utils.mongodb.argspec import CONNECTION
from ..module_utils.mongodb.errors import MongodbError
from ..module_utils.mongodb.query import Query
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

HIDE = ["passw", "passphrase", "pwd", "secret", "token", "credential", "api_key", "apikey", "private_key"]
OPTIONS = ArgumentSpec(
    {
        "what": {"type": "str", "choices": ["documents", "count", "collections", "databases"], "default": "documents"},
        "database": {"type": "str"},
        "collection": {"type": "str"},
        "filter": {"type": "dict", "default": {}},
        "projection": {"type": "dict", "default": {}},
        "sort": {"type": "list", "elements": "dict", "default": []},
        "skip": {"type": "int", "default": 0},
        "limit": {"type": "int", "default": 100},
        "max_time": {"type": "float", "default": 5.0},
        "max_bytes": {"type": "int", "default": 1048576},
        "hide": {"type": "list", "elements": "str", "default": HIDE},
    },
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **CONNECTION.merge(OPTIONS).to_kwargs())
    if IMPORT_ERROR is not None:
        module.fail_json(msg=missing_required_lib("pymongo"), exception=IMPORT_ERROR)
    run_info(module, Query, (MongodbError, MongoError))


if __name__ == "__main__":
    main()
