# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of ``node_health_info``: what is expected of a node, list by list."""

from __future__ import annotations

from typing import Any, Dict

from ..procedure.argspec import ArgumentSpec

Options = Dict[str, Dict[str, Any]]

TIME_FORMATS = ("none", "python", "iso", "apache_error", "apache_access", "nginx_error", "uwsgi", "syslog")
_BAD = ("info", "warning", "critical")

COMMON: Options = {
    "name": {"type": "str"},
    "code": {"type": "str"},
    "severity": {"type": "str", "choices": list(_BAD)},
    "subject": {"type": "str"},
    "runbook": {"type": "str"},
    "remedy": {
        "type": "dict",
        "options": {"text": {"type": "str", "required": True}, "playbook": {"type": "str"}, "vars": {"type": "dict", "default": {}}},
    },
}
"""What every expectation may say about the findings that it leads to."""

PATTERN: Options = {
    "program": {"type": "str"},
    "args": {"type": "list", "elements": "str", "default": []},
    "title": {"type": "str"},
    "owner": {"type": "str"},
}

PROCESS: Options = dict(
    COMMON,
    **PATTERN,
    min={"type": "int", "default": 1},
    max={"type": "int"},
    min_age={"type": "float"},
    max_age={"type": "float"},
    containers={"type": "bool", "default": False},
)

UNIT: Options = dict(
    COMMON,
    name={"type": "str", "required": True},
    state={"type": "str", "choices": ["active", "inactive", "any"], "default": "active"},
    enabled={"type": "bool"},
    max_restarts={"type": "int"},
    min_uptime={"type": "float"},
)

SOCKET: Options = dict(
    COMMON,
    port={"type": "int"},
    protocol={"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
    address={"type": "str"},
    path={"type": "str"},
    program={"type": "str"},
    owner={"type": "str"},
)

PATH: Options = dict(
    COMMON,
    path={"type": "str", "required": True},
    exists={"type": "str", "choices": ["any", "file", "directory", "absent"], "default": "any"},
    owner={"type": "str"},
    group={"type": "str"},
    mode={"type": "str"},
    readable_by={"type": "str"},
    mounted={"type": "bool", "default": False},
    read_only={"type": "bool", "default": False},
    min_free={"type": "str"},
    min_free_inodes={"type": "str"},
    newest_max_age={"type": "float"},
    newest_match={"type": "str"},
    depth={"type": "int", "default": 1},
    list={"type": "bool", "default": True},
    max_entries={"type": "int", "default": 100000},
    max_seconds={"type": "float", "default": 5.0},
    deleted_open={"type": "str"},
    account={"type": "bool", "default": False},
    max_unaccounted={"type": "str", "default": "5%"},
    expect_free={"type": "str"},
    free_before={"type": "str", "default": "0"},
)

LOG: Options = dict(
    COMMON,
    path={"type": "str", "required": True},
    optional={"type": "bool", "default": False},
    max_age={"type": "float"},
    must_grow={"type": "bool", "default": False},
    must_end_with={"type": "str"},
    patterns={
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "regex": {"type": "str", "required": True},
            "severity": {"type": "str", "choices": list(_BAD), "default": "warning"},
        },
    },
    benign={"type": "list", "elements": "str", "default": []},
    since={"type": "float"},
    time_format={"type": "str", "choices": list(TIME_FORMATS), "default": "none"},
    last={"type": "int", "default": 5},
    max_bytes={"type": "str", "default": "64M"},
    rotated={"type": "bool", "default": True},
)

HTTP: Options = dict(
    COMMON,
    url={"type": "str", "required": True},
    method={"type": "str", "default": "GET"},
    body={"type": "str"},
    json={"type": "raw"},
    headers={"type": "dict", "default": {}},
    secret_headers={"type": "dict", "no_log": True, "default": {}},
    status={"type": "list", "elements": "int", "default": [200]},
    contains={"type": "list", "elements": "str", "default": []},
    json_has={"type": "raw"},
    timeout={"type": "float"},
    max_seconds={"type": "float"},
    verify={"type": "bool", "default": True},
    ca_cert={"type": "path"},
    address={"type": "str"},
    unix_socket={"type": "str"},
    follow={"type": "int", "default": 3},
)

TCP: Options = dict(
    COMMON,
    host={"type": "str", "required": True},
    port={"type": "int", "required": True},
    greeting={"type": "str", "default": ""},
    timeout={"type": "float"},
    max_seconds={"type": "float"},
)

CERTIFICATE: Options = dict(
    COMMON,
    host={"type": "str"},
    port={"type": "int", "default": 443},
    server_name={"type": "str"},
    file={"type": "path"},
    min_days={"type": "float", "default": 14.0},
    names={"type": "list", "elements": "str", "default": []},
    trusted={"type": "bool", "default": False},
    ca_cert={"type": "path"},
    since={"type": "str"},
    timeout={"type": "float"},
)


def _several(options: Options, **rules: Any) -> Dict[str, Any]:
    return dict({"type": "list", "elements": "dict", "options": options}, **rules)


EXPECTATIONS: Options = {
    "processes": _several(PROCESS, required_one_of=[("program", "args", "title")]),
    "units": _several(UNIT),
    "sockets": _several(SOCKET, required_one_of=[("port", "path")], mutually_exclusive=[("port", "path"), ("address", "path")]),
    "paths": _several(PATH),
    "logs": _several(LOG),
    "http": _several(HTTP, mutually_exclusive=[("body", "json")]),
    "tcp": _several(TCP),
    "certificates": _several(CERTIFICATE, required_one_of=[("host", "file")], mutually_exclusive=[("host", "file")]),
}

LIMITS: Options = {
    "load_per_cpu": {"type": "float"},
    "min_available_memory": {"type": "str"},
    "max_oom_kills": {"type": "int"},
}

HEALTH = ArgumentSpec(
    dict(
        EXPECTATIONS,
        **LIMITS,
        service_manager={"type": "str", "choices": ["auto", "systemd", "upstart", "sysv"], "default": "auto"},
        watch={"type": "float", "default": 0.0},
        timeout={"type": "float", "default": 15.0},
        runbook_file={"type": "str"},
    ),
    required_one_of=[(*EXPECTATIONS, *LIMITS)],
)
