# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # The engine that the containers are on
    DOCKER = r"""
options:
  docker_host:
    description:
      - Address of the Docker Engine's socket, as in community.docker.
      - If it is not set, the environment variable E(DOCKER_HOST) is used.
    type: str
    default: unix:///var/run/docker.sock
requirements:
  - docker >= 4.1 on the managed node (Debian and Ubuntu C(python3-docker))
"""
