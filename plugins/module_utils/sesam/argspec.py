# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the Sesam modules share."""

from __future__ import annotations

from ansible.module_utils.common.parameters import env_fallback

from ..connect.docker import DEFAULT_HOST
from ..procedure.argspec import ArgumentSpec

DEFAULT_URL = "http://localhost:9042/api"

API = ArgumentSpec(
    {
        "api_url": {"type": "str", "default": DEFAULT_URL},
        "jwt": {"type": "str", "no_log": True},
        "ca_cert": {"type": "path"},
        "validate_certs": {"type": "bool", "default": True},
        "request_timeout": {"type": "float", "default": 30.0},
    }
)

CONTAINER = ArgumentSpec(
    {
        "container": {"type": "str"},
        "docker_host": {"type": "str", "default": DEFAULT_HOST, "fallback": (env_fallback, ["DOCKER_HOST"])},
        "data_folder": {"type": "path"},
        "log_folder": {"type": "path"},
    }
)
