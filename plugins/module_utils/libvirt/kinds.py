# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a virtual machine is for, as far as its name tells. The defaults are Talus' names.

Its slaves call the machine of a job ``<job id>_<index>.img``; vagrant-libvirt, which its master configures images with, takes the name of a temporary
directory and adds ``_default``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Mapping, Pattern

from .errors import VirtualError

JOB, CONFIGURATION, OTHER = "job", "configuration", "other"
JOB_PATTERN = r"^[0-9a-f]{24}_\d+\.img$"
CONFIGURATION_PATTERN = r"^tmp[A-Za-z0-9_]{6,8}_default$"


@dataclass(frozen=True)
class Kinds:
    """Which names are of which kind."""

    job: Pattern[str]
    configuration: Pattern[str]

    @classmethod
    def of(cls, params: Mapping[str, str]) -> Kinds:
        return cls(compiled("job_pattern", params["job_pattern"]), compiled("configuration_pattern", params["configuration_pattern"]))

    def kind(self, name: str) -> str:
        """A name that both patterns match is spared as a configuration."""
        if self.configuration.search(name):
            return CONFIGURATION
        return JOB if self.job.search(name) else OTHER


def compiled(option: str, pattern: str) -> Pattern[str]:
    """A regular expression from outside."""
    try:
        return re.compile(pattern)
    except re.error as exc:
        raise VirtualError("%s %r is no regular expression: %s" % (option, pattern, exc)) from None
