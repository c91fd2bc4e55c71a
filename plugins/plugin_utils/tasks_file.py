# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks as a file to be included. What came from a host is marked as no template."""

from __future__ import annotations

import os
import tempfile
from typing import Any, Mapping, Sequence

import yaml


class _Dumper(yaml.SafeDumper):
    """Writes aliases out, and marks what is no template."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class Said(str):
    """Text that came from a host."""


_Dumper.add_representer(Said, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text)))


def said(value: Any) -> Any:
    """All texts in it, however deep."""
    if isinstance(value, str):
        return Said(value)
    if isinstance(value, Mapping):
        return {str(key): said(each) for key, each in value.items()}
    return [said(each) for each in value] if isinstance(value, (list, tuple)) else value


def write_tasks(tasks: Sequence[Mapping[str, Any]], directory: str, prefix: str) -> str:
    """The path of a new file."""
    descriptor, path = tempfile.mkstemp(prefix=prefix, suffix=".yml", dir=directory)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yaml.dump(list(tasks), file, Dumper=_Dumper, sort_keys=False, allow_unicode=False, width=1000)
    return path
