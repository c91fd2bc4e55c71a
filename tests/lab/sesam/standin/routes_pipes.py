# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pipes and pumps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lab.sesam.standin import validation
from lab.sesam.standin.messages import Answer, Problem, Request, as_json, in_pieces
from lab.sesam.standin.pumps import Unsupported
from lab.sesam.standin.shapes import FIELDS
from lab.sesam.standin.state import State


def listed(node: State, request: Request) -> Answer:
    """All, with the fields that are asked for."""
    fields = _fields(request)

    def found() -> Iterator[Any]:
        for identity, entity in node.config.pipes().items():
            yield node.shapes.pipe(identity, entity, fields)
        for identity, entity in node.shapes.going().items():
            yield node.shapes.pipe(identity, entity, fields, removed=True)
        if request.query.get("include-internal-pipes", "").lower() == "true":
            yield from node.shapes.internal()

    return in_pieces(found())


def _fields(request: Request) -> tuple[str, ...]:
    asked = request.query.get("fields")
    return FIELDS if asked is None else tuple(asked.split(","))


def _pipe(node: State, identity: str) -> Any:
    entity = node.config.pipes().get(identity)
    if entity is None:
        raise Problem(404, f"The pipe '{identity}' doesn't exist")
    return entity


def one(node: State, request: Request, identity: str) -> Answer:
    """One pipe."""
    return as_json(node.shapes.pipe(identity, _pipe(node, identity), _fields(request)))


def add(node: State, request: Request) -> Answer:
    """New pipes, all of them or none."""
    posted = _json(request)
    posted = posted if isinstance(posted, list) else [posted]
    known = node.config.entities()
    for entity in posted:
        if isinstance(entity, dict) and entity.get("_id") in known:
            raise Problem(409, f"The pipe '{entity['_id']}' already exists")
    errors = validation.check(posted, set())
    if validation.severe(errors) and not request.force:
        return as_json({"validation_errors": errors}, 400)
    for entity in posted:
        node.config.set_entity(entity)
    return as_json([node.shapes.pipe(entity["_id"], entity) for entity in posted], 201)


def delete(node: State, _request: Request, identity: str) -> Answer:
    """One less."""
    found = node.shapes.pipe(identity, _pipe(node, identity))
    node.config.delete_entity(identity)
    return as_json(found)


def config(node: State, _request: Request, identity: str) -> Answer:
    """A pipe's configuration."""
    return as_json(_pipe(node, identity))


def set_config(node: State, request: Request, identity: str) -> Answer:
    """Another configuration of a pipe."""
    _pipe(node, identity)
    entity = {"_id": identity, **_json(request)}
    errors = validation.check([entity], set())
    if validation.severe(errors) and not request.force:
        return as_json({"validation_errors": errors}, 400)
    node.config.set_entity(entity, node.config.group_of(identity))
    return as_json(node.shapes.pipe(identity, entity))


def pump(node: State, _request: Request, identity: str) -> Answer:
    """A pump."""
    return as_json(node.shapes.pump(identity, _pipe(node, identity)))


def operate(node: State, request: Request, identity: str) -> Answer:
    """An operation; 409 with the pump if it runs already."""
    entity = _pipe(node, identity)
    if not request.form.get("operation"):
        raise Problem(400, "The mandatory form parameter 'operation' is missing")
    try:
        done = node.pumps.operate(identity, entity, request.form)
    except Unsupported as error:
        raise Problem(400, str(error)) from error
    return as_json(node.shapes.pump(identity, entity), 200 if done else 409)


def log(node: State, request: Request, identity: str) -> Answer:
    """The execution log."""
    _pipe(node, identity)
    return as_json(paged(list(node.pumps.events.get(identity, ())), request))


def paged(entries: list[Any], request: Request) -> list[Any]:
    """limit, since, reverse."""
    since = request.query.get("since")
    found = [entry for entry in entries if not since or entry["_updated"] > int(since)]
    if request.query.get("reverse", "").lower() == "true":
        found.reverse()
    return found[: int(request.query.get("limit") or len(found))]


def _json(request: Request) -> Any:
    try:
        return json.loads(request.body)
    except ValueError as error:
        raise Problem(400, f"The request body isn't valid JSON: {error}") from error


def testing_tool(node: State, request: Request) -> Answer:
    """Test tooling that runs, stops or empties everything, at once."""
    operation = {"run-all-pipes": "start", "stop-run-all-pipes": "stop"}.get(request.parts[-1])
    for identity, entity in node.config.pipes().items():
        if operation is None:
            node.pumps.of(identity).processed = 0
        elif operation in node.pumps.supported(entity):
            node.pumps.operate(identity, entity, {"operation": operation})
    return as_json({"message": "OK"})
