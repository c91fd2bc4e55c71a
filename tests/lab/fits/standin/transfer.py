# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a destination about a file and posting it there, over HTTP as the exporters do."""

from __future__ import annotations

import bz2
import hashlib
import http.client
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any


class TransferError(Exception):
    """`kind` is one of those in `failures`."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass
class There:
    """What the destination says about a file."""

    md5: str | None = None
    pending: bool = False


def ask(destination: str, path: str | None, filename: str, timeout: float | None) -> There:
    """`path` None asks as A does: by name, whatever it is; C asks for a path, and without .bz2."""
    where = f"filename={filename}" if path is None else f"path={path}/filename={filename.removesuffix('.bz2')}"
    try:
        found = json.loads(_request(f"{destination}/jsonfilelist/present/{where}", None, timeout))
    except (TransferError, ValueError) as error:
        raise TransferError("transfer", str(error)) from error
    if len(found) > 1:
        raise TransferError("transfer", f"{len(found)} results")
    return There(found[0]["data_md5"], bool(found[0].get("pending_ingest"))) if found else There()


def send(destination: str, path: str | None, filename: str, full: str, timeout: float) -> int:
    """Post the file, always as bz2; C names a path in the URL, A does not. Returns how many bytes that were."""
    with open(full, "rb") as handle:
        data = handle.read()
    if not filename.endswith(".bz2"):
        filename, data = filename + ".bz2", bz2.compress(data)
    answer = _request("/".join(filter(None, (destination, "upload_file", path, filename))), data, timeout)
    wanted: dict[str, Any] = {"filename": filename, "size": len(data), "md5": hashlib.md5(data, usedforsecurity=False).hexdigest()}
    try:
        got = json.loads(answer)[0]
    except (ValueError, TypeError, LookupError) as error:
        raise TransferError("verification", "Exception during transfer verification") from error
    for name, value in wanted.items():
        if got.get(name) != value:
            label = "Filename" if name == "filename" else name
            raise TransferError("verification", f"Transfer Verification {label} mismatch: {got.get(name)} vs {value}")
    return len(data)


def _request(url: str, data: bytes | None, timeout: float | None) -> bytes:
    headers = {"Content-Type": "application/octet-stream"} if data is not None else {}
    request = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310 - the URL is configuration
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        raise TransferError("status", f"Bad HTTP status: {error.code} from upload post to url: {url}") from error
    except TimeoutError as error:
        raise TransferError("timeout", f"Timeout posting to: {url}") from error
    except (OSError, http.client.HTTPException) as error:
        kind = "timeout" if isinstance(getattr(error, "reason", None), TimeoutError) else "connection"
        word = "Timeout" if kind == "timeout" else "ConnectionError"
        raise TransferError(kind, f"{word} posting to: {url}") from error


def source(storage_root: str, path: str | None, filename: str) -> str:
    """The file that is sent."""
    return os.path.join(storage_root, path or "", filename)
