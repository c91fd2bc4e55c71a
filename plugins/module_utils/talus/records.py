# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Talus keeps in MongoDB: slaves, images and jobs, read as far as a look needs it. Passwords of images are not even asked for."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.mongo import Mongo, MongoError

_NO_SUCH_COMMAND = 59
_FETCH = 1000
"""Documents of one kind that are looked at; counts are of all."""
ENDED = ("finished", "cancelled")
_SLAVE = ("hostname", "uuid", "ip", "max_vms", "running_vms", "total_jobs_run", "vms", "timestamps")
_IMAGE = ("name", "status.name", "base_image", "timestamps")
_JOB = ("name", "status.name", "queue", "priority", "limit", "progress", "image", "debug", "timestamps")
_VM = ("job", "idx", "vnc_port", "tool", "start_time", "vm_status")
_ACTIVE = ("run", "running", "stop", "stopping", "cancel", "cancelling")


@dataclass(frozen=True)
class Database:
    """What the server says of itself. ``initiated`` is None for a server that is in no replica set."""

    address: str
    writable: bool
    initiated: Optional[bool]
    replica_set: Optional[str] = None
    primary: Optional[str] = None
    time: Optional[float] = None

    def why_not(self) -> str:
        """Why there is no oplog to follow or nothing can be written; empty where all is well."""
        if self.initiated is None:
            return "the database runs without a replica set, so that there is no oplog to follow"
        if not self.initiated:
            return "the database's replica set is not initiated, which shows in no other way than this"
        return "" if self.writable else "the database has no primary%s" % (" here: %s is" % self.primary if self.primary else "")


@dataclass(frozen=True)
class Slave:
    """One document; a slave makes a new one at each start, and the old ones stay."""

    id: str
    hostname: str
    ip: str
    uuid: str
    modified: Optional[float]
    max_vms: Optional[int] = None
    running_vms: Optional[int] = None
    total_jobs_run: Optional[int] = None
    vms: Tuple[Mapping[str, Any], ...] = ()

    def age(self, now: float) -> Optional[float]:
        return None if self.modified is None else max(0.0, now - self.modified)

    def alive(self, now: float, limit: float) -> bool:
        age = self.age(now)
        return age is not None and age <= limit


@dataclass(frozen=True)
class Image:
    """``since`` is the latest time that the document tells."""

    id: str
    name: str
    status: str
    since: Optional[float]
    base: Optional[str] = None


@dataclass(frozen=True)
class Job:
    """One that has not ended."""

    id: str
    name: str
    status: str
    since: Optional[float]
    queue: str = ""
    priority: Optional[int] = None
    limit: Optional[int] = None
    progress: Optional[int] = None
    image: Optional[str] = None
    debug: bool = False


@dataclass(frozen=True)
class Records:
    """One look, at the server's own time."""

    now: float
    slaves: Tuple[Slave, ...] = ()
    images: Tuple[Image, ...] = ()
    jobs: Tuple[Job, ...] = ()
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By collection (images, jobs) and status."""
    master: Optional[Mapping[str, Any]] = None
    """The master's document, which it makes anew at each start: hostname, ip, started."""

    def complete(self, kind: str) -> bool:
        """Whether all of them were looked at."""
        return sum(self.counts.get(kind, {}).values()) <= len(self.images if kind == "images" else self.jobs)


def read_database(mongo: Mongo) -> Database:
    """By ``hello``, which servers before 4.4 call otherwise."""
    try:
        said = mongo.command("hello")
    except MongoError as exc:
        if exc.code != _NO_SUCH_COMMAND:
            raise
        said = mongo.command("isMaster")
    in_set = bool(said.get("setName"))
    initiated = True if in_set else (False if said.get("isreplicaset") else None)
    writable = bool(said.get("isWritablePrimary", said.get("ismaster", False)))
    return Database(mongo.address, writable, initiated, said.get("setName"), said.get("primary"), seconds(said.get("localTime")))


def read_records(mongo: Mongo, database: str, now: float) -> Records:
    """In seven short questions."""

    def fetch(collection: str, fields: Sequence[str], query: Optional[Mapping[str, Any]] = None) -> List[Dict[str, Any]]:
        projection = dict.fromkeys(fields, 1)
        return list(mongo.find(database, collection, query, projection, sort=[("_id", 1)], limit=_FETCH, max_time=mongo.timeout))

    masters = fetch("master", ("hostname", "ip"))
    return Records(
        now,
        tuple(map(slave_of, fetch("slave", _SLAVE))),
        tuple(map(image_of, fetch("image", _IMAGE))),
        tuple(map(job_of, fetch("job", _JOB, {"status.name": {"$nin": list(ENDED)}}))),
        {"images": counts(mongo, database, "image"), "jobs": counts(mongo, database, "job")},
        {"hostname": masters[-1].get("hostname"), "ip": masters[-1].get("ip"), "started": born(masters[-1].get("_id"))} if masters else None,
    )


def counts(mongo: Mongo, database: str, collection: str) -> Dict[str, int]:
    """Documents by status, counted by the server."""
    pipeline = [{"$group": {"_id": "$status.name", "documents": {"$sum": 1}}}]
    answer = mongo.command("aggregate", collection, database, pipeline=pipeline, cursor={}, maxTimeMS=int(1000 * mongo.timeout))
    return {str(row["_id"] or "none"): int(row["documents"]) for row in answer["cursor"]["firstBatch"]}


def slave_of(document: Mapping[str, Any]) -> Slave:
    vms = [{name: _plain(vm.get(name)) for name in _VM} for vm in _list(document.get("vms")) if isinstance(vm, Mapping)]
    return Slave(
        str(document["_id"]),
        str(document.get("hostname") or ""),
        str(document.get("ip") or ""),
        str(document.get("uuid") or ""),
        seconds(_mapping(document.get("timestamps")).get("modified")),
        _whole(document.get("max_vms")),
        _whole(document.get("running_vms")),
        _whole(document.get("total_jobs_run")),
        tuple(vms),
    )


def image_of(document: Mapping[str, Any]) -> Image:
    base = document.get("base_image")
    return Image(str(document["_id"]), str(document.get("name") or ""), _status(document), since(document), str(base) if base else None)


def job_of(document: Mapping[str, Any]) -> Job:
    return Job(
        str(document["_id"]),
        str(document.get("name") or ""),
        _status(document),
        since(document),
        str(document.get("queue") or ""),
        _whole(document.get("priority")),
        _whole(document.get("limit")),
        _whole(document.get("progress")),
        str(document["image"]) if document.get("image") else None,
        bool(document.get("debug")),
    )


def since(document: Mapping[str, Any]) -> Optional[float]:
    """The latest time in a document: its time stamps, or when it was made."""
    stamps = [seconds(value) for value in _mapping(document.get("timestamps")).values()]
    known = [stamp for stamp in stamps if stamp is not None]
    return max(known) if known else born(document.get("_id"))


def born(identity: Any) -> Optional[float]:
    """When a document with this id was made."""
    return seconds(getattr(identity, "generation_time", None))


def seconds(value: Any) -> Optional[float]:
    """Seconds since the epoch: Talus stores some times as numbers, and others as dates. Dates without a zone are UTC."""
    if isinstance(value, datetime.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)).timestamp()
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _status(document: Mapping[str, Any]) -> str:
    return str(_mapping(document.get("status")).get("name") or "none")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()


def _whole(value: Any) -> Optional[int]:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    stamp = seconds(value)
    return stamp if stamp is not None else str(value)
