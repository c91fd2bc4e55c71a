# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the envelope out of any task's result, and the commands that follow from it. Pure.

Results come from many modules, ours and others: what does not have the envelope's shape is not ours, and is left alone.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shlex
from collections.abc import Mapping  # isinstance is ten times slower with that of typing
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

SEVERITIES = ("ok", "info", "warning", "critical")
DECISIONS = ("pass", "refuse", "off")
REASON_LENGTH = 500
PREFIX = "Task failed: "
"""Put by ansible-core before messages of its own; here it says nothing new."""

# How a fix is run, not what it looks at: a check with other values of these is still the same check.
NOT_SCOPE = frozenset(
    "max_changes cooldown lock_wait lock_expiry accept_data_loss approved_plan journal_dir journal_keep_days journal_keep_runs "
    "initiator connect_timeout login_user login_password peer_user ssl_mode ca_cert watch wait settle timeout stats max_entries max_errors "
    "jwt validate_certs request_timeout limits_dir paused windows windows_mean windows_timezone escalate_after escalate_within".split()
)
# An option of such a name says where the subject lives: both checks must have it, and alike.
LOCATION = re.compile(r"^(login_\w+|checked|item|.*(host|port|url|uri|socket|path|dir|db|database|name))$")
# Connection options of an undo command. Passwords and tokens are named, never shown.
SHOWN_OPTIONS = ("login_host", "login_port", "login_unix_socket", "login_user", "login_db", "ssl_mode", "ca_cert", "peer_user", "journal_dir", "limits_dir")
SECRET_OPTIONS = ("login_password", "jwt")

_CREDENTIALS = (
    (re.compile(r"([a-z][a-z0-9+.-]*://)[^/@\s]+@", re.IGNORECASE), r"\1***@"),
    (re.compile(r"\b(pass(?:word|wd|phrase)?|pwd|token|secret|api_?key)(\s*[=:]\s*)\S+", re.IGNORECASE), r"\1\2***"),
)


@dataclass(frozen=True)
class Envelope:
    """The part of a result that the report keeps."""

    findings: Optional[List[Dict[str, Any]]]
    changes: List[Dict[str, Any]]
    refusals: List[Dict[str, Any]]
    total: int
    plan_sha256: Optional[str]
    undo_id: Optional[str]
    unreadable: int
    guards: List[Dict[str, str]]
    elapsed: Optional[float]


def read(result: Mapping[str, Any]) -> Optional[Envelope]:
    """The envelope in a result, or nothing."""
    findings = _read_list(result.get("findings"), _finding)
    changes = _read_list(result.get("changes"), _change)
    refusals = _read_list(result.get("refusals"), _refusal)
    if findings is None and changes is None and refusals is None:
        return None
    guards = _read_list(result.get("guards"), _guard)
    listed = changes or []
    total = result.get("changes_total")
    parts = (("findings", findings), ("changes", changes), ("refusals", refusals), ("guards", guards))
    lost = sum(len(result[name]) - len(got) for name, got in parts if got is not None)
    return Envelope(
        findings,
        listed,
        refusals or [],
        max(total, len(listed)) if isinstance(total, int) else len(listed),
        _text(result.get("plan_sha256")) or None,
        _text(result.get("undo_id")) or None,
        lost,
        guards or [],
        _seconds(result.get("elapsed")),
    )


def _read_list(raw: Any, reader: Callable[[Mapping[str, Any]], Optional[Dict[str, Any]]]) -> Optional[List[Dict[str, Any]]]:
    """Other modules use these names for things of their own: a list in which nothing has our shape is not ours."""
    if not isinstance(raw, (list, tuple)):
        return None
    entries = [entry for entry in (reader(value) for value in raw if isinstance(value, Mapping)) if entry is not None]
    return entries if entries or not raw else None


