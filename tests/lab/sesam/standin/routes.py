# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which path leads where, and who may go there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from re import Pattern
from typing import Any, NamedTuple

from lab.sesam.standin import auth, profiler, routes_config, routes_node, routes_pipes
from lab.sesam.standin.auth import Refused
from lab.sesam.standin.messages import Answer, Problem, Request, problem
from lab.sesam.standin.state import State

HEADER = "SESAM-API-PROFILER"
SEPARATOR = "\0"  # between the parts of a path, each decoded


class Route(NamedTuple):
    """One."""

    method: str
    pattern: Pattern[str]
    act: Callable[..., Answer]
    admin: bool
    changing: bool


def _route(method: str, path: str, act: Callable[..., Answer], admin: bool = False) -> Route:
    pattern = SEPARATOR.join(f"([^{SEPARATOR}]+)" if part == "*" else re.escape(part) for part in path.split("/"))
    return Route(method, re.compile(f"^{pattern}$"), act, admin, method != "GET")


_TOOLS = [_route("POST", f"pipes/{name}", routes_pipes.testing_tool) for name in ("run-all-pipes", "stop-run-all-pipes", "delete-all-sink-datasets")]
_VARIABLES = [_route(method, name, routes_node.variables, name == "secrets") for name in ("env", "secrets") for method in ("GET", "PUT", "POST")]
ROUTES = [
    *_TOOLS,
    *_VARIABLES,
    _route("GET", "pipes", routes_pipes.listed),
    _route("POST", "pipes", routes_pipes.add),
    _route("GET", "pipes/*", routes_pipes.one),
    _route("DELETE", "pipes/*", routes_pipes.delete),
    _route("GET", "pipes/*/config", routes_pipes.config),
    _route("PUT", "pipes/*/config", routes_pipes.set_config),
    _route("GET", "pipes/*/pump", routes_pipes.pump),
    _route("POST", "pipes/*/pump", routes_pipes.operate),
    _route("GET", "pipes/*/log", routes_pipes.log),
    _route("GET", "config", routes_config.read),
    _route("PUT", "config", routes_config.write),
    _route("GET", "config-all", routes_config.read_all),
    _route("PUT", "config-all", routes_config.write_all),
    _route("GET", "config/*", routes_config.read),
    _route("PUT", "config/*", routes_config.write),
    _route("GET", "config-history/entity", routes_config.history),
    _route("GET", "metadata", routes_config.metadata),
    _route("PUT", "metadata", routes_config.set_metadata),
    _route("DELETE", "metadata", routes_config.drop_metadata),
    _route("GET", "health", routes_node.health),
    _route("GET", "ping", routes_node.ping),
    _route("GET", "status", routes_node.status),
    _route("GET", "status/stacktrace", routes_node.traces, admin=True),
    _route("GET", "status/heap", routes_node.debug_text, admin=True),
    _route("GET", "status/debugmallocstats", routes_node.debug_text, admin=True),
    _route("POST", "admin", routes_node.admin, admin=True),
    _route("GET", "logs", routes_node.logs),
    _route("POST", "logs", routes_node.log_level),
    _route("GET", "logs/*", routes_node.log),
    _route("GET", "license", routes_node.get_licence),
    _route("PUT", "license", routes_node.set_licence, admin=True),
    _route("POST", "jwt", routes_node.token),
]


def answer(node: State, request: Request) -> Answer:
    """What a request gets; also errors are answers."""
    settings = node.settings
    wants_json = "application/json" in request.headers.get("Accept", "") and not settings["html_errors"]
    try:
        if node.starting or settings["unavailable"]:
            raise Problem(503, "The node isn't available")
        return _permitted(node, request)
    except (Problem, Refused) as error:
        quoted = f" ({request.headers.get('Authorization')})" if settings["echo_token"] else ""
        return problem(error.status, error.message + quoted, wants_json)


def _permitted(node: State, request: Request) -> Answer:
    settings, path = node.settings, "/".join(request.parts)
    open_to_all = path == "jwt" or not settings["auth"] or request.who == auth.HEALTH
    roles = [auth.ADMIN]
    if not open_to_all:
        request.who, roles = auth.roles_of(request.headers.get("Authorization", ""), settings["jwt_key"], settings["subscription"])
        request.who = f"{request.who} {','.join(roles)}"
    found = [(route, match) for route in ROUTES for match in [route.pattern.match(SEPARATOR.join(request.parts))] if match]
    if not found or any(path.startswith(prefix) for prefix in settings["missing"]):
        raise Problem(404, f"There is nothing at '{request.path}'")
    for route, match in found:
        if route.method == request.method:
            auth.need(roles, route.admin, route.changing)
            return _executed(node, request, lambda route=route, match=match: route.act(node, request, *match.groups()))  # type: ignore[misc]
    raise Problem(405, f"The method {request.method} isn't allowed here")


def _executed(node: State, request: Request, call: Callable[[], Answer]) -> Answer:
    """The call, with a profile where one is wanted: then the profile takes the place of the answer."""
    kind = request.headers.get(HEADER, "").strip().lower()
    if kind and kind not in profiler.KINDS:
        raise Problem(400, f"Unknown profiler '{kind}'")
    if not kind and not node.profile_calls:
        return call()
    given: Answer
    given, stats = profiler.profiled(lambda: _complete(call()))
    moment = time.time()
    if node.profile_calls:
        profiler.leave(node.logs.folder / "api_profiler", f"{request.method}-{'_'.join(request.parts)}", moment, stats)
    if not kind:
        return given
    name = f"api-call-{profiler.stamp(moment)}.{profiler.KINDS[kind]}"
    return Answer(200, profiler.packed(stats, kind), "application/octet-stream", {"Content-Disposition": f'attachment; filename="{name}"'})


def _complete(given: Answer) -> Answer:
    """The whole work is done inside of the profile."""
    body: Any = given.body
    return given if isinstance(body, bytes) else Answer(given.status, b"".join(body), given.kind, given.headers)
