# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of Motr's objects, by m0cat and m0cp. Each call starts a client, which takes a second or more."""

from __future__ import annotations

import os
import tempfile
from typing import Any, Dict, List, Optional

from ..errors import MotrError
from ..ids import ObjectId
from .options import Client
from .run import Ended, find, run

_PARITY = "parity verification failed"


class Objects:
    """Reads, and overwrites what is there."""

    def __init__(self, client: Client, layout_id: int) -> None:
        client.require("endpoint", "ha_endpoint", "profile", "process")
        self.client, self.layout_id = client, layout_id
        self.cat, self.copy = find("m0cat", client.tools_dir), find("m0cp", client.tools_dir)

    def read(self, oid: ObjectId, offset: int, length: int, verify: bool = False) -> Optional[bytes]:
        """Bytes of an object. With ``verify`` None where its parity does not fit them; without, nobody looks at the parity."""
        with _directory() as directory:
            path = os.path.join(directory, "read")
            words = self._words(self.cat, oid, offset, length)
            ended = run([*words, *(["-r"] if verify else []), path], self.client.timeout)
            if ended.code:
                if verify and _PARITY in ended.errors:
                    return None
                raise MotrError("m0cat failed: %s" % _why(ended))
            data = _content(path)
        if len(data) != length:
            raise MotrError("m0cat gave %d bytes of %d" % (len(data), length))
        return data

    def overwrite(self, oid: ObjectId, offset: int, data: bytes) -> None:
        """One write: m0cp takes a block to be what it writes at once."""
        with _directory() as directory:
            path = os.path.join(directory, "write")
            try:
                with open(path, "wb") as file:
                    file.write(data)
            except OSError as exc:
                raise MotrError("the data cannot be put where m0cp reads them: %s. Nothing was written" % exc.strerror) from exc
            try:
                ended = run([*self._words(self.copy, oid, offset, len(data)), "-u", path], self.client.timeout)
            except MotrError as exc:
                raise MotrError("m0cp may have written a part: %s" % exc) from exc
        if ended.code:
            raise MotrError("m0cp failed, and may have written a part: %s" % _why(ended))

    def to_header(self) -> Dict[str, Any]:
        """For an undo."""
        return dict(self.client.to_header(), layout_id=self.layout_id)

    def _words(self, program: str, oid: ObjectId, offset: int, length: int) -> List[str]:
        client = self.client
        who = ["-l", client.endpoint, "-H", client.ha_endpoint, "-p", str(client.profile), "-P", str(client.process)]
        return [program, *who, "-o", str(oid), "-L", str(self.layout_id), "-s", str(length), "-c", "1", "-O", str(offset)]


def _directory() -> tempfile.TemporaryDirectory[str]:
    """Private, and gone afterwards."""
    try:
        return tempfile.TemporaryDirectory(prefix="fieldops-motr-")
    except OSError as exc:
        raise MotrError("there is no place for the data of an object: %s. Nothing was written" % exc.strerror) from exc


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise MotrError("m0cat ended well and wrote nothing") from None
    except OSError as exc:
        raise MotrError("what m0cat read cannot be read: %s" % exc.strerror) from exc


def _why(ended: Ended) -> str:
    return "it ended with %d: %s" % (ended.code, ended.why())
