# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services of a node, whatever manages them: systemd, upstart, or the init scripts of System V."""

from __future__ import annotations

import os
from typing import Callable, Dict, List, Optional, Sequence

from .service import Manager, Service, ServiceError, call, program
from .systemd import Systemd

__all__ = ["MANAGERS", "Service", "ServiceError", "manager", "manager_of", "services"]


def _upstart() -> Manager:
    from .upstart import Upstart  # noqa: PLC0415 - only where it is in charge

    return Upstart()


def _sysv() -> Manager:
    from .sysv import SysV  # noqa: PLC0415 - as above

    return SysV()


MANAGERS: Dict[str, Callable[[], Manager]] = {"systemd": Systemd, "upstart": _upstart, "sysv": _sysv}


def manager() -> str:
    """What looks after the services of this node. It is not enough that its command is installed: it must be in charge."""
    if os.path.isdir("/run/systemd/system"):
        return "systemd"
    from .sysv import INIT_D  # noqa: PLC0415 - as above

    initctl = program("initctl")
    if initctl and "upstart" in "".join(call([initctl, "version"])[1:]):
        return "upstart"
    if os.path.isdir(INIT_D):
        return "sysv"
    raise ServiceError("neither systemd nor upstart is in charge of this node, and there is no %s: name the manager if there is one" % INIT_D)


def manager_of(name: Optional[str] = None) -> Manager:
    """The manager of a name, or the one that is in charge."""
    name = name or manager()
    if name not in MANAGERS:
        raise ServiceError("there is no service manager %r; known are %s" % (name, ", ".join(MANAGERS)))
    return MANAGERS[name]()


def services(names: Sequence[str], manager: Optional[str] = None) -> List[Service]:
    """Services by name, or by pattern where they are units of systemd, in the order in which they were asked for.

    One that does not exist is answered with ``known=False``. ``Service.asked`` tells which question an answer belongs to.
    """
    return manager_of(manager).read(names) if names else []
