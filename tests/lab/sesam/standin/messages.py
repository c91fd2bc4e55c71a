# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests and answers."""

from __future__ import annotations

import dataclasses
import html
import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclasses.dataclass
class Request:
    """What somebody asks."""

    method: str
    path: str
    parts: list[str]  # below /api, each decoded by itself
    query: dict[str, str]
    headers: Any
    body: bytes
    who: str = ""

    @classmethod
    def of(cls, method: str, target: str, headers: Any, body: bytes) -> Request:
        """From a request line."""
        split = urlsplit(target)
        parts = [unquote(part) for part in split.path.split("/")[1:]]
        query = {name: values[-1] for name, values in parse_qs(split.query, keep_blank_values=True).items()}
        return cls(method, split.path, parts[1:] if parts[:1] == ["api"] else ["?", *parts], query, headers, body)

    @property
    def form(self) -> dict[str, str]:
        """What a form has; anything else has no fields."""
        if not self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            return {}
        return {name: values[-1] for name, values in parse_qs(self.body.decode(errors="replace"), keep_blank_values=True).items()}

    @property
    def force(self) -> bool:
        """Whether errors are accepted."""
        return self.query.get("force", "").lower() == "true"


@dataclasses.dataclass
class Answer:
    """What it gets. An iterator is sent in pieces, and nobody knows beforehand how long it is."""

    status: int
    body: bytes | Iterator[bytes]
    kind: str = "application/json"
    headers: dict[str, str] = dataclasses.field(default_factory=dict)


class Problem(Exception):
    """An error, which is HTML for all who do not ask for JSON."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def as_json(content: Any, status: int = 200) -> Answer:
    """JSON."""
    return Answer(status, json.dumps(content).encode())


def in_pieces(items: Iterator[Any]) -> Answer:
    """A JSON array, one item after the other."""

    def pieces() -> Iterator[bytes]:
        before = b"["
        for item in items:
            yield before + json.dumps(item).encode()
            before = b","
        yield b"]" if before == b"," else b"[]"

    return Answer(200, pieces())


def problem(status: int, message: str, json_wanted: bool) -> Answer:
    """An error."""
    if json_wanted:
        return as_json({"status": status, "message": message}, status)
    title = f"{status} {HTTPStatus(status).phrase}"
    text = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head>\n<body><h1>{title}</h1>\n<p>{html.escape(message)}</p>\n</body></html>\n"
    return Answer(status, text.encode(), "text/html; charset=utf-8")
