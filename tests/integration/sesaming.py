# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules are given for a node of Sesam; the nodes are fixtures of `conftest`."""

from __future__ import annotations

from typing import Any

from lab.sesam.container import SesamNode
from lab.sesam.running import Node
from lab.sesam.standin.auth import ADMIN, ANONYMOUS, DEVELOPER


def params(node: Node, *roles: str, **others: Any) -> dict[str, Any]:
    """Options of a module that speaks to this node, with a token of an administrator or with these roles."""
    return {"api_url": node.url, "jwt": node.token(*roles), "request_timeout": 30, **others}


def container_params(node: SesamNode, *roles: str, **others: Any) -> dict[str, Any]:
    """The same of a module that looks at the container, too."""
    return params(node, *roles, docker_host=node.engine.docker_host, **others)


__all__ = ["ADMIN", "ANONYMOUS", "DEVELOPER", "container_params", "params"]
