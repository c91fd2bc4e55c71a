# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of Motr's indices, by the internal interface of s3server (server/motr_uri.cc). It reads only, and keys and values are text."""

from __future__ import annotations

from typing import Any, Iterator, Optional, Tuple
from urllib.parse import quote

from ...connect.http import Answer, ask
from ..ids import Fid
from ..s3names import encode_oid
from .errors import ToolError

_LIMIT = 16 << 20
_PAGE = 100


class S3Rest:
    """The same questions as those of m0kv."""

    transport = "s3"

    def __init__(self, url: str, timeout: float, ca_cert: Optional[str] = None, verify: bool = True) -> None:
        self.url, self.timeout, self.ca_cert, self.verify = url.rstrip("/"), timeout, ca_cert, verify

    def get(self, index: Fid, key: bytes) -> Optional[bytes]:
        answer = self._ask("%s/%s" % (_path(index), quote(key, safe="")))
        return None if answer is None else answer.body

    def beginning_with(self, index: Fid, prefix: bytes, limit: int) -> Iterator[Tuple[bytes, bytes]]:
        """A listing begins after its marker, and is filtered by the server."""
        marker, given = b"", 0
        while True:
            query = "prefix=%s&max-keys=%d" % (quote(prefix, safe=""), _PAGE) + ("&marker=%s" % quote(marker, safe="") if marker else "")
            listing = self._listing("%s?%s" % (_path(index), query))
            for row in listing.get("Keys") or ():
                if given >= limit:
                    return
                given += 1
                marker = str(row["Key"]).encode("utf-8")
                yield marker, str(row["Value"]).encode("utf-8")
            if str(listing.get("IsTruncated")).lower() != "true" or not listing.get("Keys"):
                return

    def _listing(self, path: str) -> Any:
        answer = self._ask(path)
        if answer is None:
            return {}
        try:
            found = answer.json()
        except ValueError as exc:
            raise ToolError("%s does not answer with a listing in JSON: %s" % (answer.url, exc)) from None
        return found if isinstance(found, dict) else {}

    def _ask(self, path: str) -> Optional[Answer]:
        answer = ask(self.url + path, timeout=self.timeout, limit=_LIMIT, verify=self.verify, ca_cert=self.ca_cert, follow=0)
        if answer.kind:
            raise ToolError("s3server does not answer: %s" % answer.error)
        if answer.status == 404:
            return None
        if not answer.ok or answer.truncated:
            raise ToolError("%s answers %s%s" % (answer.url, answer.status, ", with more than is read" if answer.truncated else ""))
        return answer


def _path(index: Fid) -> str:
    return "/indexes/%s" % quote(encode_oid(index), safe="")
