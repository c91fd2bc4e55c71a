# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents as Talus keeps them, for a small installation on which nothing is wrong."""

from __future__ import annotations

import datetime
import time
from typing import Any

from bson import ObjectId

COLLECTIONS = ("result", "code", "task", "job", "file_set", "tmp_file", "o_s", "image", "master", "slave", "fs.files", "fs.chunks")
Document = dict[str, Any]


def image(operating_system: ObjectId, name: str, status: str = "ready", **others: Any) -> Document:
    """A virtual machine's image; its password is there in plain text."""
    known = {"name": name, "os": operating_system, "desc": "desc", "tags": [], "status": {"name": status}, "base_image": None}
    times = {"created": time.time(), "modified": time.time()}
    return {**known, "username": "user", "password": "lab-image-password", "md5": None, "timestamps": times, **others}


def job(task: ObjectId, of_image: ObjectId, name: str, status: str = "finished", **others: Any) -> Document:
    """A job; with status `run` the master takes it."""
    known = {"name": name, "task": task, "params": {}, "status": {"name": status}, "timestamps": {"created": time.time()}, "queue": "jobs"}
    usual = {"priority": 50, "limit": 1, "progress": 0, "network": "whitelist", "debug": False, "vm_max": 1800, "errors": [], "logs": [], "tags": []}
    return {**known, **usual, "image": of_image, **others}


def slave(hostname: str, silent: float, **others: Any) -> Document:
    """A slave that has said nothing for so many seconds. The time is a number, which no index of the database ever lets expire."""
    created = datetime.datetime.fromtimestamp(time.time() - silent - 3600, datetime.UTC)
    known = {"hostname": hostname, "uuid": f"00000000-0000-4000-8000-{abs(hash(hostname)) % 10**12:012d}", "ip": "192.0.2.7", "max_vms": 10}
    told = {"running_vms": 0, "total_jobs_run": 3, "vms": [], "timestamps": {"created": created, "modified": time.time() - silent}}
    return {**known, **told, **others}


def write(database: Any) -> dict[str, str]:
    """All of them; identifiers by what they are."""
    found = {"os": database.o_s.insert_one({"name": "Debian 12", "version": "12", "type": "linux", "arch": "x86_64", "tags": []}).inserted_id}
    found["code"] = database.code.insert_one(
        {"name": "Fuzzer", "type": "tool", "params": [], "bases": [], "desc": "", "timestamps": {}, "tags": []}
    ).inserted_id
    found["image"] = database.image.insert_one(image(found["os"], "debian-base")).inserted_id
    task = {"name": "fuzz", "tool": found["code"], "image": found["image"], "params": {}, "version": None, "timestamps": {}, "limit": 1, "vm_max": 1800}
    found["task"] = database.task.insert_one({**task, "network": "whitelist", "tags": []}).inserted_id
    found["job"] = database.job.insert_one(job(found["task"], found["image"], "done", progress=1)).inserted_id
    database.result.insert_one({"job": found["job"], "type": "crash", "tool": "Fuzzer", "data": {}, "created": datetime.datetime.now(datetime.UTC), "tags": []})
    return {name: str(identity) for name, identity in found.items()}
