# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of Motr's indices, by m0kv: without -s, so that any bytes are unambiguous, and with values in files, since everybody sees arguments."""

from __future__ import annotations

import errno
import os
from typing import Iterator, List, Mapping, Optional, Tuple

from .. import m0kv
from ..ids import Fid
from .errors import ToolError
from .options import Client
from .run import find, run

LARGEST = 1 << 20
"""Bytes of a value that are written; Motr's RPC takes no more in one message."""
_PAGE = 100
_KEY, _VALUE = "key", "value"
_ABSENT = -errno.ENOENT
_HINTS = {
    -errno.EADDRINUSE: "the client's endpoint is taken: give another one of hctl fetch-fids as endpoint, with its process",
    -errno.ENOENT: "the client's process or profile is not in the configuration: see hctl fetch-fids",
    -errno.EPROTO: "the server refuses, as one does that is stopping",
    -errno.ESHUTDOWN: "the server refuses requests",
    -errno.E2BIG: "the record is too large for one message",
}


class M0kv:
    """One index operation a call; each of them starts a client, which takes a second or more."""

    transport = "m0kv"

    def __init__(self, client: Client) -> None:
        client.require("endpoint", "ha_endpoint", "profile", "process")
        self.client = client
        self.program = find("m0kv", client.tools_dir)

    def get(self, index: Fid, key: bytes) -> Optional[bytes]:
        """A value; None where there is no such record, or no such index."""
        answer = self._index("get", index, "@" + _KEY, files={_KEY: m0kv.file_line(key)})
        if answer.failed == _ABSENT and not answer.started:
            return None
        self._check("get", answer)
        values = [value for found, value in answer.rows if found == key]
        if len(values) != 1:
            raise ToolError("m0kv get printed %d records for one key" % len(answer.rows))
        return values[0]

    def require_index(self, index: Fid) -> None:
        """An index that is not there has no record either, and it is another fault: ToolError."""
        answer = self._index("lookup", index)
        self._check("lookup", answer)
        if answer.found == _ABSENT:
            raise ToolError("there is no index %s; m0kv index list '<0:0>' 100 shows those that there are" % (index,))

    def put(self, index: Fid, key: bytes, value: bytes) -> None:
        """Overwrites what is there."""
        if len(value) > LARGEST:
            raise ToolError("the value has %d bytes; at most %d are written" % (len(value), LARGEST))
        self._check("put", self._index("put", index, "@" + _KEY, "@" + _VALUE, files={_KEY: m0kv.file_line(key), _VALUE: m0kv.file_line(value)}))

    def delete(self, index: Fid, key: bytes) -> None:
        answer = self._index("del", index, "@" + _KEY, files={_KEY: m0kv.file_line(key)})
        if answer.failed != _ABSENT or answer.started:
            self._check("del", answer)

    def following(self, index: Fid, start: bytes, count: int) -> List[Tuple[bytes, bytes]]:
        """Records from a key on, the key itself included. m0kv reads no start key from a file."""
        answer = self._index("next", index, m0kv.literal(start), str(count))
        if answer.failed == _ABSENT and not answer.started:
            return []
        self._check("next", answer)
        return list(answer.rows)

    def beginning_with(self, index: Fid, prefix: bytes, limit: int) -> Iterator[Tuple[bytes, bytes]]:
        """Records whose keys begin so, in their order; at most ``limit``."""
        start, given = prefix, 0
        while True:
            rows = self.following(index, start, _PAGE)
            fresh = rows[1:] if given and rows and rows[0][0] == start else rows
            for key, value in fresh:
                if not key.startswith(prefix) or given >= limit:
                    return
                given += 1
                start = key
                yield key, value
            if len(rows) < _PAGE or not fresh:
                return

    def _index(self, verb: str, index: Fid, *words: str, files: Optional[Mapping[str, str]] = None) -> m0kv.Answer:
        client = self.client
        # m0kv counts its options as words of their own (cmd_main.c, opts_get).
        common = ["-l", client.endpoint, "-h", client.ha_endpoint, "-p", str(client.profile), "-f", str(client.process)]
        ended = run([self.program, *common, "index", verb, str(index), *words], client.timeout, files)
        answer = m0kv.parse(ended.output)
        if answer.rc is None and not answer.started:
            raise ToolError("m0kv %s ended with %d before it did anything: %s" % (verb, ended.code, ended.why()))
        if ended.code and not answer.failed:
            raise ToolError("m0kv %s ended with %d: %s" % (verb, ended.code, ended.why()))
        return answer

    def _check(self, verb: str, answer: m0kv.Answer) -> None:
        code = answer.failed
        if code:
            hint = _HINTS.get(code, "") if answer.started or code != _ABSENT else ""
            what = "m0kv cannot start its client" if answer.started else "m0kv %s failed" % verb
            raise ToolError("%s with %d (%s)%s" % (what, code, os.strerror(-code), ": " + hint if hint else ""))
