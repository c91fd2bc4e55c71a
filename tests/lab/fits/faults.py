# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows in every state a FITS Storage queue can be in, written as that generation's programs write them.

    make = Faults(connection)                       # the generation of each queue is read from its columns
    make.failed("ingest", "N20260101S0001.fits")    # -> id

Every method commits and returns ids. Ages are in seconds. `timezone` is the one in which the services run: upstream's
local times are naive.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from lab.fits.standin import clock
from lab.fits.standin.files import trimmed
from lab.fits.standin.queues import Queue, Row, new_row
from lab.fits.workers import generation_of

DESTINATION = "https://archive.example.org"
OTHER_DESTINATION = "https://tape.example.org"
ERROR = "Traceback (most recent call last):\nOSError: no end card found"

AWKWARD = (
    "N20260101S0001'quote.fits",
    'N20260101S0002"double".fits',
    "100%.fits",
    "%s%(filename)s.fits",
    "line\nbreak.fits",
    "'; DROP TABLE ingestqueue; --.fits",
    "nandú-☃-名.fits",
    "back\\slash\\n.fits",
    " leading and trailing .fits ",
    "$(reboot)`id`.fits",
    "--force.fits",
    "../../etc/passwd.fits",
    "{{ 7 * 7 }}.fits",
    "N20260101S0003.fits.bz2",
)

# Ways in which a row can be such that it is never taken, though it looks neither failed nor in progress.
UNPOPPABLE: dict[str, dict[str, Row]] = {
    "A": {"inprogress_null": {"inprogress": None}, "failed_null": {"failed": None}, "after_null": {"after": None}, "after_infinity": {"after": "infinity"}},
    "C": {
        "inprogress_null": {"inprogress": None},
        "fail_dt_null": {"fail_dt": None},
        "fail_dt_infinity": {"fail_dt": "infinity"},
        "fail_dt_midnight": {"fail_dt": "9999-12-31 00:00:00"},
        "after_null": {"after": None},
        "after_infinity": {"after": "infinity"},
    },
}
UNPOPPABLE["B"] = UNPOPPABLE["A"]


