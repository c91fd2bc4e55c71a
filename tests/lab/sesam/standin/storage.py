# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What survives a restart, in the data folder."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any


class Storage:
    """JSON files by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def load(self, name: str, otherwise: Any) -> Any:
        """What was kept under a name."""
        file = self.folder / f"{name}.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else otherwise

    def save(self, name: str, content: Any) -> None:
        """Keep it; whoever reads meanwhile has the former content."""
        with self._lock:
            part = self.folder / f".{name}.{os.getpid()}.part"
            part.write_text(json.dumps(content), encoding="utf-8")
            part.replace(self.folder / f"{name}.json")
