# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the laboratory wants of the node: one JSON file in a folder of its own, looked at again and again."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

VARIABLE = "LAB_SESAM"
CONTROL, REQUESTS = "control.json", "requests.jsonl"
FRESH = 0.05  # seconds for which the file is not looked at again
DEFAULTS = {
    # Looked at when it starts.
    "address": "127.0.0.1",
    "port": 9042,
    "certificate": "",  # a file with certificate and key: TLS
    "subscription": "8f4b6c1e-2d0a-4d5e-9b1f-77aa00bb11cc",
    "jwt_key": "laboratory",
    "argv0": "python",  # or "lake": what /proc says of the process
    "sigusr1": "caught",  # or "default": it dies of the signal
    "start_seconds": 0.0,  # 503 for so long
    "startup_invalid": "refuse",  # of startup_options.json: it does not start, or "ignore"
    "log_mode": 0o777,
    "log_bytes": 10_000_000,  # a log is rotated when it has so many
    # Looked at all the time.
    "auth": True,
    "frozen_api": False,  # connections are accepted, and nobody answers; "once": until it is started again
    "frozen_paths": [],  # the same for paths (below /api) that begin so
    "slow_seconds": 0.0,
    "unavailable": False,  # 503 to everything
    "unwell": [],  # what /health complains about; it is 503 then
    "html_errors": False,  # also to those who asked for JSON
    "echo_token": False,  # errors quote the Authorization header
    "not_json": False,  # a login page of some proxy, with 200
    "cut_answers": False,  # half of the body, then the end
    "missing": [],  # paths (below /api) that this release does not have: 404
    "signal": "written",  # or "lost": the signal is caught, and nothing comes of it
    "stacktrace_seconds": 0.0,  # from the first byte of the file to the last
    "stacktrace_bytes": 279164,
    "run_seconds": 0.2,
    "stop_seconds": 0.5,
    "deploying_seconds": 0.5,
    "restart_seconds": 0.5,  # nobody listens
    "restarts": True,  # or it says OK and does not
    "crash_pipe": "",  # the node dies when this pipe runs
    "failing_pipes": [],
    "subnode_down": [],  # pipes of which only an old status is known
    "health_interval": 5.0,
    "health_timeout": 10.0,
    "intruder": None,  # [group, entity]: somebody else uploads this right after the next GET of the configuration or the metadata
    "internal_pipes": 2,
    "padding": 1,  # how much a pipe's queues hold; 1 makes 2 to 3 kB of a pipe
}


class Settings:
    """The file's content over the defaults."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._seen: Any = None
        self._looked = float("-inf")
        self._values: dict[str, Any] = dict(DEFAULTS)

    @classmethod
    def from_environment(cls) -> Settings:
        """The folder that the laboratory gave."""
        return cls(Path(os.environ[VARIABLE]))

    def __getitem__(self, name: str) -> Any:
        with self._lock:
            self._refresh()
            return self._values[name]

    def _refresh(self) -> None:
        if time.monotonic() - self._looked < FRESH:
            return
        self._looked = time.monotonic()
        file = self.folder / CONTROL
        try:
            seen = file.stat()
            if self._seen != (seen.st_mtime_ns, seen.st_ino):
                self._values = {**DEFAULTS, **json.loads(file.read_text(encoding="utf-8"))}
                self._seen = (seen.st_mtime_ns, seen.st_ino)
        except (OSError, ValueError):
            return

    def change(self, **values: Any) -> None:
        """Write values; by the laboratory, and by the node for what happens once."""
        write(self.folder, **values)
        with self._lock:
            self._looked = float("-inf")


def write(folder: Path, **values: Any) -> None:
    """Change values in the file, all at once."""
    file = folder / CONTROL
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    unknown = sorted(set(values) - set(DEFAULTS))
    if unknown:
        raise ValueError(f"no such settings: {', '.join(unknown)}; there are {', '.join(DEFAULTS)}")
    part = folder / f"{CONTROL}.{os.getpid()}.{threading.get_ident()}"
    part.write_text(json.dumps({**known, **values}), encoding="utf-8")
    part.chmod(0o666)
    part.replace(file)
