# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # The Consul that Hare keeps its state in
    DOCUMENTATION = r"""
options:
  consul_url:
    description:
      - URL of a Consul agent of the cluster, as the managed node reaches it. Every node of Hare runs one. C(http://) may be left out.
      - No redirect is followed, since the token is meant for this agent alone.
    type: str
    default: http://127.0.0.1:8500
  consul_token:
    description:
      - Token of Consul's access control, where it is switched on. Hare's own clusters have none.
      - It is sent as the header C(X-Consul-Token), and is never shown, journaled or passed on a command line.
      - If it is not set, the environment variable E(CONSUL_HTTP_TOKEN) of the managed node is used.
    type: str
  ca_cert:
    description: File with the certificates of the authorities that may have signed the agent's certificate. By default those that the managed node trusts.
    type: path
  validate_certs:
    description: Whether the agent's certificate must be valid.
    type: bool
    default: true
  timeout:
    description: Seconds, 600 at most, within which each question to Consul must be answered in full.
    type: float
    default: 10.0
"""
