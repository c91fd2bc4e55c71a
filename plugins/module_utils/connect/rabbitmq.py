# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to a RabbitMQ node: its management API, and ``rabbitmqctl eval`` on this node or in a container. Each is one question with a time limit."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence

from .command import PATH
from .docker import Docker
from .erlang import TermError, parse
from .http import ask
from .procfs import processes
from .signals import ancestors, send

LONGEST_ANSWER = 64 * 1024 * 1024
_GRACE = 3.0
_HANDSHAKE = 6.0
"""A node that is frozen keeps rabbitmqctl waiting for longer than this (7 s); one with another cookie refuses it at once."""
_NO_PROGRAM = (126, 127)
_UNREACHABLE = re.compile(r"unable to (?:connect to node|perform an operation on node)|nodedown", re.IGNORECASE)
_UNFINISHED = re.compile(r"distribution failed|can't establish TCP connection|Authentication failed", re.IGNORECASE)
_PRIVATE = re.compile(r"cookie hash|home dir", re.IGNORECASE)


class BrokerError(Exception):
    """Nothing can be said of the broker by this way."""


class BrokerDown(BrokerError):
    """The node does not run."""


class BrokerSilent(BrokerError):
    """The node is there and does not answer."""


@dataclass(frozen=True)
class Said:
    """What a program said. ``code`` is None when it did not end in time."""

    code: Optional[int]
    output: str
    errors: str
    seconds: float


def evaluate(program: str, node: Optional[str], expression: str, timeout: float) -> Any:
    """The value of an Erlang expression, by rabbitmqctl of this node."""
    path = shutil.which(program, path=PATH)
    if path is None:
        raise BrokerError("there is no program %s on this node" % program)
    return _value(_run([path, *_words(node, expression)], timeout), "rabbitmqctl", timeout)


def evaluate_in(docker: Docker, container: str, program: str, node: Optional[str], expression: str, timeout: float) -> Any:
    """The same by rabbitmqctl in a container that runs."""
    return _value(_run_in(docker, container, [program, *_words(node, expression)], timeout), "rabbitmqctl in container %s" % container, timeout)


def _words(node: Optional[str], expression: str) -> List[str]:
    return ["-q", *(["-n", node] if node else []), "eval", expression]


