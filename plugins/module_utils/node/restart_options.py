# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of ``service_restart``, and what is made of them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Dict, Mapping, Optional, Set, Tuple

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import UnsupportedError

from ..connect.procfs import Pattern
from ..connect.service import is_pattern
from ..connect.services import MANAGERS, ServiceError
from ..procedure.argspec import ArgumentSpec
from .argspec import COMMON, HTTP, PATTERN, TCP, Options
from .expect import check_regex
from .restart_probe import Probe, parse

LONGEST = 86400.0
"""Seconds; a longer wait is a mistake in writing."""


def _without(options: Options, *names: str) -> Options:
    return {name: rules for name, rules in options.items() if name not in COMMON and name not in names}


SERVICE: Options = {
    "name": {"type": "str", "required": True},
    "processes": {"type": "list", "elements": "dict", "default": [], "options": PATTERN},
    "probe": {
        "type": "dict",
        "options": {
            "http": {"type": "dict", "options": dict(_without(HTTP, "max_seconds"), timeout={"type": "float", "default": 10.0})},
            "tcp": {
                "type": "dict",
                "options": dict(_without(TCP, "max_seconds"), host={"type": "str", "default": "127.0.0.1"}, timeout={"type": "float", "default": 5.0}),
            },
            "unix": {"type": "path"},
        },
        "mutually_exclusive": [("http", "tcp", "unix")],
        "required_one_of": [("http", "tcp", "unix")],
    },
    "stop_timeout": {"type": "float"},
    "start_timeout": {"type": "float"},
    "settle": {"type": "float"},
    "spare_children": {"type": "bool", "default": False},
    "log_files": {"type": "list", "elements": "path", "default": []},
}
"""One element of ``services``. Not part of the argument specification, because a plain name is accepted as well."""

OPTIONS = ArgumentSpec(
    {
        "services": {"type": "list", "elements": "raw", "required": True},
        "state": {"type": "str", "choices": ["restarted", "started", "stopped"], "default": "restarted"},
        "policy": {"type": "str", "choices": ["always", "unhealthy"], "default": "always"},
        "stop_timeout": {"type": "float"},
        "start_timeout": {"type": "float", "default": 60.0},
        "settle": {"type": "float"},
        "force_kill": {"type": "bool", "default": False},
        "manager": {"type": "str", "choices": ["auto", *MANAGERS], "default": "auto"},
        "evidence": {"type": "bool", "default": True},
        "log_files": {"type": "list", "elements": "path", "default": []},
    }
)


@dataclass(frozen=True)
class Spec:
    """What is wanted of one service. A time that is ``None`` is the unit's own."""

    name: str
    processes: Tuple[Pattern, ...] = ()
    probe: Optional[Probe] = None
    stop_timeout: Optional[float] = None
    start_timeout: float = 60.0
    settle: Optional[float] = None
    log_files: Tuple[str, ...] = ()
    spare_children: bool = False

    def kept(self) -> Dict[str, Any]:
        """What an undo needs; a probe may hold secrets, so it is not kept."""
        return dict(asdict(replace(self, probe=None)), processes=[each._asdict() for each in self.processes], log_files=[])


def spec_of(kept: Mapping[str, Any]) -> Spec:
    """The inverse of ``kept``, from a journal."""
    patterns = tuple(Pattern(**dict(pattern, args=tuple(pattern["args"]))) for pattern in kept["processes"])
    return Spec(**dict(kept, processes=patterns, log_files=tuple(kept["log_files"])))


@dataclass(frozen=True)
class Wish:
    """The options as a whole."""

    specs: Tuple[Spec, ...]
    state: str = "restarted"
    policy: str = "always"
    force_kill: bool = False
    manager: Optional[str] = None
    evidence: bool = True
    log_files: Tuple[str, ...] = ()
    defaults: Spec = field(default_factory=lambda: Spec(""))
    """For units that nobody named, but that are stopped with one that was."""


