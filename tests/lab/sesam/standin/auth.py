# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks, and what they may: JSON web tokens with principals."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

ADMIN, DEVELOPER, ANONYMOUS = "group:Admin", "group:Developer", "group:Anonymous"
HEALTH = "health-checker"


class Refused(Exception):
    """Nobody that is known, or somebody who may not."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def issue(key: str, subscription: str, roles: list[str], lifetime: float = 3600.0, name: str = "laboratory") -> str:
    """A token."""
    now = int(time.time())
    payload = {"iat": now, "exp": int(now + lifetime), "user_id": name, "principals": {subscription: roles}}
    head = f"{_encode(json.dumps({'typ': 'JWT', 'alg': 'HS256'}).encode())}.{_encode(json.dumps(payload).encode())}"
    return f"{head}.{_sign(key, head)}"


def roles_of(header: str, key: str, subscription: str) -> tuple[str, list[str]]:
    """Name and roles of whoever sent this Authorization header."""
    scheme, _space, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(401, "Missing 'Authorization' header with a 'Bearer' token")
    head, _dot, signature = token.rpartition(".")
    if not hmac.compare_digest(_sign(key, head).encode(), signature.encode(errors="replace")):
        raise Refused(401, "The 'Authorization' header isn't valid: Signature verification failed")
    payload: dict[str, Any] = json.loads(_decode(head.partition(".")[2]))
    if payload["exp"] < time.time():
        raise Refused(401, "The 'Authorization' header isn't valid: Signature has expired")
    return str(payload["user_id"]), list(payload["principals"].get(subscription, []))


def need(roles: list[str], admin: bool, changing: bool) -> None:
    """Let them, or not."""
    wanted = [ADMIN] if admin else [ADMIN, DEVELOPER] if changing else [ADMIN, DEVELOPER, ANONYMOUS]
    if not set(wanted) & set(roles):
        raise Refused(403, f"You don't have the required permission: it takes one of {wanted!r}")


def _sign(key: str, text: str) -> str:
    return _encode(hmac.new(key.encode(), text.encode(errors="replace"), hashlib.sha256).digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
