# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a configuration travels: JSON, a zip, or a zip in a form."""

from __future__ import annotations

import io
import json
import zipfile
from email import message_from_bytes
from typing import Any
from urllib.parse import quote


def parse(body: bytes, kind: str) -> list[Any]:
    """The entities of an upload; ValueError if there are none to be seen."""
    if kind.startswith("multipart/form-data"):
        message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
        parts = message.get_payload()
        if not isinstance(parts, list):
            raise ValueError("the form has no parts")
        for part in parts:
            if part.get_param("name", header="Content-Disposition") == "file":  # type: ignore[union-attr]
                content = part.get_payload(decode=True)  # type: ignore[union-attr]
                return parse(content, "application/zip" if content[:2] == b"PK" else "application/json")  # type: ignore[arg-type,index]
        raise ValueError("the form has no field 'file'")
    if kind.startswith("application/zip") or body[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            return [json.loads(archive.read(name)) for name in archive.namelist() if name.endswith(".conf.json")]
    posted = json.loads(body)
    return posted if isinstance(posted, list) else [posted]


def pack(entities: list[Any]) -> bytes:
    """A zip, as those who keep it in git have it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for entity in entities:
            folder = "pipes" if entity.get("type") == "pipe" else "systems"
            name = "node-metadata.conf.json" if entity.get("type") == "metadata" else f"{folder}/{quote(entity['_id'], safe='')}.conf.json"
            archive.writestr(name, json.dumps({key: value for key, value in entity.items() if key != "$audit"}, indent=2))
    return packed.getvalue()