def _finding(raw: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    code = raw.get("code")
    if not isinstance(code, str) or not code or "severity" not in raw:
        return None
    return {
        "code": plain(code),
        # A word that is not known is no reason to be calm.
        "severity": raw["severity"] if raw["severity"] in SEVERITIES else "warning",
        "subject": _text(raw.get("subject")),
        "summary": _text(raw.get("summary")) or plain(code),
        "detail": _mapping(raw.get("detail")),
        "remedy": _remedy(raw.get("remedy")),
        "runbook": _runbook(raw.get("runbook")),
    }


def _remedy(raw: Any) -> Optional[Dict[str, Any]]:
    if not isinstance(raw, Mapping) or not (raw.get("playbook") or raw.get("text")):
        return None
    told = {"playbook": _text(raw.get("playbook")) or None, "vars": _mapping(raw.get("vars")), "text": _text(raw.get("text"))}
    return dict(told, hosts=_text(raw["hosts"])) if raw.get("hosts") else told


def _runbook(raw: Any) -> Optional[Dict[str, str]]:
    if not isinstance(raw, Mapping) or not raw.get("file"):
        return None
    return {"file": _text(raw["file"]), "heading": _text(raw.get("heading"))}


def _change(raw: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    if not isinstance(raw.get("action"), str) or not isinstance(raw.get("subject"), str):
        return None
    n = raw.get("n")
    change = {
        "n": n if isinstance(n, int) else None,
        "action": plain(raw["action"]),
        "subject": plain(raw["subject"]),
        "before": _image(raw.get("before")),
        "after": _image(raw.get("after")),
        "reason": _text(raw.get("reason")),
        "reversible": raw.get("reversible") is not False,
        "done": raw.get("done") is True,
    }
    return dict(change, **{name: _text(raw[name]) for name in ("data_loss", "note") if raw.get(name)})


def _refusal(raw: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    if not isinstance(raw.get("guard"), str):
        return None
    return {name: _text(raw.get(name)) for name in ("guard", "reason", "allow")}


def _guard(raw: Mapping[str, Any]) -> Optional[Dict[str, str]]:
    if not isinstance(raw.get("guard"), str) or raw.get("decision") not in DECISIONS:
        return None
    return {name: _text(raw.get(name)) for name in ("guard", "decision", "why")}


def _seconds(value: Any) -> Optional[float]:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return round(float(value), 3) if number and math.isfinite(value) and value >= 0 else None


def _text(value: Any) -> str:
    return "" if value is None else str(plain(value))


def _mapping(value: Any) -> Dict[str, Any]:
    return dict(plain(value)) if isinstance(value, Mapping) else {}


def _image(value: Any) -> Optional[Dict[str, Any]]:
    return dict(plain(value)) if isinstance(value, Mapping) else None


def plain(value: Any) -> Any:
    """The same as JSON values only: a report must be readable by any parser, whatever a module returned."""
    if isinstance(value, str):
        return str(value) if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {_text(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(entry) for entry in value]
    return plain(str(value))


def reason_of(result: Mapping[str, Any], kind: str) -> str:
    """Why a task failed: of a loop, what its first failed turn says. Credentials are masked, the length is bounded."""
    turns = [turn for turn in result.get("results") or () if isinstance(turn, Mapping) and (turn.get("failed") or turn.get("unreachable"))]
    turn = next((turn for turn in turns if not turn.get("refusals")), None)
    message = None if turn is None or turn.get("_ansible_no_log") else turn.get("msg")
    unsaid = "failed_when was true" if kind == "failed" and result.get("failed_when_result") else kind
    text = _text(message or result.get("msg") or unsaid)
    text = text[len(PREFIX) :] if text.startswith(PREFIX) else text
    for pattern, mask in _CREDENTIALS:
        text = pattern.sub(mask, text[: 4 * REASON_LENGTH])
    return text if len(text) <= REASON_LENGTH else text[: REASON_LENGTH - 3] + "..."


@dataclass(frozen=True)
class Scope:
    """What a check looked at: its action, and a digest of every option that says where."""

    action: str
    options: Tuple[Tuple[str, str], ...]

    @classmethod
    def of(cls, action: str, node: str, args: Mapping[str, Any], item: Any, checked: Any) -> Scope:
        """A module that returns ``checked`` says it itself; otherwise its options and its turn of the loop do."""
        if checked is not None:
            return cls(action, (("checked", _digest(checked)), ("node", node)))
        options = {name: _digest(value) for name, value in args.items() if name not in NOT_SCOPE and value is not None}
        if item is not None:
            options["item"] = _digest(item)
        return cls(action, tuple(sorted(dict(options, node=node).items())))

    @property
    def id(self) -> str:
        """Short, and the same in every run that looks at the same thing in the same way."""
        return _digest([self.action, self.options])[:12]


def same_place(one: Scope, other: Scope) -> bool:
    """May a check and a fix that report the same code and subject speak of the same thing?"""
    if one.action == other.action:
        return one == other
    left, right = dict(one.options), dict(other.options)
    return all(left[name] == right[name] for name in left.keys() & right.keys()) and not any(LOCATION.match(name) for name in left.keys() ^ right.keys())


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def host_key(name: str) -> List[Tuple[int, Any]]:
    """Sorts fits-2 before fits-10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name)]


def undo_command(inventory: Sequence[str], origin: Any, undo_id: str) -> Tuple[str, List[str]]:
    """The command that takes a run back, and the options it must be given that no report may show."""
    given = {name: origin.args[name] for name in SHOWN_OPTIONS if origin.args.get(name) not in (None, "")}
    words = ["%s=%s" % (name, _quoted(_text(value))) for name, value in dict(undo_id=undo_id, **given).items()]
    command = ["ansible", origin.node] + _inventory(inventory) + ["-m", "fieldops.runbooks.runbook_undo", "-a", " ".join(words)]
    if origin.become:
        command += ["-b"] + (["--become-user", origin.become_user] if origin.become_user not in ("", "root") else [])
    return " ".join(map(_quoted, command)), [name for name in SECRET_OPTIONS if origin.args.get(name)]


def playbook_command(inventory: Sequence[str], playbook: str, variables: Mapping[str, Any], hosts: Sequence[str]) -> str:
    """The command that applies a remedy to the hosts that need it, and to no other."""
    command = ["ansible-playbook"] + _inventory(inventory) + [playbook]
    simple = {name: _simple(value) for name, value in variables.items()}
    if None in simple.values():
        command += ["-e", json.dumps(variables, sort_keys=True)]
    else:
        command += [word for name, value in simple.items() for word in ("-e", "%s=%s" % (name, value))]
    return " ".join(map(_quoted, command + ["--limit", ",".join(hosts)]))


def _simple(value: Any) -> Optional[str]:
    """As one would type it after ``-e``; nothing for what only JSON can say."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if isinstance(value, (bool, int, str)) and re.match(r"^[\w./:@+-]+$", text) else None


def _inventory(sources: Sequence[str]) -> List[str]:
    return [word for source in sources for word in ("-i", source)]


def _quoted(word: str) -> str:
    return word if re.match(r"^[\w@%+=:,./-]+$", word) else shlex.quote(word)
