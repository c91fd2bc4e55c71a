# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of Talus are called. Forks spell them with underscores or with hyphens, and nothing here assumes one spelling."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

COMPONENTS = ("db", "amqp", "web")
DAEMONS = ("master", "slave")
UNDERSCORE, HYPHEN = "underscore", "hyphen"
SIGNS = {UNDERSCORE: "_", HYPHEN: "-"}
SPELLINGS = tuple(SIGNS)
FILE = "talus.rst"
"""The runbook."""

_CONTAINER = re.compile(r"talus(?P<sign>[-_])(?P<component>db|amqp|web)(?:[-_](?P<kind>dev|shell))?(?:[-_]\d+)?")
_UNIT = re.compile(r"(?:docker\.)?talus(?P<sign>[-_])(?P<component>db|amqp|web|master|slave)(?:\.service)?")


@dataclass(frozen=True)
class Named:
    """What a name says. ``kind`` is service, dev or shell."""

    component: str
    spelling: str
    kind: str = "service"


def container_named(name: str) -> Optional[Named]:
    """From the name or hostname of a container; a number at its end, as compose appends it, is of no account."""
    found = _CONTAINER.fullmatch(name)
    return Named(found["component"], _spelling(found["sign"]), found["kind"] or "service") if found else None


def image_named(image: str) -> Optional[Named]:
    """From the name of an image: registry, owner and tag are of no account."""
    last = image.partition("@")[0].rpartition("/")[2]
    return container_named(last.partition(":")[0])


def unit_named(name: str) -> Optional[Named]:
    """From a unit of systemd or a job of upstart."""
    found = _UNIT.fullmatch(name)
    return Named(found["component"], _spelling(found["sign"])) if found else None


def container_name(component: str, spelling: str, suffix: str = "") -> str:
    """``talus_web_dev``, ``talus-web_dev``: what comes after the component has an underscore in every fork."""
    return "talus%s%s%s" % (SIGNS[spelling], component, suffix)


def unit_names() -> List[str]:
    """Every name that a unit or job of Talus may have."""
    containers = ["%s%s" % (prefix, container_name(component, spelling)) for component in COMPONENTS for spelling in SPELLINGS for prefix in ("docker.", "")]
    return containers + [container_name(daemon, spelling) for daemon in DAEMONS for spelling in SPELLINGS]


def majority(names: Sequence[Named]) -> Optional[str]:
    """The spelling that most of them have; None when there are none."""
    counts: Dict[str, int] = {spelling: sum(named.spelling == spelling for named in names) for spelling in SPELLINGS}
    best = max(SPELLINGS, key=lambda spelling: counts[spelling])
    return best if counts[best] else None


def environment_named(name: str) -> Optional[Tuple[str, str]]:
    """The component and the port of a variable such as TALUS_DB_PORT_27017_TCP, which links make, and start_raw."""
    found = re.fullmatch(r"(?:[A-Z0-9_]+_)?(DB|AMQP)_PORT_(\d+)_TCP", name)
    return (found[1].lower(), found[2]) if found else None


def words(mapping: Mapping[str, str]) -> str:
    """``talus_nw 172.18.0.2 and web 172.19.0.2``."""
    return " and ".join("%s %s" % pair for pair in sorted(mapping.items()))


def number(count: int, one: str, several: str) -> str:
    """``1 job is``, ``2 jobs are``."""
    return "%d %s" % (count, one if count == 1 else several)


def _spelling(sign: str) -> str:
    return UNDERSCORE if sign == "_" else HYPHEN