class Faults:
    """Inserts into the database of `connection`."""

    def __init__(self, connection: Any, timezone: str | None = None) -> None:
        self.connection = connection
        self._zone = ZoneInfo(timezone) if timezone else None
        self.queues = {name: Queue(connection, generation_of(connection, name), name) for name in ("ingest", "export")}

    # -- clocks and single rows -------------------------------------------------------------------------------------

    def local(self, age: float = 0) -> datetime.datetime:
        """The services' naive local time, `age` seconds ago."""
        now = datetime.datetime.now(self._zone).replace(tzinfo=None)
        return now - datetime.timedelta(seconds=age)

    def _clock(self, queue: Queue, age: float) -> datetime.datetime:
        """The clock of `added` and `after`: UTC in C and on B's ingest queue."""
        in_utc = queue.generation == "C" or (queue.generation, queue.name) == ("B", "ingest")
        return clock.utc() - datetime.timedelta(seconds=age) if in_utc else self.local(age)

    def insert(self, queue: str, filename: str, path: str = "", destination: str = DESTINATION, age: float = 60, **columns: Any) -> int:
        """A pending row, with any column replaced."""
        table = self.queues[queue]
        row = new_row(table.generation, queue, filename, path, destination)
        for name in ("added", "after"):
            if name in row and row[name] != clock.LONG_AGO:
                row[name] = self._clock(table, age)
        unknown = set(columns) - set(row)
        if unknown:
            raise ValueError(f"{queue}queue of generation {table.generation} has no {', '.join(sorted(unknown))}")
        row_id = table.insert(row | columns)
        table.commit()
        return row_id

    def pending(self, queue: str, filename: str, **options: Any) -> int:
        """Healthy: will be taken next."""
        return self.insert(queue, filename, **options)

    def deferred(self, queue: str, filename: str, seconds: float = 3600, **options: Any) -> int:
        """Healthy: `after` lies ahead. A's export queue cannot do that."""
        return self.insert(queue, filename, after=self._clock(self.queues[queue], -seconds), **options)

    def in_progress(self, queue: str, filename: str, **options: Any) -> int:
        """Being worked on, or an orphan if nobody works."""
        return self.insert(queue, filename, inprogress=True, **options)

    def failed(self, queue: str, filename: str, error: str = ERROR, failed_age: float = 30, **options: Any) -> int:
        """Failed with the stored error: in the row (C), or in two queue_error rows (A, B; one for exports)."""
        if self.queues[queue].generation == "C":
            return self.insert(queue, filename, fail_dt=self.local(failed_age), error=error, **options)
        row_id = self.insert(queue, filename, failed=True, **options)
        for _time in range(2 if queue == "ingest" else 1):
            self.queue_error(queue, filename, options.get("path", ""), error, failed_age)
        return row_id

    def queue_error(self, queue: str, filename: str, path: str = "", error: str = ERROR, age: float = 30) -> int:
        """A row of A's and B's error table, in local time."""
        rows = self.queues[queue].fetch(
            "INSERT INTO queue_error (filename, path, added, queue, error) VALUES (%(f)s, %(p)s, %(at)s, %(q)s, %(e)s) RETURNING id",
            f=filename,
            p=path,
            at=self.local(age),
            q=queue.upper(),
            e=error,
        )
        self.queues[queue].commit()
        return int(rows[0]["id"])

    # -- the files themselves ---------------------------------------------------------------------------------------

    def diskfile(
        self, filename: str, path: str = "", present: bool = True, canonical: bool = True, age: float = 0, header: bool = True, entrytime: Any = None
    ) -> int:
        """A file known to the database; `entrytime` is naive local time unless given."""
        table = self.queues["ingest"]
        table.execute("INSERT INTO file (name) VALUES (%(n)s) ON CONFLICT (name) DO NOTHING", n=trimmed(filename))
        rows = table.fetch(
            "INSERT INTO diskfile (file_id, filename, path, present, canonical, entrytime, compressed, isfits, mdready)"
            " SELECT id, %(f)s, %(p)s, %(present)s, %(canonical)s, %(at)s, %(z)s, true, true FROM file"
            " WHERE name = %(n)s RETURNING id",
            f=filename,
            p=path,
            present=present,
            canonical=canonical,
            at=entrytime or self.local(age),
            z=filename.endswith(".bz2"),
            n=trimmed(filename),
        )
        if header:
            table.execute(
                "INSERT INTO header (diskfile_id, engineering, ut_datetime, qa_state) VALUES (%(id)s, false, %(now)s, 'Undefined')",
                id=rows[0]["id"],
                now=clock.utc(),
            )
        table.commit()
        return int(rows[0]["id"])

    def two_present(self, filename: str, path: str = "") -> tuple[int, int]:
        """What two services working on one row leave: two diskfiles present and canonical."""
        return self.diskfile(filename, path, age=60), self.diskfile(filename, path, age=59)

    def stale(self, queue: str, filename: str, path: str = "", **options: Any) -> int:
        """Failed two hours ago, but the file has been ingested since."""
        row_id = self.failed(queue, filename, path=path, failed_age=7200, age=7300, **options)
        self.diskfile(filename, path, age=3600)
        return row_id

    # -- states of one generation -----------------------------------------------------------------------------------

    def back_off(self, filename: str, failed_age: float = 30, **options: Any) -> int:
        """A: an export that failed and will be tried again by itself. Looks stuck, and is not."""
        self._only("export", "A")
        return self.insert("export", filename, inprogress=True, lastfailed=self.local(failed_age), **options)

    def export_failed(self, filename: str, state: str = "tt", failed_age: float = 30, **options: Any) -> int:
        """B: `tt` failed and in progress, before the retry; `ft` after it, never tried again (inprogress, failed)."""
        self._only("export", "B")
        return self.insert("export", filename, inprogress=state == "tt", failed=True, lastfailed=self.local(failed_age), **options)

    def failed_many(self, queue: str, filename: str, count: int = 3, **options: Any) -> list[int]:
        """C: several failed rows of one file, which a bulk reset makes collide with each other. Oldest first."""
        self._only(queue, "C")
        return [self.failed(queue, filename, failed_age=60.0 * (count - n), **options) for n in range(count)]

    def _only(self, queue: str, generation: str) -> None:
        found = self.queues[queue].generation
        if found != generation:
            raise ValueError(f"generation {generation} only, the {queue} queue here is of {found}")

    def unpoppable(self, queue: str, filename: str, variant: str, **options: Any) -> int:
        """A row that is never taken; the variants are those of `unpoppable_variants`."""
        return self.insert(queue, filename, **UNPOPPABLE[self.queues[queue].generation][variant], **options)

    def unpoppable_variants(self, queue: str) -> list[str]:
        """The variants that this queue's columns allow."""
        table = self.queues[queue]
        columns = new_row(table.generation, queue, "x", "", "x")
        return [name for name, change in UNPOPPABLE[table.generation].items() if set(change) <= set(columns)]

    # -- twins ------------------------------------------------------------------------------------------------------

    def starved_twin(self, queue: str, filename: str, same: bool | None = None, age: float = 60) -> tuple[int, int]:
        """A stuck row and a clean one that it starves: (stuck, clean)."""
        return self._twin(self.in_progress, queue, filename, same, age)

    def failed_twin(self, queue: str, filename: str, same: bool | None = None, age: float = 60) -> tuple[int, int]:
        """A failed row and a clean one, which will be served: (failed, clean)."""
        return self._twin(self.failed, queue, filename, same, age)

    def _twin(self, first: Callable[..., int], queue: str, filename: str, same: bool | None, age: float) -> tuple[int, int]:
        """`same`: both rows for one path and destination; where A and B refuse that, the default is to differ."""
        generation = self.queues[queue].generation
        if same is None:
            same = (generation, queue) not in (("A", "ingest"), ("B", "ingest"), ("A", "export"))
        differs: dict[str, str] = {}
        if not same:
            differs = {"path": "other"} if queue == "ingest" else {"destination": OTHER_DESTINATION}
        return first(queue, filename, age=age + 1), self.pending(queue, filename, age=age, **differs)

    # -- many rows --------------------------------------------------------------------------------------------------

    def healthy(self, queue: str, count: int, prefix: str = "N20260102S", path: str = "") -> tuple[int, int]:
        """Many pending rows in one statement: (first id, last id)."""
        return self.bulk(queue, count, prefix, path)

    def orphans(self, queue: str, count: int, prefix: str = "N20260103S", path: str = "") -> tuple[int, int]:
        """Many rows in progress."""
        return self.bulk(queue, count, prefix, path, inprogress=True)

    def failures(self, queue: str, count: int, prefix: str = "N20260104S", path: str = "") -> tuple[int, int]:
        """Many failed rows, with their errors."""
        if self.queues[queue].generation == "C":
            return self.bulk(queue, count, prefix, path, fail_dt=self.local(30), error=ERROR)
        ids = self.bulk(queue, count, prefix, path, failed=True)
        self.queues[queue].execute(
            "INSERT INTO queue_error (filename, path, added, queue, error) SELECT filename, path, %(at)s, %(q)s, %(e)s"
            " FROM {table}, generate_series(1, %(times)s) WHERE id BETWEEN %(first)s AND %(last)s",
            at=self.local(30),
            q=queue.upper(),
            e=ERROR,
            times=2 if queue == "ingest" else 1,
            first=ids[0],
            last=ids[1],
        )
        self.queues[queue].commit()
        return ids

    def bulk(self, queue: str, count: int, prefix: str, path: str, **columns: Any) -> tuple[int, int]:
        """`count` rows named <prefix>0000001.fits and so on, alike but for name and sortkey."""
        table = self.queues[queue]
        sample = "0000001"
        row = new_row(table.generation, queue, f"{prefix}{sample}.fits", path, DESTINATION) | columns
        varying = [name for name in ("filename", "sortkey") if sample in str(row.get(name))]
        values = {name: value for name, value in row.items() if name not in varying}
        expressions = [f"%({name})s" for name in values]
        for name in varying:
            before, _sample, behind = str(row[name]).partition(sample)
            values |= {f"{name}_before": before, f"{name}_behind": behind}
            expressions.append(f"%({name}_before)s || lpad(n::text, 7, '0') || %({name}_behind)s")
        names = [name for name in row if name not in varying] + varying
        rows = table.fetch(
            f"WITH new AS (INSERT INTO {{table}} ({', '.join(names)}) SELECT {', '.join(expressions)}"
            " FROM generate_series(1, %(count)s) AS n RETURNING id) SELECT min(id) AS first, max(id) AS last FROM new",
            **values,
            count=count,
        )
        if count >= 10_000:  # autovacuum would see to it in the field
            table.execute("ANALYZE {table}")
        table.commit()
        return int(rows[0]["first"]), int(rows[0]["last"])

    def awkward(self, queue: str, state: str = "failed") -> dict[str, int]:
        """A row for every awkward file name, in a state that names a method: {filename: id}."""
        return {name: getattr(self, state)(queue, name) for name in AWKWARD}
