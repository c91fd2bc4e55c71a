# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node itself: health, status, licence, administration, logs, environment."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.sesam.standin import auth, licence, stacktrace
from lab.sesam.standin.messages import Answer, Problem, Request, as_json
from lab.sesam.standin.state import VERSION, State


def health(node: State, _request: Request) -> Answer:
    """Well or not; JSON either way."""
    complaints = node.settings["unwell"]
    return as_json({"status": "unhealthy" if complaints else "ok", "problems": complaints}, 503 if complaints else 200)


def ping(_node: State, _request: Request) -> Answer:
    """It lives."""
    return as_json({"status": "running"})


def status(node: State, _request: Request) -> Answer:
    """What it is."""
    disk = shutil.disk_usage(node.data)
    return as_json(
        {
            "node_id": node.settings["subscription"],
            "node_version": VERSION,
            "node_start_time": node.started_text,
            "node_uptime": time.time() - node.started,
            "psutil.virtual_memory": {"total": 33567891456, "available": 21567891456, "percent": 35.7},
            "psutil.disk_usage": {"total": disk.total, "used": disk.used, "free": disk.free},
            "main_threads": threading.active_count(),
        }
    )


def traces(node: State, _request: Request) -> Answer:
    """Where every thread is."""
    return Answer(200, stacktrace.page(node.settings["stacktrace_bytes"]), "text/html; charset=utf-8")


def debug_text(_node: State, request: Request) -> Answer:
    """What only developers read."""
    return Answer(200, f"{request.parts[-1]}: nothing to see\n".encode(), "text/plain")


def admin(node: State, request: Request) -> Answer:
    """restart, reset (which wipes), load_config."""
    operation = request.form.get("operation")
    if operation == "restart":
        if node.settings["restarts"]:
            threading.Timer(0.1, node.leave).start()
    elif operation == "reset":
        node.wipe()
    elif operation != "load_config":
        raise Problem(400, f"Unknown operation '{operation}'")
    return as_json({"message": "OK"})


def logs(node: State, _request: Request) -> Answer:
    """The files."""
    return as_json([{"_id": file.name, "size": file.stat().st_size} for file in sorted(node.logs.folder.iterdir()) if file.is_file()])


def log(node: State, _request: Request, name: str) -> Answer:
    """One file."""
    file = node.logs.folder / name
    if Path(name).name != name or not file.is_file():
        raise Problem(404, f"The log '{name}' doesn't exist")

    def pieces() -> Iterator[bytes]:
        with open(file, "rb") as handle:
            while True:
                piece = handle.read(65536)
                if not piece:
                    return
                yield piece

    return Answer(200, pieces(), "text/plain; charset=utf-8")


def log_level(_node: State, _request: Request) -> Answer:
    """For others."""
    raise Problem(400, "The log level can only be set on worker nodes")


def get_licence(node: State, _request: Request) -> Answer:
    """What is known of the licence."""
    return as_json(licence.state(node.data))


def set_licence(node: State, request: Request) -> Answer:
    """A new key."""
    try:
        licence.parse(request.body.decode())
    except ValueError as error:
        raise Problem(400, "The license key is not valid") from error
    (node.data / licence.NAME).write_bytes(request.body)
    return as_json(licence.state(node.data))


def variables(node: State, request: Request) -> Answer:
    """Environment or secrets. PUT replaces, POST adds; of secrets only names are told."""
    name = request.parts[0]
    known: dict[str, Any] = node.storage.load(name, {})
    if request.method != "GET":
        try:
            posted = json.loads(request.body)
        except ValueError as error:
            raise Problem(400, f"The request body isn't valid JSON: {error}") from error
        known = posted if request.method == "PUT" else {**known, **posted}
        node.storage.save(name, known)
    return as_json(sorted(known) if name == "secrets" else known)


def token(node: State, request: Request) -> Answer:
    """For an e-mail address and a password."""
    fields = request.form or (json.loads(request.body) if request.body else {})
    if fields.get("password") != "laboratory":
        raise Problem(403, "Wrong e-mail address or password")
    issued = auth.issue(node.settings["jwt_key"], node.settings["subscription"], [auth.DEVELOPER], name=str(fields.get("email")))
    return Answer(200, issued.encode(), "text/plain")
