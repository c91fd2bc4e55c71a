# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that a manager keeps up."""

from __future__ import annotations

import fnmatch
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..connect.service import Service
from ..procedure.envelope import Finding
from .expect import Missed, Options, Said
from .sizes import show_age

_UP = ("active", "reloading")


class Wanted(NamedTuple):
    """One expectation; ``name`` may be a pattern."""

    said: Said
    name: str
    state: str
    enabled: Optional[bool]
    max_restarts: Optional[int]
    min_uptime: Optional[float]


class Sight(NamedTuple):
    """One unit, at the first look and at the one after ``watch``; ``now`` is the time of the last."""

    first: Service
    last: Service
    now: float

    @property
    def uptime(self) -> Optional[float]:
        """Seconds since it became active. Another clock may have set ``since``, so never less than nothing."""
        last = self.last
        return max(0.0, self.now - last.since) if last.active in _UP and last.since is not None else None

    @property
    def restarts_seen(self) -> int:
        if self.last.restarts is None and self.first.main_pid and self.last.main_pid:  # nobody counts them, but it is another process
            return int(self.first.main_pid != self.last.main_pid)
        return max(0, (self.last.restarts or 0) - (self.first.restarts or 0))

    @property
    def uncounted(self) -> bool:
        """Its manager starts it again by itself and does not tell how often, like upstart, and systemd before 235."""
        unit = self.last
        return unit.restarts is None and unit.active in _UP and (unit.manager == "upstart" or (unit.manager == "systemd" and unit.id.endswith(".service")))


Seen = Union[Tuple[Sight, ...], Missed]


def parse(options: Options, runbook_file: Optional[str]) -> Wanted:
    name = options.filled("name")
    if any(char.isspace() or char in "/\0" for char in name) or name.startswith("-"):
        raise options.refuse("name", "the name of a unit, or a pattern of names")
    return Wanted(
        options.said("unit", name, runbook_file),
        name,
        options["state"],
        options["enabled"],
        options.whole("max_restarts"),
        options.number("min_uptime"),
    )


def look(wanted: Wanted, first: Union[Sequence[Service], Missed], last: Union[Sequence[Service], Missed], now: float) -> Seen:
    """Pure: the services of all expectations were read together, once or twice. One that was gone at the second look counts as it was."""
    if isinstance(first, Missed) or isinstance(last, Missed):
        return first if isinstance(first, Missed) else last if isinstance(last, Missed) else Missed("")
    later = {service.name: service for service in last}
    answers = [service for service in first if service.asked == wanted.name or (not service.asked and fnmatch.fnmatch(service.name, wanted.name))]
    unique = {service.name: service for service in answers}
    return tuple(Sight(service, later.get(name, service), now) for name, service in unique.items())


def judge(wanted: Wanted, seen: Seen) -> List[Finding]:
    if isinstance(seen, Missed):
        return [wanted.said.unknown(seen.reason)]
    known = [sight for sight in seen if sight.last.known]
    if not known:
        return [wanted.said.bad("unknown_unit", "warning" if wanted.state == "any" else "critical", "there is no unit of this name", unit=wanted.name)]
    return [finding for sight in known for finding in _judge_one(wanted, sight)]


def _judge_one(wanted: Wanted, sight: Sight) -> List[Finding]:
    unit = sight.last
    full = unit.id or unit.name
    about = "" if full in (wanted.said.name, wanted.said.name + ".service") else "%s " % full
    found = _state_findings(wanted, sight, about)
    if unit.result == "timeout":
        text = about + "took too long to start or stop, and its processes were killed; what they worked on may be left half done"
        found.append(wanted.said.bad("killed", "warning", text, **row(sight)))
    if wanted.enabled is not None and unit.enabled is None:
        found.append(wanted.said.unknown(about + "whether it is started at boot cannot be told", **row(sight)))
    elif wanted.enabled is True and not unit.enabled:
        found.append(wanted.said.bad("not_enabled", "warning", about + "is not started at boot", **row(sight)))
    elif wanted.enabled is False and unit.enabled:
        found.append(wanted.said.bad("enabled", "warning", about + "is started at boot, and should not be", **row(sight)))
    return found


