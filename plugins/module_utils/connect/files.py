# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files: the end of a log, without reading the rest."""

from __future__ import annotations

import os
from typing import List


def tail(path: str, size: int = 65536) -> List[str]:
    """The last complete lines within ``size`` bytes of a file, oldest first."""
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        end = file.tell()
        file.seek(max(0, end - size))
        data = file.read(size)
    # Only a newline ends a line: other separators may be part of a name in it. What is still being written is not a line.
    lines = data.decode("utf-8", "replace").split("\n")[:-1]
    return lines[1:] if end > size else lines