def _run(argv: Sequence[str], timeout: float) -> Said:
    started = time.monotonic()
    user = pwd.getpwuid(os.geteuid())
    # Erlang looks for its cookie at HOME, and warns of every locale that is not UTF-8.
    env = {"PATH": PATH, "HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name, "LC_ALL": "C.UTF-8"}
    try:
        process = subprocess.Popen(argv, env=env, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    except OSError as exc:
        raise BrokerError("%s cannot be run: %s" % (argv[0], exc.strerror or exc)) from exc
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _end(process)
        return Said(None, "", "", time.monotonic() - started)
    return Said(process.returncode, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace"), time.monotonic() - started)


def _end(process: subprocess.Popen[bytes]) -> None:
    """It only reads, so it is killed with all that it started: its wrapper runs it by ``su``, which an ended group does not take along."""
    for each in [found for found in processes() if process.pid in ancestors(found.pid)]:
        with contextlib.suppress(OSError):
            send(each, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_GRACE)
    for pipe in (process.stdout, process.stderr):  # whoever still has them open is not waited for
        if pipe is not None:
            pipe.close()


def _run_in(docker: Docker, container: str, argv: Sequence[str], timeout: float) -> Said:
    """The library waits for an answer without a limit, so it is not waited for: a daemon thread ends with the module, rabbitmqctl by its own limits."""
    started = time.monotonic()
    found: List[Any] = []
    api = docker.api

    def execute() -> None:
        try:
            with docker.errors("run %s in container %s" % (argv[0], container)):
                made = api.exec_create(container, list(argv), stdin=False, tty=False)["Id"]
                output, errors = api.exec_start(made, demux=True)
                found.append((api.exec_inspect(made)["ExitCode"], output or b"", errors or b""))
        except Exception as exc:  # noqa: BLE001  told by the thread that waits
            found.append(exc)

    thread = threading.Thread(target=execute, daemon=True)
    thread.start()
    thread.join(timeout)
    if not found:
        return Said(None, "", "", time.monotonic() - started)
    if isinstance(found[0], Exception):
        raise found[0]
    code, output, errors = found[0]
    return Said(code, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace"), time.monotonic() - started)


def _value(said: Said, who: str, timeout: float) -> Any:
    """The term that was printed. Versions agree on no exit code for a node that is down, so their words decide."""
    if said.code is None:
        raise BrokerSilent("%s did not end within %g s" % (who, timeout))
    if said.code == 0:
        try:
            return parse(said.output)
        except TermError as exc:
            raise BrokerError("%s answered what is no Erlang term: %s" % (who, exc)) from exc
    text = "%s\n%s" % (said.errors, said.output)
    if _UNREACHABLE.search(text):
        reason = diagnostics(text) or "it gave no reason"
        if _UNFINISHED.search(text) and said.seconds < _HANDSHAKE:
            raise BrokerError("%s was refused by the node, as with another Erlang cookie: %s" % (who, reason))
        if _UNFINISHED.search(text):
            raise BrokerSilent("the node is there, and does not answer %s: %s" % (who, reason))
        raise BrokerDown("%s reaches no node: %s" % (who, reason))
    if said.code in _NO_PROGRAM:
        raise BrokerError("%s cannot be run: %s" % (who, _last(text)))
    if "Only root or rabbitmq" in text:
        raise BrokerError("%s must be run as root or as the user rabbitmq, not as user id %d" % (who, os.geteuid()))
    raise BrokerError("%s ended with exit code %d: %s" % (who, said.code, _last(text)))


def diagnostics(text: str) -> str:
    """What rabbitmqctl found out about a node that it does not reach, in one line."""
    section = text.partition("DIAGNOSTICS")[2] or text
    lines = [line.strip() for line in re.split(r"[Cc]urrent node details", section)[0].splitlines()]
    told = [line.lstrip("*- ").strip() for line in lines if line.startswith(("*", "- ", "Error:")) and not _PRIVATE.search(line)]
    return "; ".join(line for line in told if not line.startswith("suggestion") and line)[:500]


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _PRIVATE.search(line)]
    return " / ".join(lines[-3:])[:500] or "it said nothing"


def resolve(names: Sequence[str], timeout: float) -> Dict[str, List[str]]:
    """Addresses of names, of those that are resolved in time: the resolver has limits of its own, and is not waited for."""
    found: Dict[str, List[str]] = {}

    def look_up(name: str) -> None:
        with contextlib.suppress(OSError, UnicodeError):
            found[name] = [str(row[4][0]) for row in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]

    deadline = time.monotonic() + timeout
    threads = [threading.Thread(target=look_up, args=(name,), daemon=True) for name in dict.fromkeys(names)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(found)


class Management:
    """The management API at a URL."""

    def __init__(self, url: str, user: str, password: str, verify: bool = True, ca_cert: Optional[str] = None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": "Basic %s" % base64.b64encode(("%s:%s" % (user, password)).encode("utf-8")).decode("ascii")}
        self._user = user
        self._verify = verify
        self._ca_cert = ca_cert

    def get(self, path: str, timeout: float) -> Any:
        """What is at a path below ``/api/``, as JSON."""
        answer = ask(
            "%s/api/%s" % (self.url, path), headers=self._headers, timeout=timeout, limit=LONGEST_ANSWER, verify=self._verify, ca_cert=self._ca_cert, follow=0
        )
        if answer.kind == "timeout":
            raise BrokerSilent("the management API at %s does not answer: %s" % (self.url, answer.error))
        if answer.kind:
            raise BrokerError("no management API answers at %s: %s" % (self.url, answer.error))
        if answer.status in (401, 403):
            raise BrokerError("the management API at %s refuses user %s: %s" % (self.url, self._user, _reason(answer.body)))
        if not answer.ok:
            raise BrokerError("the management API at %s answers %s with status %s" % (self.url, path.partition("?")[0], answer.status))
        try:
            return answer.json()
        except ValueError as exc:
            raise BrokerError("what answers at %s is no management API: its answer is no JSON (%s)" % (self.url, exc)) from exc


def _reason(body: bytes) -> str:
    try:
        said: Mapping[str, Any] = json.loads(body.decode("utf-8"))
        return str(said.get("reason") or said.get("error"))[:200]
    except (ValueError, AttributeError):
        return "it gave no reason"
