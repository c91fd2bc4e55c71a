# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a backend's service, database and engine. Pure."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional

from ..procedure.envelope import Finding, Remedy
from .info_state import BackendState, Limits, is_paused, number
from .service import ServiceState
from .tables import CODES, unknown_words
from .verdict_jobs import diagnose_jobs

FILE = "opensafely-jobrunner.md"
_SERVICE = (FILE, "Starting/stopping the service")
_LOGS = (FILE, "Viewing job-runner logs")
_PAUSE = (FILE, "Pausing new jobs")
_AFTER = Remedy("start it, and see that it stays up and takes up its jobs", "fieldops.runbooks.jobrunner_after_restart", {"jobrunner_repair": True})
_LATER = "this backend is of a later layout: the unit starts a compose project and ends (since 2024-10-11); run job-runner's own commands in it"


def diagnose(state: BackendState, limits: Limits) -> List[Finding]:
    """The worst first in each part: service, database, flags, jobs, engine, machine, configuration."""
    found = [
        *_missing(state),
        *_service(state, limits),
        *_words(state),
        *_flags(state),
        *diagnose_jobs(state, limits),
        *_machine(state, limits),
    ]
    if all(finding.severity in ("ok", "info") for finding in found):
        running = len(state.running)
        found.insert(
            0,
            Finding(
                "jobrunner.ok",
                "ok",
                "jobrunner",
                "job-runner is up and stays up, with %s" % number(running, "running job", "running jobs"),
                {"running": running},
            ),
        )
    return [*found, *state.config_findings]  # which says by itself that all is well with it


def _missing(state: BackendState) -> List[Finding]:
    found = []
    if "database" in state.missing:
        code = "jobrunner.layout.unsupported" if state.layout_refused else "jobrunner.database.unreadable"
        found.append(Finding(code, "critical", "db.sqlite", state.missing["database"], {"reason": state.missing["database"]}, None, _SERVICE))
    if "docker" in state.missing:
        remedy = Remedy("see why the engine does not answer (systemctl status docker); nothing is known of containers until it does")
        found.append(Finding("jobrunner.docker.away", "critical", "docker", state.missing["docker"], {"reason": state.missing["docker"]}, remedy))
    if "service" in state.missing:
        found.append(Finding("jobrunner.service.unknown", "warning", "jobrunner", "the state of the service is not known: %s" % state.missing["service"]))
    return found


# -- the service ---------------------------------------------------------------------------------------------------------


def _service(state: BackendState, limits: Limits) -> List[Finding]:
    service = state.service
    if service is None:
        return []
    finding = _standing(state, service, limits)
    found = [finding] if finding else []
    if service.known and service.enabled in ("disabled", "masked"):
        text = "%s is %s: it does not come back after a reboot" % (service.unit, service.enabled)
        remedy = Remedy("systemctl enable %s, unless somebody wants it so" % service.unit)
        found.append(Finding("jobrunner.service.disabled", "warning", service.unit, text, {"enabled": service.enabled}, remedy, _SERVICE))
    if service.reload_needed:
        text = "the unit file of %s has changed since systemd read it" % service.unit
        remedy = Remedy("systemctl daemon-reload, then restart the service")
        found.append(Finding("jobrunner.service.reload_needed", "warning", service.unit, text, {}, remedy, _SERVICE))
    return found


def _standing(state: BackendState, service: ServiceState, limits: Limits) -> Optional[Finding]:
    if not service.known:
        return _said(service, "not_found", "critical", "there is no unit %s on this node" % service.unit, Remedy("check the host, or name the unit: service"))
    if service.compose:
        return _said(service, "later_layout", "critical", "%s: %s" % (service.unit, _LATER), None, type=service.type)
    if service.looping():
        return _said(service, "restart_loop", "critical", _loop(service), _why(state))
    if service.active == "failed":
        text = "%s has failed (%s) and is not started again" % (service.unit, _ended(service))
        return _said(service, "failed", "critical", text, _AFTER, result=service.result)
    if not service.up:
        text = "%s does not run (%s, %s): no job is started, watched or finished" % (service.unit, service.active, service.sub)
        return _said(service, "stopped", "critical", text, _AFTER)
    beat = state.heartbeat()
    if beat is not None and beat > limits.loop and service.age is not None and service.age > limits.loop:
        text = "%s is active, but its main loop has touched no active job for %d s; it does so at least once a minute, so it hangs, or waits for something"
        return _said(service, "loop_stuck", "critical", text % (service.unit, beat), _why(state), heartbeat_age=round(beat, 1))
    if service.restarts:
        text = "%s was started again by systemd %s since somebody last started it; it has been up for %d s now" % (
            service.unit,
            number(service.restarts, "time", "times"),
            service.age or 0,
        )
        return _said(service, "restarted", "info", text, _why(state), restarts=service.restarts)
    return None


def _loop(service: ServiceState) -> str:
    times = "" if service.restarts is None else " " + number(service.restarts, "time", "times")
    if service.waiting:
        return "%s is in a restart loop: it has ended (%s) and waits to be started again, which systemd did%s so far" % (service.unit, _ended(service), times)
    return "%s is active, yet in a restart loop: systemd has started it again%s, the last time %d s ago" % (service.unit, times, service.age or 0)


