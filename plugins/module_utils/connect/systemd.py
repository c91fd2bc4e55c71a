# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd, through systemctl: one call reads any number of units."""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import Dict, List, Mapping, Optional, Sequence, Set, Tuple

from .service import READ_TIMEOUT, Manager, Service, ServiceError, call, is_pattern, last_line, matching, program

_PROPERTIES = (
    "Id Names LoadState ActiveState SubState UnitFileState MainPID ControlGroup KillMode Result ExecMainCode ExecMainStatus NRestarts Type TriggeredBy Restart"
    " RestartUSec TimeoutStopUSec InvocationID Job RemainAfterExit RefuseManualStart RefuseManualStop NeedDaemonReload"
    " ActiveEnterTimestampMonotonic ActiveExitTimestampMonotonic InactiveEnterTimestampMonotonic InactiveExitTimestampMonotonic"
).split()
_STOPPED_ALONG = ("RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf", "PropagatesStopTo")
"""Dependencies along which a stop spreads; a systemd that does not know one does not show it."""
_PROPERTIES += _STOPPED_ALONG
_SUFFIXES = (".service", ".socket", ".device", ".mount", ".automount", ".swap", ".target", ".path", ".timer", ".slice", ".scope")
_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}")
_PATTERN = re.compile(r"[A-Za-z0-9:_.\\@*?\[\]!-]{1,255}")
_ENTERED = {
    "active": "ActiveEnter",
    "reloading": "ActiveEnter",
    "inactive": "InactiveEnter",
    "failed": "InactiveEnter",
    "activating": "InactiveExit",
    "deactivating": "ActiveExit",
}
"""By active state, the time stamp of the moment when it began."""

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800, "month": 2629800, "y": 31557600}
_GROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")
"""Where control groups of systemd lie: all together, or by themselves beside those of the old kind."""

Block = Mapping[str, str]


class Systemd(Manager):
    """The system's own instance, not a user's."""

    name = "systemd"

    def __init__(self) -> None:
        found = program("systemctl")
        if found is None:
            raise ServiceError("systemctl is not installed on this node")
        self._systemctl: str = found

    def read(self, names: Sequence[str]) -> List[Service]:
        for name in names:
            if not (_PATTERN if is_pattern(name) else _NAME).fullmatch(name):
                raise ServiceError("%r is not the name of a unit: letters, digits and : _ . - @ \\ are accepted, and * ? [] in a pattern" % name)
        asked = [full_name(name) for name in names]
        patterns = [name for name in asked if is_pattern(name)]
        wanted = [name for name in asked + self._installed(patterns) if not is_template(name)]
        blocks = self._show(list(dict.fromkeys(wanted)))
        now = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
        services: List[Service] = []
        for name, full in zip(names, asked):
            services += _answers(name, full, blocks, now)
        return services

    def start(self, name: str, timeout: float) -> None:
        self._ask("start", name, timeout)

    def stop(self, name: str, timeout: float) -> None:
        self._ask("stop", name, timeout)

    def forgive(self, name: str) -> None:
        self._ask("reset-failed", name, READ_TIMEOUT)

    def _ask(self, verb: str, name: str, timeout: float) -> None:
        code, output, errors = call([self._systemctl, verb, "--no-block", "--no-ask-password", "--", full_name(name)], timeout)
        if code != 0:
            raise ServiceError("systemctl %s %s failed: %s" % (verb, full_name(name), last_line(output, errors)))

    def _installed(self, patterns: Sequence[str]) -> List[str]:
        """Units that a pattern means and systemd has not loaded: it expands patterns to loaded ones only."""
        if not patterns:
            return []
        code, output, errors = call([self._systemctl, "list-unit-files", "--no-legend", "--no-pager", "--", *patterns])
        if code != 0 and errors.strip():  # where nothing matches, newer ones exit with 1 and say nothing
            raise ServiceError("systemctl cannot list unit files: %s" % last_line(errors))
        return [line.split()[0] for line in output.splitlines() if line.strip()]

    def _show(self, names: Sequence[str]) -> List[Block]:
        if not names:
            return []
        code, output, errors = call([self._systemctl, "show", "--no-pager", "--property=" + ",".join(_PROPERTIES), "--", *names])
        if code != 0:
            raise ServiceError("systemctl cannot tell the state of units: %s" % last_line(output, errors))
        return blocks_of(output)


def full_name(name: str) -> str:
    """With its suffix, as systemctl completes it."""
    return name if name.endswith(_SUFFIXES) else name + ".service"


