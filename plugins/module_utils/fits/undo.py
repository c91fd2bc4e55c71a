# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores with which the fixes of this system are taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.postgres import Postgres, compose, identifier, raw
from ..procedure.envelope import Change, Image, Outcome
from ..procedure.errors import Refusal
from ..procedure.undo import Store
from .errors import FitsError
from .observe import unknown_clients
from .permissions import PermissionStore
from .queue import Token
from .rows import RowStore
from .tables import read_schema
from .workers import Places, Workers, gather, live_workers, script_name

_ADDED = """
SELECT w.n, q.id, to_jsonb(q), q.xmin::text
  FROM unnest(%(n)s::int4[], %(filenames)s::text[], %(paths)s::text[], %(destinations)s::text[]) AS w(n, filename, path, destination)
  JOIN {table} q ON q.filename = w.filename AND coalesce(q.path, '') = w.path AND {destination}
 WHERE q.id > %(newest_id)s
   AND q.added >= least(to_timestamp(%(started)s) AT TIME ZONE 'UTC', to_timestamp(%(started)s) AT TIME ZONE %(timezone)s) - interval '1 hour'
 ORDER BY q.id
"""


class QueueStore(RowStore):
    """Rows of the queue that a run was made on, in the database that it was made on."""

    def __init__(self, params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        database = params.get("login_db") or header["database"]
        if database != header["database"]:
            raise FitsError("run %s was made on database %s, not on %s" % (header["undo_id"], header["database"], database))
        self.places = Places(**header.get("places", {}))
        self.others_stopped = bool(header.get("other_hosts_stopped"))
        postgres = Postgres(dict(params, login_db=database), database)
        try:
            table = read_schema(postgres).table(header["queue"])
            if not table.writable:
                raise FitsError("the database user may not put rows of %s back: it needs SELECT, INSERT, UPDATE and DELETE on it" % table.name)
            super().__init__(postgres, table, self._recheck)
        except Exception:
            postgres.close()
            raise

    def close(self) -> None:
        self.postgres.close()

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        """A row in progress looks the same whether an undo put it there or a worker took it since."""
        workers = self._workers() if any(_busy(change) for change in plan) else Workers()
        if not workers.may_be_live:
            return []
        who = ["%s running (pid %d)" % (script_name(self.table.queue), process.pid) for process in workers.live] + list(workers.unknown)
        reason = "rows of this run are in progress, and a worker may have taken them since: %s." % "; ".join(who)
        return [Refusal("live_worker", reason, "stop every worker of this queue; or run fits_queue_reset, which tells an orphan from a row at work.")]

    def _recheck(self, changes: Sequence[Change]) -> None:
        if any(_busy(change) for change in changes) and self._workers().live:
            raise FitsError("a %s worker started while the run was being undone; nothing was written" % self.table.queue)

    def _workers(self) -> Workers:
        """As the fix saw them: its places are in the run's header."""
        clients = self.postgres.clients()
        seen = live_workers([self.table.queue], self.places)[self.table.queue]
        return gather(self.table.queue, self.places, seen, {}, clients, [] if self.others_stopped else unknown_clients(clients))


def _busy(change: Change) -> bool:
    return bool(change.before and change.before.get("inprogress"))


class EnqueueStore(QueueStore):
    """Rows that upstream's script added, in a run that may have been killed before it learned their ids.

    Without an id a row is known by its file, and by being newer than every row that was there before the run: its id is
    higher, and it was added later (by whichever clock that generation writes, with an hour for the end of summer time).
    """

    def __init__(self, params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        super().__init__(params, header)
        self.header = header

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        images = [change.before or change.after or {} for change in changes]
        known = [n for n, image in enumerate(images) if image.get("id") is not None]
        found: Dict[int, Tuple[Optional[Image], Any]] = dict(zip(known, super().read([changes[n] for n in known])))
        found.update(self._added({n: image for n, image in enumerate(images) if "id" not in image}))
        return [found.get(n, (None, None)) for n in range(len(changes))]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return super().apply([self._named(change) for change in changes])

    def _added(self, images: Mapping[int, Image]) -> Dict[int, Tuple[Optional[Image], Any]]:
        """Rows by what they are. The version of such a row carries its id."""
        if not images:
            return {}
        if self.header.get("undo_of"):
            raise FitsError("the rows of this run are not known in full, so they cannot be put back: run fits_enqueue again")
        values = {
            "n": list(images),
            "filenames": [image["filename"] for image in images.values()],
            "paths": [image["path"] or "" for image in images.values()],
            "destinations": [image.get("destination") for image in images.values()],
        }
        same = raw("q.destination = w.destination" if self.table.has("destination") else "true")
        statement = compose(_ADDED, table=identifier(self.table.name), destination=same)
        found: Dict[int, Tuple[Optional[Image], Any]] = {}
        for n, row_id, image, version in self.postgres.rows(statement, dict(self.header, **values)):
            if n in found:
                raise FitsError(
                    "rows %d and %d of the %s queue were both added since the run was killed, and which of them it added cannot be told"
                    % (found[n][1][0], row_id, self.table.queue)
                )
            found[n] = (image, (row_id, version))
        return found

    @staticmethod
    def _named(change: Change) -> Change:
        if change.before is not None and "id" not in change.before and change.token is not None:
            row_id, version = change.token
            return replace(change, before=dict(change.before, id=row_id), token=Token(version))
        return change


STORES: Dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Store]] = {
    "fits_queue_reset": QueueStore,
    "fits_enqueue": EnqueueStore,
    "fits_permissions": PermissionStore,
}
"""By the name of the fix: what moves its subjects back. Called with module parameters and the run's header."""
