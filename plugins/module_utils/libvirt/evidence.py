# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The XML of domains, kept before they are destroyed: of a transient one nothing else is left, and ``virsh create FILE`` makes it anew.

One directory for each run below ``evidence`` of the journal's directory, a file for each domain, without secrets. The oldest go first.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from typing import Sequence

from ..procedure.directory import make_directories, unsafe
from ..procedure.errors import JournalError
from .domain_xml import without_secrets
from .domains import Domain

RUNS_KEPT = 100


def place(journal: str) -> str:
    """The directory of a run that begins now."""
    seconds, rest = divmod(time.time_ns(), 10**9)  # a second may see several runs
    return os.path.join(journal, "evidence", "%s-%09d" % (time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds)), rest))


def keep(directory: str, domains: Sequence[Domain]) -> None:
    above = os.path.dirname(directory)
    reason = unsafe(above)
    if reason:
        raise JournalError("the XML of domains cannot be kept: %s. Nothing was changed" % reason)
    try:
        make_directories(above)
        _prune(above)
        os.mkdir(directory, 0o700)
        for domain in domains:
            name = "%s.%s.xml" % (re.sub(r"[^A-Za-z0-9_.@-]", "_", domain.name)[:100].lstrip(".") or "_", "persistent" if domain.persistent else "transient")
            handle = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(without_secrets(domain.xml))
    except OSError as exc:
        raise JournalError("the XML of domains cannot be kept below %s: %s. Nothing was changed" % (above, exc.strerror)) from exc


def _prune(above: str) -> None:
    """The newest stay; their names begin with the time. Links are left alone."""
    names = sorted(name for name in os.listdir(above) if re.fullmatch(r"\d{8}T\d{6}-\d+", name))
    for name in names[: max(0, len(names) - RUNS_KEPT + 1)]:
        path = os.path.join(above, name)
        if not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
