# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who runs a fix: the user on the node, and the person or AWX job behind it."""

from __future__ import annotations

import os
import pwd
import socket
from typing import Any, Mapping


def who(initiator: Mapping[str, Any]) -> dict[str, Any]:
    """``initiator`` is the option of that name; AWX's own environment is used where a fix runs inside its job."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name  # not from LOGNAME and the like, which anybody may set
    except KeyError:
        user = str(os.geteuid())
    behind = initiator.get("user") or os.environ.get("SUDO_USER") or user
    return {
        "user": str(behind),
        "node_user": user,
        "job_id": initiator.get("job_id") or os.environ.get("AWX_JOB_ID") or os.environ.get("JOB_ID"),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
