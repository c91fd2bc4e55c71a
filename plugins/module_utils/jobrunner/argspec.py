# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the job-runner modules share; documented in the fragment ``jobrunner``."""

from __future__ import annotations

from ansible.module_utils.common.parameters import env_fallback

from ..connect.docker import DEFAULT_HOST
from ..procedure.argspec import ArgumentSpec

CONFIG_FILES = [
    "/home/opensafely/config/01_defaults.env",
    "/home/opensafely/config/02_secrets.env",
    "/home/opensafely/config/03_backend.env",
    "/home/opensafely/config/04_local.env",
]

CONFIG = ArgumentSpec({"config_files": {"type": "list", "elements": "path", "default": CONFIG_FILES}})
WORKDIR = ArgumentSpec({"workdir": {"type": "path"}}).merge(CONFIG)
DOCKER = ArgumentSpec({"docker_host": {"type": "str", "default": DEFAULT_HOST, "fallback": (env_fallback, ["DOCKER_HOST"])}})
FILES = ArgumentSpec({"high_privacy_base": {"type": "path"}, "medium_privacy_base": {"type": "path"}})
PLACE = WORKDIR.merge(DOCKER, FILES)
