# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pipes as a node tells of them, one by one: what is with each, and a summary that takes no more memory for many than for few. Pure.

Hardly any key is sure to be there, and what is not told is not known: nothing is taken for well because it is missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from .times import moment

STATES = ("unknown", "invalid", "failed", "removing", "deploying", "running_long", "overdue", "disabled", "running", "idle", "ok")
"""A pipe is in the first one that is so; the reasons name all that are so."""
BAD = ("unknown", "invalid", "failed", "running_long", "overdue")
_ENDLESS = 1e300
_BY_NODE = {"deploying": "deploying", "removing": "removing"}
SHOWN = 20
_TEXT = 300
_ERRORS = 3


@dataclass(frozen=True)
class Limits:
    """From when on something is worth a finding, in seconds."""

    running: float = 21600.0
    overdue: float = 3600.0


@dataclass(frozen=True)
class Pipe:
    """One pipe. None is what the node does not tell."""

    id: str
    state: str
    reasons: Tuple[str, ...] = ()
    running: Optional[bool] = None
    disabled: Optional[bool] = None
    valid: Optional[bool] = None
    success: Optional[bool] = None
    last_run: Optional[float] = None
    next_run: Optional[float] = None
    queue: Optional[int] = None
    cached_age: Optional[float] = None
    """How old the answer of a subnode is that does not answer any more."""
    message: str = ""
    errors: Tuple[str, ...] = ()

    def to_dict(self, now: float) -> Dict[str, Any]:
        names = ("id", "state", "running", "disabled", "valid", "success", "queue", "cached_age", "message")
        shown: Dict[str, Any] = {name: getattr(self, name) for name in names}
        since = None if self.last_run is None else round(max(0.0, now - self.last_run), 1)
        until = None if self.next_run is None else round(self.next_run - now, 1)
        return dict(shown, reasons=list(self.reasons), errors=list(self.errors), last_run_age=since, next_run_in=until)


@dataclass
class Pipes:
    """All of them: numbers, the first names of each state, and the worst ones in full."""

    total: int = 0
    states: Dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    reasons: Dict[str, int] = field(default_factory=dict)
    names: Dict[str, List[str]] = field(default_factory=dict)
    """By reason, the first SHOWN."""
    listed: List[Pipe] = field(default_factory=list)
    queued: int = 0
    queues_unknown: int = 0
    scheduled: int = 0
    """Those that have a next run."""
    complete: bool = True
    """Whether all of them came."""
    strange: int = 0
    """What was in the list and is no pipe."""


def read_pipes(found: Iterable[Any], now: float, limits: Limits, most: int, clean: Callable[[str], str] = str) -> Pipes:
    """From what the node tells, as it comes. ``clean`` takes out of messages what must not be shown."""
    pipes = Pipes()
    rows: Dict[str, List[Pipe]] = {state: [] for state in STATES}
    try:
        for item in found:
            if not isinstance(item, Mapping) or not isinstance(item.get("_id"), str):
                pipes.strange += 1
                continue
            pipe = pipe_of(item, now, limits, clean)
            _count(pipes, pipe)
            if len(rows[pipe.state]) < most:
                rows[pipe.state].append(pipe)
    except Incomplete:
        pipes.complete = False
    pipes.listed = [pipe for state in STATES for pipe in rows[state]][:most]
    return pipes


class Incomplete(Exception):
    """The rest of the pipes did not come."""


def _count(pipes: Pipes, pipe: Pipe) -> None:
    pipes.total += 1
    pipes.states[pipe.state] += 1
    pipes.scheduled += pipe.next_run is not None
    if pipe.queue is None:
        pipes.queues_unknown += 1
    else:
        pipes.queued += pipe.queue
    for reason in pipe.reasons:
        pipes.reasons[reason] = pipes.reasons.get(reason, 0) + 1
        names = pipes.names.setdefault(reason, [])
        if len(names) < SHOWN:
            names.append(pipe.id)


def pipe_of(item: Mapping[str, Any], now: float, limits: Limits, clean: Callable[[str], str] = str) -> Pipe:
    """One pipe."""
    runtime = item.get("runtime")
    cached = item.get("cached_response_info")
    if not isinstance(runtime, Mapping):
        return Pipe(item["_id"], "unknown", ("unknown",), cached_age=_age(cached, now))
    last, following = moment(runtime.get("last-run")), moment(runtime.get("next-run"))
    reasons = _reasons(runtime, bool(cached), last, following, now, limits)
    return Pipe(
        item["_id"],
        _state(reasons, runtime, last),
        reasons,
        running=_truth(runtime, "is-running"),
        disabled=_truth(runtime, "is-disabled"),
        valid=_truth(runtime, "is-valid-config"),
        success=_truth(runtime, "success"),
        last_run=last,
        next_run=following,
        queue=queue_of(runtime.get("queues")),
        cached_age=_age(cached, now),
        message=_message(runtime, reasons, clean),
        errors=tuple(_config_errors(runtime, clean)),
    )


