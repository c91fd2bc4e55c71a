# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials that stand in a configuration in clear, though the node has a place for them: what looks like one is never shown, and never kept. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..procedure.envelope import canonical
from .metadata import Entity, plain

HIDDEN = "********"
_NAME = re.compile(
    r"token|secret|passw|passphrase|credential|authori[sz]ation|api[_-]?key|private[_-]?key|access[_-]?key|account[_-]?key|shared[_-]?key"
    r"|connection[_-]?string|jwt|licen[sc]e[_-]?key|^cookie$|(^|[_-])(pass|pwd|sas)$",
    re.IGNORECASE,
)
_INNOCENT = re.compile(r"(^|[_-])(urls?|uri|endpoint|path|types?|names?|ids?|header|field|property|expiry|timeout|method)$", re.IGNORECASE)
"""Ends of names that speak of a credential and hold none."""
_VALUE = re.compile(
    r"://(?!:?@)[^/\s@]+@"  # user and password, or a token, in a URL
    r"|\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{16,}|\bglpat-[\w-]{16,}"
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]+"
    r"|-----BEGIN "
    r"|\b(?:Bearer|Basic)\s+\S{8,}"
    r"|\b(?:Authorization|password|passwd|pwd|token|secret|api[_-]?key|AccountKey|SharedAccessSignature)\s*=",
    re.IGNORECASE,
)
_HINTS = ("@", "gh", "github_pat_", "glpat-", "eyj", "-----begin ", "bearer", "basic", "=")
"""One of these is in whatever ``_VALUE`` finds: a configuration has megabytes, and to look for a word is much quicker."""
_REFERENCE = re.compile(r"\s*(?:(?:Bearer|Basic|Token)\s+)?\$(?:SECRET|ENV)\([^()]*\)\s*", re.IGNORECASE)
"""Where the value itself is kept by the node."""
_INLINE = re.compile(r"\$(?:SECRET|ENV)\([^()]*\)")
_ROUNDS = 20_000
_SHOWN = 200
_ABSENT = object()
Path = Tuple[str, ...]


def is_secret(name: str, value: Any) -> bool:
    """By the name of its key or by what it looks like. A reference to a secret is none, nor is what only a program can read as one."""
    if not isinstance(value, str) or not value or _REFERENCE.fullmatch(value):
        return False
    return _speaks(name) or _is_credential(value)


def _is_credential(value: str) -> bool:
    lower = value.lower()
    return any(hint in lower for hint in _HINTS) and _VALUE.search(_INLINE.sub("", value)) is not None


def _speaks(name: str) -> bool:
    return _NAME.search(name) is not None and _INNOCENT.search(name) is None


def secrets(value: Any, name: str = "") -> Iterator[Tuple[Path, str]]:
    """Credentials anywhere in a value, each with the way to it. What is below a key that speaks of secrets is one."""
    stack: List[Tuple[Path, str, Any]] = [((), name, value)]
    while stack:
        path, key, each = stack.pop()
        if isinstance(each, Mapping):
            stack += [((*path, str(own)), key if _speaks(key) else str(own), below) for own, below in each.items()]
        elif isinstance(each, (list, tuple)):
            stack += [((*path, str(n)), key, below) for n, below in enumerate(each)]
        elif is_secret(key, each):
            yield path, each


def fingerprint(entity: Entity) -> str:
    """Tells an entity from others, for a journal and a result. One that holds a credential gets a slow and short one, which gives nothing away."""
    text = canonical(plain(entity)).encode("ascii")
    if next(secrets(entity), None) is not None:
        return "slow:" + hashlib.pbkdf2_hmac("sha256", text, b"fieldops.runbooks", _ROUNDS).hex()[:12]
    return hashlib.sha256(text).hexdigest()[:32]


def shown(path: Sequence[str], value: Any) -> Any:
    """A value for a person: no credential, and not too long."""
    if any(map(_speaks, path)) and isinstance(value, (str, Mapping, list)) and not _only_references(value):
        return HIDDEN
    if next(secrets(value), None) is not None:
        return HIDDEN
    text = canonical(value)
    if len(text) <= _SHOWN:
        return value
    return "%s ... (%d characters)" % (text[:_SHOWN], len(text))


def _only_references(value: Any) -> bool:
    return isinstance(value, str) and (not value or _REFERENCE.fullmatch(value) is not None)


def scrubbed(text: str, hidden: Sequence[str]) -> str:
    """A text of the node without credentials of the configuration that it was sent."""
    for each in sorted(hidden, key=len, reverse=True):
        if len(each) >= 4:
            text = text.replace(each, HIDDEN)
    return text if _VALUE.search(text) is None else _VALUE.sub(HIDDEN, text)


def differences(before: Any, after: Any, limit: int = 50) -> List[Dict[str, Any]]:
    """Keys that differ between two entities, with their values as far as they may be shown. Lists are one value, unless of the same length."""
    found: List[Dict[str, Any]] = []
    stack: List[Tuple[Path, Any, Any]] = [((), before, after)]
    while stack and len(found) <= limit:
        path, old, new = stack.pop()
        below = _below(old, new)
        if below is not None:
            stack += [((*path, key), one, other) for key, one, other in reversed(below)]
        elif old is _ABSENT or new is _ABSENT or canonical(old) != canonical(new):
            values = [None if each is _ABSENT else shown(path, each) for each in (old, new)]
            found.append({"key": ".".join(path), "before": values[0], "after": values[1]})
    return found[:limit]


def _below(old: Any, new: Any) -> Optional[List[Tuple[str, Any, Any]]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [(str(key), old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in sorted({*old, *new})]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [(str(n), one, other) for n, (one, other) in enumerate(zip(old, new))]
    return None
