# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # The API of a node
    DOCUMENTATION = r"""
options:
  api_url:
    description:
      - URL of the node's API, as the managed node reaches it. C(/api) is appended where it is missing.
      - No redirect is followed, since the token is meant for this server alone.
    type: str
    default: http://localhost:9042/api
  jwt:
    description:
      - JSON Web Token to authenticate with, as the portal gives it. A leading C(bearer) and quotes around it are taken off.
      - Without it, the node is asked without authentication, which only a node that has none answers.
      - It is never shown, journaled or passed on a command line, and is taken out of what a server echoes.
    type: str
  ca_cert:
    description: File with the certificates of the authorities that may have signed the server's certificate. By default those that the managed node trusts.
    type: path
  validate_certs:
    description: Whether the server's certificate must be valid.
    type: bool
    default: true
  request_timeout:
    description: Seconds, an hour at most, within which each question to the API must be answered in full.
    type: float
    default: 30.0
"""

    # The container that the node runs in, and the folders that it has from this machine
    CONTAINER = r"""
options:
  container:
    description:
      - Name or id of the node's container.
      - By default the one whose command is C(lake), or whose image is C(sesam-node). Where several are, one of them must be named.
    type: str
  docker_host:
    description:
      - Address of the Docker Engine's socket, as in community.docker.
      - If it is not set, the environment variable E(DOCKER_HOST) is used.
    type: str
    default: unix:///var/run/docker.sock
  data_folder:
    description:
      - Folder of the node's data, as the managed node has it.
      - By default what the container mounts there, by the option C(-d) of its command.
    type: path
  log_folder:
    description:
      - Folder of the node's logs, as the managed node has it.
      - By default what the container mounts there, by the option C(-l) of its command.
    type: path
requirements:
  - docker >= 4.1 on the managed node (Debian and Ubuntu C(python3-docker))
"""
