# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores with which the fixes of this system are taken back."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping

from ..connect.postgres import Postgres
from ..procedure.undo import Store
from .errors import FitsError
from .rows import RowStore
from .tables import read_schema


class QueueStore(RowStore):
    """Rows of the queue that a run was made on, in the database that it was made on."""

    def __init__(self, params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        database = params.get("login_db") or header["database"]
        if database != header["database"]:
            raise FitsError("run %s was made on database %s, not on %s" % (header["undo_id"], header["database"], database))
        postgres = Postgres(dict(params, login_db=database), database)
        try:
            super().__init__(postgres, read_schema(postgres).table(header["queue"]))
        except Exception:
            postgres.close()
            raise

    def close(self) -> None:
        self.postgres.close()


STORES: Dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Store]] = {
    "fits_queue_reset": QueueStore,
    "fits_enqueue": QueueStore,
}
"""By the name of the fix: what moves its subjects back. Called with module parameters and the run's header."""
