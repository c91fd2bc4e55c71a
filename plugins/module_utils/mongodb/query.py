# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a database within bounds: so many documents, so many bytes, so much of the server's time, and no field that nobody should see."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..connect.mongo import DRIVER, Mongo, MongoError, plain
from ..procedure.check import Check
from ..procedure.envelope import Finding, Remedy
from .errors import MongodbError
from .query_safe import Hider, check_collection, check_database, check_filter, check_projection, check_sort, hidden_in_filter, values_of

MOST_DOCUMENTS = 10_000
MOST_BYTES = 64 * 1024 * 1024
RUNBOOK = ("talus.rst", "MongoDB")
_BATCH = 100
_NEEDS: Dict[str, Tuple[str, ...]] = {
    "documents": ("database", "collection"),
    "count": ("database", "collection"),
    "collections": ("database",),
    "databases": (),
}
_NOT_READABLE, _TIME_IS_UP = 13436, 50


@dataclass(frozen=True)
class Answer:
    """What came of it; what was not asked for is None."""

    documents: Optional[List[Dict[str, Any]]] = None
    count: Optional[int] = None
    collections: Optional[List[Dict[str, Any]]] = None
    databases: Optional[List[Dict[str, Any]]] = None
    truncated: bool = False
    size: int = 0
    hidden: List[str] = field(default_factory=list)


class Query(Check[Answer]):
    """One question."""

    name = "mongodb.query"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.what: str = params["what"]
        self.limit = _bounded(params, "limit", 1, MOST_DOCUMENTS)
        self.skip = _bounded(params, "skip", 0, 2**31 - 1)
        self.max_bytes = _bounded(params, "max_bytes", 1024, MOST_BYTES)
        self.max_time: float = params["max_time"]
        if not 0 < self.max_time <= params["timeout"]:
            raise MongodbError("max_time must be more than 0 and at most timeout (%g s), not %s" % (params["timeout"], self.max_time))
        self.hide = Hider(params["hide"])
        for name in _NEEDS[self.what]:
            if params[name] is None:  # which may have been said, in so many words
                raise MongodbError("what=%s needs %s" % (self.what, name))
        self.database = check_database(params["database"]) if params["database"] is not None else ""
        self.collection = check_collection(params["collection"]) if params["collection"] is not None else ""
        self.filter = values_of(check_filter(params["filter"]))
        self.projection = check_projection(params["projection"])
        self.sort = check_sort(params["sort"])
        asked = hidden_in_filter([params["filter"], dict(self.sort)], self.hide)
        if asked:
            raise MongodbError("filter or sort asks for %s, which hide keeps back: by asking, its values could be found out. Take it out of hide" % asked)
        self.mongo = Mongo(params)

    def close(self) -> None:
        self.mongo.close()

    def observe(self) -> Answer:
        try:
            return {"documents": self._documents, "count": self._count, "collections": self._collections, "databases": self._databases}[self.what]()
        except MongoError as exc:
            if exc.code == _NOT_READABLE:
                raise MongodbError("%s: the server is neither PRIMARY nor SECONDARY; mongodb_replica_set_info tells why" % exc) from None
            if exc.code == _TIME_IS_UP:
                raise MongodbError("%s: stopped after max_time (%g s); narrow the filter, or ask for an indexed field" % (exc, self.max_time)) from None
            if exc.unauthorized:
                raise MongodbError("%s: the user must have the role read on this database" % exc) from None
            raise

    def diagnose(self, state: Answer) -> List[Finding]:
        if not state.truncated:
            return []
        shown = len(state.documents or [])
        summary = "%s: only the first %d document%s of the answer are shown" % (self._place, shown, "" if shown == 1 else "s")
        text = "narrow the filter or the projection, or raise limit (%d) or max_bytes (%d)" % (self.limit, self.max_bytes)
        return [Finding("mongodb.query.truncated", "info", self._place, summary, {"shown": shown, "bytes": state.size}, Remedy(text), RUNBOOK)]

    def facts(self, state: Answer) -> Mapping[str, Any]:
        told = {"documents": state.documents, "count": state.count, "collections": state.collections, "databases": state.databases}
        return dict({name: value for name, value in told.items() if value is not None}, truncated=state.truncated, hidden=state.hidden)

    def evidence(self, state: Answer) -> Mapping[str, Any]:
        return {"address": self.mongo.address, "driver": DRIVER, "namespace": self._place, "bytes": state.size}

    @property
    def _place(self) -> str:
        return ".".join(part for part in (self.database, self.collection) if part) or self.mongo.address

    # -- the questions ----------------------------------------------------------------------------------------------------------

    def _documents(self) -> Answer:
        rows: List[Dict[str, Any]] = []
        size, more = 0, False
        found = self.mongo.find(
            self.database,
            self.collection,
            self.filter,
            self.projection,
            self.sort,
            self.skip,
            limit=self.limit + 1,  # to see whether there are more
            max_time=self.max_time,
            batch_size=min(self.limit + 1, _BATCH),
        )
        for document in found:
            row = self.hide(plain(document))
            length = len(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace"))
            more = len(rows) == self.limit or size + length > self.max_bytes
            if more:
                break
            rows.append(row)
            size += length
        return Answer(documents=rows, truncated=more, size=size, hidden=self.hide.fields)

    def _count(self) -> Answer:
        return Answer(count=self.mongo.count(self.database, self.collection, self.filter, self.max_time))

    def _collections(self) -> Answer:
        answer = self.mongo.command("listCollections", database=self.database, nameOnly=True, maxTimeMS=int(self.max_time * 1000) or 1)
        rows = [{"name": str(row["name"]), "type": str(row.get("type", "collection"))} for row in answer["cursor"]["firstBatch"]]
        return self._named("collections", rows)

    def _databases(self) -> Answer:
        answer = self.mongo.command("listDatabases", maxTimeMS=int(self.max_time * 1000) or 1)
        return self._named("databases", [{"name": str(row["name"]), "size": int(row.get("sizeOnDisk", 0))} for row in answer["databases"]])

    def _named(self, what: str, rows: List[Dict[str, Any]]) -> Answer:
        rows = sorted(rows, key=lambda row: str(row["name"]))[self.skip :]
        told: Dict[str, Any] = {what: rows[: self.limit]}
        return Answer(truncated=len(rows) > self.limit, size=len(json.dumps(told)), **told)


def _bounded(params: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value: int = params[name]
    if not least <= value <= most:
        raise MongodbError("%s must be %d to %d, not %d" % (name, least, most, value))
    return value
