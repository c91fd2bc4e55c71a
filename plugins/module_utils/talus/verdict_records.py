# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong in MongoDB: the server itself in a sentence, slaves that went silent, images and jobs that nobody works on. Pure."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Optional

from ..procedure.envelope import Finding, Remedy
from .names import FILE, number
from .records import Image, Records, Slave
from .state import MASTER, Limits, TalusState
from .verdict_daemons import REPLICA_SET, RESTART

IMAGES = "fieldops.runbooks.talus_images"
_NAMED = 20
_SLAVE, _VAGRANT, _MASTER = (FILE, "Slave Daemon"), (FILE, "Vagrant"), (FILE, "Master Daemon")


def judge_database(state: TalusState) -> List[Finding]:
    """Whether anything can be written. Which of the conditions it is, mongodb_replica_set_info says."""
    database = state.database
    if database is None or not database.why_not():
        return []
    text = "nothing can be written at %s: %s" % (database.address, database.why_not())
    detail = {"address": database.address, "initiated": database.initiated, "replica_set": database.replica_set, "primary": database.primary}
    remedy = Remedy("see which condition it is, and have it mended", REPLICA_SET, {"talus_repair": True})
    return [Finding("talus.database.no_primary", "critical", database.address, text, detail, remedy, (FILE, "MongoDB"))]


def judge_records(state: TalusState, limits: Limits) -> List[Finding]:
    records = state.records
    if records is None:
        return []
    return [*_slaves(records, limits), *_images(state, records, limits), *_jobs(state, records, limits)]


# -- slaves --------------------------------------------------------------------------------------------------------------------


def _slaves(records: Records, limits: Limits) -> Iterator[Finding]:
    alive = {slave.hostname for slave in records.slaves if slave.alive(records.now, limits.heartbeat)}
    silent = [slave for slave in records.slaves if not slave.alive(records.now, limits.heartbeat)]
    replaced = [slave for slave in silent if slave.hostname in alive]
    every = bool(silent) and not alive
    for slave in silent:
        if slave not in replaced:
            yield _silent(records, slave, every, limits)
    if replaced:
        hosts = sorted({slave.hostname for slave in replaced})
        text = "%s of earlier lives of %s: nothing removes them, since the index that should works on dates only"
        detail = {"ids": [slave.id for slave in replaced][:_NAMED], "hostnames": hosts[:_NAMED], "number": len(replaced)}
        text %= (number(len(replaced), "document is left", "documents are left"), ", ".join(hosts[:5]))
        yield Finding("talus.slave.leftover", "info", "slaves", text, detail, None, _SLAVE)
    if not records.slaves:
        remedy = Remedy("start the slaves", RESTART, {"talus_daemons": ["slave"], "talus_repair": True}, hosts="talus_slaves")
        yield Finding("talus.slave.none", "warning", "slaves", "no slave has ever reported to this master: no job is worked on", {}, remedy, _SLAVE)


def _silent(records: Records, slave: Slave, every: bool, limits: Limits) -> Finding:
    age = slave.age(records.now)
    since = "has told no time at all" if age is None else "was last heard of %d s ago; it reports every 5 s" % age
    text = "slave %s %s" % (slave.hostname or slave.id, since)
    if every:
        text += ". No slave is heard of at all: look at the master and the broker first, since it is the master that writes this down"
    if slave.vms:
        text += ". It had %s" % number(len(slave.vms), "VM", "VMs")
    detail: Dict[str, Any] = {
        "id": slave.id,
        "hostname": slave.hostname,
        "ip": slave.ip,
        "uuid": slave.uuid,
        "heartbeat_age": None if age is None else round(age, 1),
        "heartbeat_timeout": limits.heartbeat,
        "vms": len(slave.vms),
        "all_silent": every,
    }
    kind = "master" if every else "slave"
    remedy = Remedy("restart the %s, and see that it consumes" % kind, RESTART, {"talus_daemons": [kind], "talus_repair": True}, hosts="talus_%ss" % kind)
    return Finding("talus.slave.silent", "critical", "slave %s" % (slave.hostname or slave.id), text, detail, remedy, _SLAVE)