def read_wish(params: Mapping[str, Any]) -> Wish:
    """Raises a ServiceError that names the option and says what it accepts."""
    if not params["services"]:
        raise ServiceError("services is empty: name at least one service")
    if params["policy"] == "unhealthy" and params["state"] != "restarted":
        raise ServiceError("policy: unhealthy chooses what to restart, so it goes with state: restarted only, not with state: %s" % params["state"])
    defaults = Spec(
        "",
        stop_timeout=_seconds("stop_timeout", params["stop_timeout"]),
        start_timeout=_seconds("start_timeout", params["start_timeout"]) or 0.0,
        settle=_seconds("settle", params["settle"]),
    )
    specs = tuple(_spec("services[%d]" % n, _options("services[%d]" % n, value), defaults) for n, value in enumerate(params["services"]))
    return Wish(
        specs,
        params["state"],
        params["policy"],
        params["force_kill"],
        None if params["manager"] == "auto" else params["manager"],
        params["evidence"],
        tuple(_absolute("log_files", path) for path in params["log_files"]),
        defaults,
    )


def secrets(params: Mapping[str, Any]) -> Set[str]:
    """Values that no result may show; Ansible does not know them, because it does not know the options of a service."""
    probes = [value.get("probe") for value in params["services"] if isinstance(value, dict)]
    https = [probe.get("http") for probe in probes if isinstance(probe, dict)]
    headers = [http.get("secret_headers") for http in https if isinstance(http, dict)]
    return {str(value) for named in headers if isinstance(named, dict) for value in named.values() if value}


def _options(where: str, value: Any) -> Dict[str, Any]:
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict):
        raise ServiceError("%s must be the name of a service or a dictionary with its name, not %s" % (where, type(value).__name__))
    checked = ArgumentSpecValidator(SERVICE).validate(value)
    if checked.error_messages:
        told = ["%s%s" % ("unknown option " if isinstance(error, UnsupportedError) else "", error.msg) for error in checked.errors]
        raise ServiceError("%s: %s" % (where, "; ".join(told)))
    options: Dict[str, Any] = checked.validated_parameters
    return options


def _spec(where: str, options: Mapping[str, Any], defaults: Spec) -> Spec:
    name = options["name"].strip()
    if not name or is_pattern(name) or name.startswith("-") or "/" in name:
        raise ServiceError("%s: name must be the name of one service, not %r; patterns are not accepted" % (where, options["name"]))
    own = {key: _seconds("%s: %s" % (where, key), options[key]) for key in ("stop_timeout", "start_timeout", "settle")}
    return Spec(
        name,
        tuple(_pattern(where, pattern) for pattern in options["processes"]),
        parse("%s.probe" % where, options["probe"]),
        defaults.stop_timeout if own["stop_timeout"] is None else own["stop_timeout"],
        defaults.start_timeout if own["start_timeout"] is None else own["start_timeout"],
        defaults.settle if own["settle"] is None else own["settle"],
        tuple(_absolute("%s: log_files" % where, path) for path in options["log_files"]),
        bool(options["spare_children"]),
    )


def _pattern(where: str, options: Mapping[str, Any]) -> Pattern:
    if not (options["program"] or options["args"] or options["title"]):
        raise ServiceError("%s: an element of processes needs program, args or title; an owner alone would mean all processes of that user" % where)
    if options["title"]:
        check_regex("%s.processes.title" % where, options["title"])
    return Pattern(options["program"], tuple(options["args"]), options["title"], options["owner"])


def _seconds(where: str, value: Optional[float]) -> Optional[float]:
    if value is not None and not (math.isfinite(value) and 0 <= value <= LONGEST):
        raise ServiceError("%s must be 0 to %d seconds, not %s" % (where, LONGEST, value))
    return value


def _absolute(where: str, path: str) -> str:
    if not path.startswith("/"):
        raise ServiceError("%s must be an absolute path, not %r" % (where, path))
    return path