def _ended(service: ServiceState) -> str:
    return service.result if service.exit_code is None else "%s, exit code %d" % (service.result or "ended", service.exit_code)


def _why(state: BackendState) -> Remedy:
    if state.tables and unknown_words(state.tables.counts):
        return Remedy("a row has a state or status code that job-runner does not know, and reading it ends the program: see the finding about it")
    return Remedy("read the end of its log (journalctl -u jobrunner): an internal error in one job ends the whole program on purpose")


def _said(service: ServiceState, word: str, severity: str, text: str, remedy: Optional[Remedy], **detail: Any) -> Finding:
    known = {"active": service.active, "sub": service.sub, "restarts": service.restarts, "exit_code": service.exit_code, "age": service.age}
    runbook = _LOGS if word in ("restart_loop", "loop_stuck", "restarted") else _SERVICE
    return Finding("jobrunner.service.%s" % word, severity, service.unit, text, dict(known, **detail), remedy, runbook)


# -- words and flags ---------------------------------------------------------------------------------------------------------


def _words(state: BackendState) -> List[Finding]:
    found = []
    for row in unknown_words(state.tables.counts) if state.tables else []:
        text = "%s state %r with status code %r, which job-runner does not know: its main loop and all of its commands end when they read such a row"
        known = "one of %s" % ", ".join(CODES[row["state"]]) if row["state"] in CODES else "state failed"
        remedy = Remedy("find out who wrote it, and have it set to what is true, for example %s" % known)
        told = text % (number(row["jobs"], "job has", "jobs have"), row["state"], row["status_code"])
        found.append(Finding("jobrunner.jobs.unknown_code", "critical", "job table", told, dict(row), remedy))
    return found


def _flags(state: BackendState) -> List[Finding]:
    if state.tables is None:
        return []
    flags = state.tables.flags
    found = [finding for name, flag in sorted(flags.items()) for finding in [_flag_time(name, flag)] if finding]
    value = flags.get("paused", {}).get("value")
    if is_paused(value):
        waiting = len(state.pending)
        text = "new jobs are paused, so %s; running ones go on" % number(waiting, "pending job waits", "pending jobs wait")
        remedy = Remedy("unpause it when the work is over", "fieldops.runbooks.jobrunner_pause", {"jobrunner_pause_state": "unpaused"})
        found.append(Finding("jobrunner.flag.paused", "warning", "flag paused", text, {"value": value, "pending": waiting}, remedy, _PAUSE))
    elif value is not None and str(value).lower() not in ("", "false"):
        text = "the flag paused is %r, which job-runner does not take for paused: only true is; new jobs are started" % (value,)
        remedy = Remedy("set it to true, or clear it", "fieldops.runbooks.jobrunner_pause", {"jobrunner_pause_state": "paused"})
        found.append(Finding("jobrunner.flag.not_paused", "warning", "flag paused", text, {"value": value}, remedy, _PAUSE))
    if flags.get("mode", {}).get("value"):
        text = "mode is %s: no job that needs the database is started" % flags["mode"]["value"]
        found.append(Finding("jobrunner.flag.mode", "info", "flag mode", text, dict(flags["mode"])))
    return found


def _flag_time(name: str, flag: Mapping[str, Any]) -> Optional[Finding]:
    if flag["timestamp"] is None or isinstance(flag["timestamp"], (int, float)):
        return None
    text = "the time of flag %s is text (%r): job-runner's sync with job-server ends with a TypeError, so no job is fetched or reported"
    remedy = Remedy("write the flag again with the module fieldops.runbooks.jobrunner_flag, which stores the time as job-runner reads it")
    return Finding("jobrunner.flag.text_timestamp", "critical", "flag %s" % name, text % (name, flag["timestamp"]), dict(flag), remedy, _PAUSE)


# -- the machine ----------------------------------------------------------------------------------------------------------------


def _machine(state: BackendState, limits: Limits) -> List[Finding]:
    found = []
    for disk in state.disks:
        places = " and ".join(sorted(disk.places))
        if disk.read_only:
            found.append(Finding("jobrunner.disk.read_only", "critical", disk.mount_point, "%s (%s) is mounted read-only" % (disk.mount_point, places)))
        for word, share in (("space", disk.share), ("inodes", disk.inode_share)):
            if share < limits.disk:
                severity = "critical" if share < limits.disk / 4 else "warning"
                text = "%.1f%% of the %s of %s is left, where %s are; at least %g%% is wanted"
                text %= (100 * share, word, disk.mount_point, places, 100 * limits.disk)
                remedy = Remedy("see what grows; objects of ended jobs are listed in leftovers, images without a name can be removed with jobrunner_image")
                found.append(Finding("jobrunner.disk.%s" % word, severity, disk.mount_point, text, disk.to_dict(), remedy))
    machine = state.machine
    if machine.memory_total and machine.memory_available is not None and machine.memory_available < limits.memory * machine.memory_total:
        share = 100.0 * machine.memory_available / machine.memory_total
        text = "%.1f%% of the memory is available; jobs will be killed for it" % share
        remedy = Remedy("see which job takes it (stats: true), before the kernel chooses one")
        found.append(Finding("jobrunner.memory", "warning", "memory", text, machine.to_dict(), remedy, (FILE, "Viewing resource usage of jobs")))
    return found