def _state_findings(wanted: Wanted, sight: Sight, about: str) -> List[Finding]:
    """At most one: the one that matters most."""
    unit, said = sight.last, wanted.said
    why = _flaps(wanted, sight)
    if unit.active == "unknown":
        return [said.unknown(about + "its state cannot be told", **row(sight))]
    if wanted.state == "inactive":
        if unit.on:
            return [said.bad("active", "critical", about + "is %s, and should not run" % _state(unit), **row(sight))]
        return []
    if why:
        return [said.bad("flapping", "critical", about + why, **row(sight))]
    if unit.active == "failed":
        code = ", exit code %d" % unit.exit_code if unit.exit_code is not None else ""
        return [said.bad("failed", "critical", about + "has failed (%s%s)" % (unit.result or "no reason is told", code), **row(sight))]
    if wanted.state == "active" and unit.active not in _UP:
        masked = ", and masked: it cannot be started" if unit.load == "masked" else ""
        return [said.bad("inactive", "critical", about + "is %s%s" % (_state(unit), masked), **row(sight))]
    if wanted.state == "active" and unit.sub == "exited" and unit.type not in {"", "oneshot"}:
        text = about + "counts as active, but its processes have ended"
        return [said.bad("exited", "critical", text, **row(sight))]
    return _uncounted_findings(wanted, sight, about)


def _uncounted_findings(wanted: Wanted, sight: Sight, about: str) -> List[Finding]:
    young = wanted.min_uptime is not None and sight.uptime is not None and sight.uptime < wanted.min_uptime
    if not sight.uncounted or not (young or wanted.max_restarts is not None):
        return []
    since = "has been up for only %s; " % show_age(sight.uptime or 0.0) if young else ""
    text = "%s%s%s does not tell how often it was restarted, so it may flap" % (about, since, sight.last.manager)
    return [wanted.said.unknown(text, **row(sight))]


def _flaps(wanted: Wanted, sight: Sight) -> str:
    """Why it counts as flapping: a service that is started again and again is "active" most of the times that one looks."""
    unit, uptime = sight.last, sight.uptime
    times = "nobody counts how often" if unit.restarts is None else "%d time%s" % (unit.restarts, "" if unit.restarts == 1 else "s")
    if sight.first.restarting or unit.restarting:
        many = times if unit.restarts is None else "restarted %s" % times
        return "ends as soon as it is started and waits to be started again (%s, last result: %s)" % (many, unit.result or "unknown")
    if sight.restarts_seen:
        return "was restarted while it was watched (%s%s)" % (times, "" if unit.restarts is None else " in all")
    if unit.restarts and wanted.min_uptime is not None and uptime is not None and uptime < wanted.min_uptime:
        return "has been up for only %s and was restarted %s" % (show_age(uptime), times)
    if wanted.max_restarts is not None and (unit.restarts or 0) > wanted.max_restarts:
        return "was restarted %s, and at most %d is accepted" % (times, wanted.max_restarts)
    return ""


def _state(unit: Service) -> str:
    return "%s (%s)" % (unit.active, unit.sub) if unit.sub else unit.active


def row(sight: Sight) -> Dict[str, Any]:
    unit, uptime = sight.last, sight.uptime
    return {
        "name": unit.id or unit.name,
        "manager": unit.manager,
        "known": unit.known,
        "active": unit.active,
        "sub": unit.sub,
        "enabled": unit.enabled,
        "main_pid": unit.main_pid,
        "result": unit.result,
        "exit_code": unit.exit_code,
        "restarts": unit.restarts,
        "restarts_seen": sight.restarts_seen,
        "uptime": None if uptime is None else round(uptime, 1),
    }


def rows(seen: Seen) -> List[Dict[str, Any]]:
    return [] if isinstance(seen, Missed) else [row(sight) for sight in seen]
