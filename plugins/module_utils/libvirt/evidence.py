# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The XML of domains, kept before they are destroyed: of a transient one nothing else is left, and ``virsh create FILE`` makes it anew.

One directory for each run below ``evidence`` of the journal's directory, a file for each domain, without secrets. The oldest go first.
"""

from __future__ import annotations

from typing import Sequence

from ..procedure import evidence
from ..procedure.errors import JournalError
from .domain_xml import without_secrets
from .domains import Domain

_WHAT = "the XML of domains"


def keep(directory: str, domains: Sequence[Domain]) -> None:
    evidence.make(directory, _WHAT)
    try:
        for domain in domains:
            # The kind is the end of the name, which the whole name may be too long for.
            name = "%s.%s.xml" % (evidence.file_name(domain.name)[:100], "persistent" if domain.persistent else "transient")
            evidence.write(directory, name, without_secrets(domain.xml).encode("utf-8"))
    except OSError as exc:
        raise JournalError("%s cannot be kept in %s: %s. Nothing was changed" % (_WHAT, directory, exc.strerror)) from exc
