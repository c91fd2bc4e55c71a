# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Consul's HTTP API as far as Hare's state needs it: trees of keys, health of nodes, and transactions, each in one question."""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import quote

from ...connect.http import Answer, ask
from ..errors import MotrError

LIMIT = 64 * 1024 * 1024
"""Bytes of an answer that are held in memory at most."""
_HIDDEN = "********"
_SENTENCE = 300


class Item(NamedTuple):
    """A key as it is. ``modify_index`` is raised by every write."""

    key: str
    value: str
    modify_index: int


class Conflict(NamedTuple):
    """One operation for which a whole transaction was not made."""

    number: int
    what: str


class Lost(MotrError):
    """No answer came to a write, or one that does not tell, so nobody knows whether it was made."""


def put(key: str, value: str, index: Optional[int] = None) -> Dict[str, Any]:
    """The operation that sets a key; with ``index`` only if nobody wrote it since. Index 0 wants it not to be there."""
    operation: Dict[str, Any] = {"Verb": "set", "Key": key, "Value": base64.b64encode(value.encode("utf-8")).decode("ascii")}
    if index is not None:
        operation.update(Verb="cas", Index=index)
    return {"KV": operation}


def unmoved(key: str, index: int) -> Dict[str, Any]:
    """The operation that fails where somebody wrote a key since."""
    return {"KV": {"Verb": "check-index", "Key": key, "Index": index}}