def _state(reasons: Tuple[str, ...], runtime: Mapping[str, Any], last: Optional[float]) -> str:
    if reasons:
        return min(reasons, key=STATES.index)
    return "ok" if _truth(runtime, "success") and last is not None else "idle"


def _reasons(runtime: Mapping[str, Any], cached: bool, last: Optional[float], following: Optional[float], now: float, limits: Limits) -> Tuple[str, ...]:
    """Everything that is so, beyond that its last run succeeded."""
    running, disabled, success = (_truth(runtime, key) for key in ("is-running", "is-disabled", "success"))
    valid = _truth(runtime, "is-valid-config")
    told = str(runtime.get("state") or "").strip().lower()
    found = {
        # A run that is going on tells nothing yet of its success; one that is over and does not tell it is not known to have succeeded.
        "unknown": cached or running is None or valid is None or (success is None and last is not None and not running),
        "invalid": valid is False or any(True for level, _text in _errors(runtime) if level == "error"),
        "failed": success is False,
        "running_long": bool(running) and last is not None and now - last > limits.running,
        "overdue": not running and not disabled and not cached and following is not None and now - following > limits.overdue,
        "disabled": bool(disabled),
        "running": bool(running),
    }
    found.update({state: told == word for word, state in _BY_NODE.items()})
    return tuple(state for state in STATES if found.get(state))


def is_left_out(item: Any) -> bool:
    """Whether a pipe, told with its configuration, should have a next run and has none. One that runs, is new or is going need not have one."""
    runtime, config = (item.get(key) if isinstance(item, Mapping) else None for key in ("runtime", "config"))
    if not isinstance(runtime, Mapping) or not isinstance(config, Mapping) or item.get("cached_response_info"):
        return False
    busy = [runtime.get(key) is not False for key in ("is-running", "is-disabled")]
    told = str(runtime.get("state") or "").strip().lower()
    return not any(busy) and told not in _BY_NODE and runtime.get("next-run") is None and "next-run" in runtime and _mode(config) == "scheduled"


def _mode(config: Mapping[str, Any]) -> Any:
    for key in ("effective", "original"):
        pump = config[key].get("pump") if isinstance(config.get(key), Mapping) else None
        if isinstance(pump, Mapping) and "mode" in pump:
            return pump["mode"]
    return None


def _truth(runtime: Mapping[str, Any], key: str) -> Optional[bool]:
    value = runtime.get(key)
    return value if isinstance(value, bool) else None


def queue_of(queues: Any) -> Optional[int]:
    """What waits at a pipe's source: a number, or one for each dataset. None where one of them is not known: that is not nothing."""
    source = queues.get("source") if isinstance(queues, Mapping) else None
    parts = list(source.values()) if isinstance(source, Mapping) else [source]
    numbers = [part for part in parts if isinstance(part, (int, float)) and not isinstance(part, bool)]
    # JSON's 1e999 is a number without end to Python, and NaN is none.
    return int(sum(numbers)) if parts and len(numbers) == len(parts) and all(abs(number) < _ENDLESS for number in numbers) else None


def _age(cached: Any, now: float) -> Optional[float]:
    if not isinstance(cached, Mapping):
        return None
    age = cached.get("age")
    if isinstance(age, (int, float)) and not isinstance(age, bool):
        return float(age)
    stamp = moment(cached.get("timestamp"))
    return None if stamp is None else round(max(0.0, now - stamp), 1)


def _errors(runtime: Mapping[str, Any]) -> List[Tuple[str, str]]:
    rows = runtime.get("config-errors")
    return [(str(row.get("level")), str(row.get("msg") or "")) for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _config_errors(runtime: Mapping[str, Any], clean: Callable[[str], str]) -> List[str]:
    return ["%s: %s" % (level, clean(text)[:_TEXT]) for level, text in _errors(runtime)[:_ERRORS]]


def _message(runtime: Mapping[str, Any], reasons: Tuple[str, ...], clean: Callable[[str], str]) -> str:
    """Of those that are in trouble: why."""
    if "failed" not in reasons and "running_long" not in reasons:
        return ""
    told = runtime.get("last-original-error-message") or runtime.get("last-message") or ""
    return clean(str(told))[:_TEXT] if isinstance(told, str) else ""
