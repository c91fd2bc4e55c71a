# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the Hare modules share."""

from __future__ import annotations

from ansible.module_utils.common.parameters import env_fallback

from ...procedure.argspec import ArgumentSpec

TOKEN = ArgumentSpec({"consul_token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["CONSUL_HTTP_TOKEN"])}})

CONSUL = ArgumentSpec(
    {
        "consul_url": {"type": "str", "default": "http://127.0.0.1:8500"},
        "ca_cert": {"type": "path"},
        "validate_certs": {"type": "bool", "default": True},
        "timeout": {"type": "float", "default": 10.0},
    }
).merge(TOKEN)
