# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration and the metadata."""

from __future__ import annotations

import json
from typing import Any

from lab.sesam.standin import transfer
from lab.sesam.standin.config import AUDIT, DEFAULT
from lab.sesam.standin.messages import Answer, Problem, Request, as_json
from lab.sesam.standin.routes_pipes import paged
from lab.sesam.standin.state import State


def read(node: State, request: Request, group: str = DEFAULT) -> Answer:
    """A group, as JSON or as a zip."""
    return _sent(node.config.read(group), request)


def read_all(node: State, request: Request) -> Answer:
    """All groups."""
    return _sent(node.config.read(None), request)


def _sent(found: list[Any] | None, request: Request) -> Answer:
    if found is None:
        raise Problem(404, f"The config group '{request.parts[-1]}' doesn't exist")
    if "application/zip" in request.headers.get("Accept", ""):
        return Answer(200, transfer.pack(found), "application/zip", {"Content-Disposition": 'attachment; filename="sesam-config.zip"'})
    return as_json(found)


def write(node: State, request: Request, group: str = DEFAULT) -> Answer:
    """A group is replaced."""
    status, errors = node.config.replace(group, _posted(request), request.force)
    return _written(node, group, status, errors)


def write_all(node: State, request: Request) -> Answer:
    """Everything is replaced."""
    status, errors = node.config.replace_all(_posted(request), request.force)
    return _written(node, "all groups", status, errors)


def _posted(request: Request) -> list[Any]:
    try:
        return transfer.parse(request.body, request.headers.get("Content-Type", ""))
    except (ValueError, KeyError) as error:
        raise Problem(400, f"The uploaded configuration can't be read: {error}") from error


def _written(node: State, what: str, status: int, errors: list[Any]) -> Answer:
    node.logs.write("node_config", f"{what}: {'replaced' if status == 200 else 'refused'}, {len(errors)} entities with errors or warnings")
    return as_json({"validation_errors": errors}, status)


def history(node: State, request: Request) -> Answer:
    """All versions of an entity."""
    found = node.config.versions(request.query.get("entity_id", ""))
    if not found:
        raise Problem(404, f"The config entity '{request.query.get('entity_id', '')}' doesn't exist")
    return as_json(paged(found, request))


def metadata(node: State, _request: Request) -> Answer:
    """The node's own entity."""
    return as_json({**node.config.metadata(intruded=True), AUDIT: {"origin": "api"}})


def set_metadata(node: State, request: Request) -> Answer:
    """The object takes the place of the one that is there."""
    try:
        posted = json.loads(request.body)
    except ValueError as error:
        raise Problem(400, f"The request body isn't valid JSON: {error}") from error
    if not isinstance(posted, dict):
        raise Problem(400, "The metadata must be one JSON object")
    node.config.set_entity({**posted, "_id": "node", "type": "metadata"})
    return as_json(node.config.metadata())


def drop_metadata(node: State, _request: Request) -> Answer:
    """All of it is gone."""
    node.config.delete_entity("node")
    return as_json(node.config.metadata())
