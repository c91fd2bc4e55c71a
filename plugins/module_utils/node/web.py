# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Web services and ports that must answer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from ..procedure.envelope import Finding
from ..procedure.errors import RunbookError
from .expect import Missed, Options, Said

if TYPE_CHECKING:
    from ..connect.http import Answer

_SHOWN = 200
_TAG = re.compile(r"<[^<>]{1,500}>")
_READ = 1 << 20
"""Bytes of an answer to look for what must be in it."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TOLD = {
    "refused": "refuses the connection",
    "timeout": "does not answer in time",
    "dns": "its name cannot be resolved",
    "unreachable": "cannot be reached",
    "closed": "closes the connection",
    "protocol": "belongs to something else: it does not greet as it should",
}


@dataclass(frozen=True)
class Wanted:
    """One expectation of a web service."""

    said: Said
    url: str
    method: str = "GET"
    body: Optional[bytes] = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    status: Sequence[int] = (200,)
    contains: Sequence[str] = ()
    json_has: Any = None
    timeout: Optional[float] = None
    max_seconds: Optional[float] = None
    verify: bool = True
    ca_cert: Optional[str] = None
    address: Optional[str] = None
    unix_socket: Optional[str] = None
    follow: int = 3
    secrets: Tuple[str, ...] = field(default=(), repr=False)


class WantedPort(NamedTuple):
    """One expectation of a port."""

    said: Said
    host: str
    port: int
    timeout: Optional[float] = None
    max_seconds: Optional[float] = None
    greeting: str = ""


class Connection(NamedTuple):
    """What became of one; ``kind`` is empty when it was accepted."""

    kind: str
    seconds: float


Seen = Union["Answer", Missed]
SeenPort = Union[Connection, Missed]


def parse(options: Options, runbook_file: Optional[str]) -> Wanted:
    url = options.filled("url")
    if not re.match(r"https?://[^/@]+(/|\?|$)", url, re.IGNORECASE):
        raise options.refuse("url", "a URL of scheme http or https, without user and password")
    body = options["body"].encode("utf-8") if options["body"] is not None else None
    headers = {str(name): str(value) for source in ("headers", "secret_headers") for name, value in options[source].items()}
    if options["json"] is not None:
        body = json.dumps(options["json"]).encode("utf-8")
        headers.setdefault("Content-Type", "application/json")
    _check(options, headers)
    return Wanted(
        options.said("http", url, runbook_file),
        url,
        options["method"].upper(),
        body,
        headers,
        tuple(options["status"]),
        tuple(options["contains"]),
        options["json_has"],
        options.number("timeout"),
        options.number("max_seconds"),
        options["verify"],
        options["ca_cert"],
        options["address"],
        options.absolute("unix_socket") if options["unix_socket"] is not None else None,
        options.whole("follow") or 0,
        tuple(str(value) for value in options["secret_headers"].values()),
    )


def _check(options: Options, headers: Mapping[str, str]) -> None:
    if not re.fullmatch(r"[A-Za-z]+", options["method"]):
        raise options.refuse("method", "a method of HTTP such as GET or POST")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or re.search(r"[\r\n\0]", value):
            # Not its value, which may be a secret.
            raise RunbookError("%s: header %r must have a name without spaces and a value of one line" % (options.where, name))
    if not options["status"] or any(not 100 <= status <= 599 for status in options["status"]):
        raise options.refuse("status", "a list of status codes, 100 to 599")


def parse_port(options: Options, runbook_file: Optional[str]) -> WantedPort:
    host, port = options.filled("host"), options.port("port")
    said = options.said("tcp", "%s port %d" % (host, port), runbook_file)
    return WantedPort(said, host, port, options.number("timeout"), options.number("max_seconds"), options["greeting"])


def look(wanted: Wanted, seconds: float) -> Answer:
    """Ask; ``seconds`` are those that are left for all probes."""
    from ..connect.http import ask  # noqa: PLC0415 - it brings TLS, which costs more than most looks

    return ask(
        wanted.url,
        wanted.method,
        wanted.body,
        wanted.headers,
        min(seconds, wanted.timeout or seconds),
        _READ,
        wanted.verify,
        wanted.ca_cert,
        wanted.address,
        wanted.follow,
        wanted.unix_socket,
    )


def look_port(wanted: WantedPort, seconds: float) -> Connection:
    from ..connect.http import connects  # noqa: PLC0415 - as above

    _connected, kind, taken = connects(wanted.host, wanted.port, min(seconds, wanted.timeout or seconds), wanted.greeting.encode("utf-8"))
    return Connection(kind, taken)


def judge(wanted: Wanted, seen: Seen) -> List[Finding]:
    said = wanted.said
    if isinstance(seen, Missed):
        return [said.unknown(seen.reason, url=wanted.url)]
    detail: Dict[str, Any] = {"url": wanted.url, "status": seen.status, "seconds": round(seen.seconds, 3)}
    if seen.kind == "bad_url":
        return [said.unknown("it could not be asked: %s" % seen.error, **detail)]
    if seen.kind:
        return [said.bad(seen.kind, "critical", seen.error, **dict(detail, error=seen.error))]
    if seen.status not in wanted.status:
        text = "it answers with status %s, and %s is right: %s" % (seen.status, " or ".join(map(str, wanted.status)), _start(wanted, seen))
        return [said.bad("wrong_status", "critical", text, **dict(detail, answer=_start(wanted, seen)))]
    found = []
    wrong = _wrong(wanted, seen)
    if wrong:
        found.append(said.bad("wrong_answer", "critical", wrong, **dict(detail, answer=_start(wanted, seen))))
    if wanted.max_seconds is not None and seen.seconds > wanted.max_seconds:
        found.append(said.bad("slow", "warning", _slow(seen.seconds, wanted.max_seconds), **detail))
    return found


def _wrong(wanted: Wanted, seen: Answer) -> str:
    """What the answer lacks."""
    text = seen.body.decode("utf-8", "replace")
    missing = [each for each in wanted.contains if each not in text]
    if missing:
        return "%r is not in its answer%s" % (missing[0], ", of which only the first %d bytes were read" % _READ if seen.truncated else "")
    if wanted.json_has is None:
        return ""
    try:
        value = seen.json()
    except ValueError:
        return "its answer is no JSON: %s" % _start(wanted, seen)
    return "" if has(value, wanted.json_has) else "its answer does not have %s: %s" % (json.dumps(wanted.json_has), _start(wanted, seen))


def has(value: Any, wanted: Any) -> bool:
    """Whether a JSON value has what is wanted: of a dictionary these keys, of a list these elements somewhere, else the same."""
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(key in value and has(value[key], each) for key, each in wanted.items())
    if isinstance(wanted, list):
        return isinstance(value, list) and all(any(has(element, each) for element in value) for each in wanted)
    # True is not 1.
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _start(wanted: Wanted, seen: Answer) -> str:
    from ..connect import redact  # noqa: PLC0415 - only a wrong answer is told

    text = " ".join(seen.body[: 4 * _SHOWN].decode("utf-8", "replace").split())
    text = redact.text("".join(char if char.isprintable() else "?" for char in text), wanted.secrets)  # before names that are tags are gone
    return (" ".join(_TAG.sub(" ", text).split()) or text)[:_SHOWN] or "the answer is empty"


def _slow(seconds: float, limit: float) -> str:
    return "it took %.2f s, and at most %g s is right" % (seconds, limit)


def judge_port(wanted: WantedPort, seen: SeenPort) -> List[Finding]:
    said = wanted.said
    if isinstance(seen, Missed):
        return [said.unknown(seen.reason, host=wanted.host, port=wanted.port)]
    detail = {"host": wanted.host, "port": wanted.port, "seconds": round(seen.seconds, 3)}
    if seen.kind:
        return [said.bad(seen.kind, "critical", "port %d of %s %s" % (wanted.port, wanted.host, _TOLD.get(seen.kind, seen.kind)), **detail)]
    if wanted.max_seconds is not None and seen.seconds > wanted.max_seconds:
        return [said.bad("slow", "warning", _slow(seen.seconds, wanted.max_seconds), **detail)]
    return []


def row(wanted: Wanted, seen: Seen) -> Dict[str, Any]:
    if isinstance(seen, Missed):
        return {"name": wanted.said.name, "url": wanted.url, "status": None, "seconds": None, "error": seen.reason, "bytes_read": 0, "answer": ""}
    right = not judge(wanted, seen)
    return {
        "name": wanted.said.name,
        "url": wanted.url,
        "status": seen.status,
        "seconds": round(seen.seconds, 3),
        "error": seen.error,
        "bytes_read": len(seen.body),
        "answer": "" if right or seen.kind else _start(wanted, seen),
    }


def row_port(wanted: WantedPort, seen: SeenPort) -> Dict[str, Any]:
    row = {"name": wanted.said.name, "host": wanted.host, "port": wanted.port}
    if isinstance(seen, Missed):
        return dict(row, connected=False, seconds=None, error=seen.reason)
    return dict(row, connected=not seen.kind, seconds=round(seen.seconds, 3), error=_TOLD.get(seen.kind, seen.kind))