class Consul:
    """One agent. Each question takes ``timeout`` seconds at most."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.url = _address(str(params["consul_url"]))
        self.timeout = float(params["timeout"])
        if not 0 < self.timeout <= 600 or not math.isfinite(self.timeout):
            raise MotrError("timeout must be more than 0 and at most 600 seconds, not %g" % self.timeout)
        self._verify = bool(params["validate_certs"])
        self._ca_cert: Optional[str] = params["ca_cert"]
        self._token = str(params.get("consul_token") or "").strip()
        if any(not "!" <= sign <= "~" for sign in self._token):
            raise MotrError("consul_token: there are blanks, line breaks or signs other than ASCII in it, which no token has")

    def trees(self, prefixes: Sequence[str]) -> Dict[str, Item]:
        """All keys below some prefixes, as they were at one moment."""
        answer = self._txn([{"KV": {"Verb": "get-tree", "Key": prefix}} for prefix in prefixes])
        found = self._json(answer)
        rows = [row["KV"] for row in (found.get("Results") or []) if isinstance(row, dict) and isinstance(row.get("KV"), dict)]
        return {item.key: item for item in map(_item, rows)}

    def get(self, keys: Sequence[str]) -> Dict[str, Item]:
        """These very keys, as far as they are there."""
        found = self.trees(keys)
        return {key: found[key] for key in keys if key in found}

    def names(self, prefix: str) -> List[str]:
        """Names of the keys below a prefix, without their values."""
        path = "/v1/kv/%s?keys=true" % quote(prefix)
        answer = self._ask("GET", path)
        if answer.status == 404 and not answer.kind:
            return []
        found = self._json(self._good(path, answer))
        return [str(name) for name in found] if isinstance(found, list) else []

    def health(self) -> Dict[str, str]:
        """Status of each node's first check by its id, which is the one that Hare goes by (hax/util.py, get_node_health_status)."""
        path = "/v1/health/state/any"
        found = self._json(self._good(path, self._ask("GET", path)))
        rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
        first: Dict[str, Tuple[str, str]] = {}
        for row in rows:
            node, check = str(row.get("Node")), (str(row.get("CheckID")), str(row.get("Status")))
            first[node] = min(first.get(node, check), check)
        return {node: check[1] for node, check in first.items()}

    def write(self, operations: Sequence[Mapping[str, Any]]) -> List[Conflict]:
        """All operations, or none; then those whose key somebody else has written. MotrError for every other reason."""
        answer = self._txn(operations, writes=True)
        told = _errors(answer)
        if told is None:
            raise Lost("what answers at %s (%s) is not Consul, or not well: whether the change was made is not known. Look again." % (self.url, answer.status))
        if answer.status != 409 and not told:
            return []
        told = told or [Conflict(0, "no reason is given")]
        other = [each for each in told if "stale" not in each.what and "index" not in each.what]
        if other:
            hint = " Give a token that may write, as consul_token." if "ermission denied" in other[0].what else ""
            raise MotrError(self._scrub("Consul at %s refused the change, and nothing was changed: %s.%s" % (self.url, other[0].what, hint)))
        return told

    def _txn(self, operations: Sequence[Mapping[str, Any]], writes: bool = False) -> Answer:
        body = json.dumps(list(operations)).encode("ascii")
        answer = self._ask("PUT", "/v1/txn", body)
        if writes and answer.kind not in ("", "refused", "dns", "tls", "bad_url", "bad_request") and answer.connected:
            raise Lost(self._scrub("%s took the change and gave no answer (%s): whether it was made is not known. Look again." % (self.url, answer.error)))
        if writes and answer.status is not None and answer.status >= 500:
            # A leader that is lost while it commits may have handed the change on, and its successor makes it then.
            text = "Consul at %s took the change and failed (%s): %s: whether it was made is not known. Look again when it has a leader."
            raise Lost(self._scrub(text % (self.url, answer.status, _said(answer))))
        return answer if answer.status == 409 and not answer.kind else self._good("/v1/txn", answer)

    def _ask(self, method: str, path: str, body: Optional[bytes] = None) -> Answer:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self._token:
            headers["X-Consul-Token"] = self._token
        # No redirect is followed: the token is for this server.
        return ask(self.url + path, method, body, headers, self.timeout, LIMIT, verify=self._verify, ca_cert=self._ca_cert, follow=0)

    def _good(self, path: str, answer: Answer) -> Answer:
        if answer.ok:
            return answer
        if answer.kind:
            raise MotrError(self._scrub("Consul at %s: %s" % (self.url, answer.error)))
        said = _said(answer)
        if answer.status in (401, 403):
            raise MotrError(self._scrub("Consul at %s does not permit this (%s): give a token that may, as consul_token. %s" % (self.url, answer.status, said)))
        if answer.status is not None and answer.status >= 500:
            raise MotrError(self._scrub("Consul at %s cannot answer now (%s): %s" % (self.url, answer.status, said)))
        raise MotrError(self._scrub("Consul at %s answers %s with status %s: %s" % (self.url, path.partition("?")[0], answer.status, said)))

    def _json(self, answer: Answer) -> Any:
        try:
            return answer.json()
        except (ValueError, RecursionError):
            why = "is longer than %d bytes" % LIMIT if answer.truncated else "is not JSON"
            raise MotrError("what answers at %s is not Consul, or not well: its answer %s" % (self.url, why)) from None

    def _scrub(self, text: str) -> str:
        return text.replace(self._token, _HIDDEN) if self._token else text


def _address(given: str) -> str:
    """Of an agent. What is secret in a URL would be seen in results and in the journal."""
    if any(sign in given for sign in "@?#"):
        raise MotrError(
            "consul_url has a user, a password, a query or a fragment in it, which would be seen in logs: "
            "give the address of the agent alone, as http://127.0.0.1:8500, and a token as consul_token"
        )
    bare = given.strip().rstrip("/")
    return bare if "://" in bare else "http://" + bare


def _said(answer: Answer) -> str:
    return " ".join(answer.body[:_SENTENCE].decode("utf-8", "replace").split())


def _errors(answer: Answer) -> Optional[List[Conflict]]:
    """What Consul says against a transaction; None where the answer is not one of Consul's."""
    try:
        found = answer.json()
        return [Conflict(int(each.get("OpIndex", 0)), str(each.get("What", ""))) for each in found["Errors"] or ()]
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return None


def _item(row: Mapping[str, Any]) -> Item:
    try:
        # Bytes that are no text are spelt so that they are no JSON either: nobody takes such a value for whole, or writes it back as another one.
        value = base64.b64decode(row.get("Value") or "").decode("utf-8", "backslashreplace")
    except (binascii.Error, ValueError):
        value = ""
    return Item(str(row.get("Key")), value, int(row.get("ModifyIndex") or 0))
