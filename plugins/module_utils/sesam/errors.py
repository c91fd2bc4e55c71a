# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of Sesam: a kind for programs, one sentence for people."""

from __future__ import annotations

from typing import Optional

KINDS = (
    "auth",
    "not_found",
    "conflict",
    "bad_request",
    "unavailable",
    "server_error",
    "redirect",
    "unreachable",
    "timeout",
    "tls",
    "not_json",
    "too_long",
)


class SesamError(Exception):
    """Something about a node that a person can act on. ``text`` never holds the token.

    ``kind`` is one of KINDS. ``cause`` is the finer word of the connection where there was no answer (refused, closed, dns, protocol, ...),
    ``connected`` whether something took the connection, and ``status`` that of the answer.
    """

    def __init__(self, text: str, kind: str = "bad_request", status: Optional[int] = None, cause: str = "", connected: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.kind = kind
        self.status = status
        self.cause = cause or kind
        self.connected = connected
