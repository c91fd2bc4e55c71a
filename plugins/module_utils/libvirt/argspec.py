# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the libvirt modules share; documented in the fragment ``libvirt``."""

from __future__ import annotations

import math

from ansible.module_utils.common.parameters import env_fallback

from ..connect.libvirt import DEFAULT_URI
from ..procedure.argspec import ArgumentSpec
from .errors import VirtualError
from .kinds import CONFIGURATION_PATTERN, JOB_PATTERN

CONNECTION = ArgumentSpec({"uri": {"type": "str", "default": DEFAULT_URI, "fallback": (env_fallback, ["LIBVIRT_DEFAULT_URI"])}})
KINDS = ArgumentSpec(
    {
        "job_pattern": {"type": "str", "default": JOB_PATTERN},
        "configuration_pattern": {"type": "str", "default": CONFIGURATION_PATTERN},
    }
)
HOSTS = ArgumentSpec(
    {
        "static_hosts": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {"mac": {"type": "str", "required": True}, "ip": {"type": "str", "required": True}, "name": {"type": "str"}},
        }
    }
)


def seconds(option: str, value: float) -> float:
    """A time-out that makes sense."""
    if not 0 < value <= 3600 or not math.isfinite(value):
        raise VirtualError("%s must be more than 0 and at most 3600 seconds, not %g" % (option, value))
    return value
