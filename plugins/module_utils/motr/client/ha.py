# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells one process what state another one is in, as the HA subsystem would: a message made by m0hagen, delivered by m0ham."""

from __future__ import annotations

from ..errors import MotrError
from ..ids import Fid
from .errors import ToolError
from .options import Client
from .run import find, run

STATES = ("unknown", "online", "failed", "transient", "repair", "repaired", "rebalance", "dtm-recovering")


def message(fid: Fid, state: str) -> str:
    """The YAML of m0hagen, which asserts on anything but a whole message. A fid is spelt as two numbers: with ^ it reads only decimal ones."""
    if state not in STATES:
        raise MotrError("%r is no state; accepted are %s" % (state, ", ".join(STATES)))
    return (
        "!ha_msg\n"
        "fid: !fid [0, 0]\n"
        "process: ^r|0.0\n"
        "service: ^s|0.0\n"
        "time: 0\n"
        "epoch: 0\n"
        "tag: 0\n"
        "data: !ha_nvec_set\n"
        "  ignore_same_state: false\n"
        "  notes:\n"
        "    - {fid: !fid [0x%x, 0x%x], state: %s}\n" % (fid.container, fid.key, state)
    )


class Ham:
    """m0hagen and m0ham."""

    def __init__(self, client: Client) -> None:
        client.require("endpoint")
        self.client = client
        self.hagen, self.ham = find("m0hagen", client.tools_dir), find("m0ham", client.tools_dir)

    def tell(self, to: str, fid: Fid, state: str) -> None:
        """Deliver one message to the process at an endpoint."""
        made = run([self.hagen], self.client.timeout, stdin=message(fid, state))
        if made.code or not made.output.strip():
            raise ToolError("m0hagen ended with %d: %s" % (made.code, made.why()))
        sent = run([self.ham, "-s", self.client.endpoint, to], self.client.timeout, stdin=made.output)
        if sent.code:
            raise ToolError("m0ham ended with %d, so %s was not told: %s" % (sent.code, to, sent.why()))