def short_name(name: str) -> str:
    return name[: -len(".service")] if name.endswith(".service") else name


def is_template(name: str) -> bool:
    """``worker@.service``: no unit, but what units are made from."""
    return name.rpartition(".")[0].endswith("@")


def blocks_of(text: str) -> List[Block]:
    """Properties of several units; an empty line parts them."""
    blocks: List[Dict[str, str]] = [{}]
    for line in text.splitlines():
        key, sign, value = line.partition("=")
        if not line and blocks[-1]:
            blocks.append({})
        elif sign:
            blocks[-1][key] = value
    return [block for block in blocks if block]


def span(text: str) -> Optional[float]:
    """Seconds from systemd's way to write a time span, ``1min 30s``."""
    if text == "infinity":
        return float("inf")
    parts = _SPAN.findall(text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts) if parts and all(unit in _UNITS for _number, unit in parts) else None


def group_pids(group: str) -> Tuple[int, ...]:
    """Processes of a control group and of those below it."""
    if not group.startswith("/") or group == "/":
        return ()
    found: Set[int] = set()
    for base in _GROUPS:
        for directory, _children, _files in os.walk(base + group):
            with contextlib.suppress(OSError, ValueError), open(os.path.join(directory, "cgroup.procs"), encoding="ascii") as file:
                found.update(int(line) for line in file if line.strip() != "0")
    return tuple(sorted(found))


def _answers(name: str, full: str, blocks: Sequence[Block], clock: float) -> List[Service]:
    if is_template(full) and not is_pattern(full):
        return [Service(name, "systemd", False, asked=name, id=full, load="template")]
    if not is_pattern(full):
        found = [block for block in blocks if full in block.get("Names", block.get("Id", "")).split()]
        return [_service(name, name, full, found[0] if found else {}, clock)]
    units = {block["Id"]: block for block in blocks if block.get("LoadState") not in (None, "not-found")}
    answers = [_service(short_name(unit), name, unit, units[unit], clock) for unit in matching(full, list(units))]
    return answers or [Service(name, "systemd", False, asked=name, id=full, load="not-found")]


def _service(name: str, asked: str, full: str, block: Block, clock: float) -> Service:
    """``clock`` is what to add to the monotonic clock for the time of day."""
    load = block.get("LoadState", "not-found")
    active = block.get("ActiveState", "unknown")
    pid = _number(block, "MainPID")
    stamp = _number(block, "%sTimestampMonotonic" % _ENTERED.get(active, "InactiveExit"))
    group = block.get("ControlGroup", "")
    return Service(
        name=name,
        manager="systemd",
        known=load not in ("not-found", "") and bool(block),
        active=active if load != "not-found" else "unknown",
        sub=block.get("SubState", ""),
        enabled=_enabled(block.get("UnitFileState", "")),
        main_pid=pid or None,
        pids=group_pids(group) or ((pid,) if pid else ()),
        result=block.get("Result", ""),
        exit_code=_number(block, "ExecMainStatus") if block.get("ExecMainCode") == "1" else None,
        restarts=_number(block, "NRestarts"),
        since=clock + stamp / 1e6 if stamp else None,
        type=block.get("Type", ""),
        triggered=_words(block, "TriggeredBy"),
        asked=asked,
        id=block.get("Id", full),
        load=load,
        restart=block.get("Restart", ""),
        restart_delay=span(block.get("RestartUSec", "")) if block.get("Restart", "no") != "no" else None,
        stop_timeout=span(block.get("TimeoutStopUSec", "")) or None,  # 0 is how systemd before 229 says that it never kills
        stops=tuple(sorted({unit for key in _STOPPED_ALONG for unit in _words(block, key)})),
        group=group,
        spares=block.get("KillMode") == "process",
        run=block.get("InvocationID", ""),
        pending=_number(block, "Job") is not None,
        remains=block.get("RemainAfterExit") == "yes",
        manual=block.get("RefuseManualStart") != "yes" and block.get("RefuseManualStop") != "yes",
        reload_needed=block.get("NeedDaemonReload") == "yes",
    )


def _words(block: Block, key: str) -> Tuple[str, ...]:
    return tuple(block.get(key, "").split())


def _number(block: Block, key: str) -> Optional[int]:
    text = block.get(key, "")
    return int(text) if text.isdigit() else None


def _enabled(state: str) -> Optional[bool]:
    if state in ("enabled", "enabled-runtime"):
        return True
    return False if state.startswith(("disabled", "masked")) else None
