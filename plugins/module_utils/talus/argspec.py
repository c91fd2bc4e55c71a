# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the Talus modules share."""

from __future__ import annotations

from ansible.module_utils.common.parameters import env_fallback

from ..connect.docker import DEFAULT_HOST
from ..procedure.argspec import ArgumentSpec

DOCKER = ArgumentSpec({"docker_host": {"type": "str", "default": DEFAULT_HOST, "fallback": (env_fallback, ["DOCKER_HOST"])}})