# -- images --------------------------------------------------------------------------------------------------------------------


def _images(state: TalusState, records: Records, limits: Limits) -> Iterator[Finding]:
    started = master_started(state, records)
    for image in records.images:
        if image.status == "configuring":
            finding = _configuring(state, records, image, started, limits)
            if finding:
                yield finding
        elif image.status == "import_error":
            text = "image %s could not be imported" % (image.name or image.id)
            remedy = Remedy("see why in the master's log, then delete it or import it again")
            yield Finding("talus.image.import_error", "warning", "image %s" % (image.name or image.id), text, {"id": image.id}, remedy, _VAGRANT)


def _configuring(state: TalusState, records: Records, image: Image, started: Optional[float], limits: Limits) -> Optional[Finding]:
    age = None if image.since is None else max(0.0, records.now - image.since)
    forgotten = started is not None and image.since is not None and started > image.since
    unserved = state.daemons is not None and MASTER in state.roles and not state.daemons.hidden and not state.daemons.of(MASTER)
    if not (forgotten or unserved or (age is not None and age > limits.image)):
        return None
    text = "image %s has been configuring" % (image.name or image.id)
    text += "" if age is None else " for %d s, by the last time in its document" % age
    if forgotten:
        text += "; the master was started since, and does not look at such images again"
    elif unserved:
        text += "; no master runs, and the next one will not look at it again"
    detail = {"id": image.id, "name": image.name, "age": age, "image_timeout": limits.image, "master_restarted": forgotten, "master_runs": not unserved}
    remedy = Remedy("see whether its configuration VM (tmp..._default) still runs, then set its status back by hand", IMAGES)
    severity = "critical" if forgotten or unserved else "warning"
    return Finding("talus.image.stuck", severity, "image %s" % (image.name or image.id), text, detail, remedy, _VAGRANT)


def master_started(state: TalusState, records: Records) -> Optional[float]:
    """By its process where it is seen, else by its document."""
    masters = state.daemons.of(MASTER) if state.daemons else []
    if masters:
        return min(daemon.started for daemon in masters)
    return records.master.get("started") if records.master else None


# -- jobs ----------------------------------------------------------------------------------------------------------------------


def _jobs(state: TalusState, records: Records, limits: Limits) -> Iterator[Finding]:
    """Running ones without any slave, and those that are being stopped while no slave has a VM of them."""
    alive = [slave for slave in records.slaves if slave.alive(records.now, limits.heartbeat)]
    busy = {str(vm.get("job")) for slave in alive for vm in slave.vms}
    stuck: Dict[str, List[Any]] = {"running": [], "stopping": [], "cancelling": []}
    for job in records.jobs:
        if (job.status == "running" and not alive) or (job.status in ("stopping", "cancelling") and job.id not in busy):
            stuck[job.status].append(job)
    for status, jobs in stuck.items():
        if jobs:
            names = ", ".join(job.name or job.id for job in jobs[:5]) + (" and %d more" % (len(jobs) - 5) if len(jobs) > 5 else "")
            why = "no slave is heard of" if status == "running" else "no slave that is heard of has a VM of %s" % ("it" if len(jobs) == 1 else "them")
            text = "%s %s and %s: %s" % (number(len(jobs), "job is", "jobs are"), status, why, names)
            detail = {"status": status, "number": len(jobs), "ids": [job.id for job in jobs[:_NAMED]], "live_slaves": len(alive)}
            where = "slave" if status == "running" else "master"
            remedy = Remedy(
                "restart the %s: at its start the master takes up jobs that were left so" % where, RESTART, {"talus_daemons": [where], "talus_repair": True}
            )
            yield Finding("talus.job.stuck", "critical" if status == "running" else "warning", "jobs %s" % status, text, detail, remedy, _MASTER)
