# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What service_ingest_queue.py and service_export_queue.py have in common: options, signals, lock file, loop."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from typing import Any

import psycopg2

from . import clock, failures, queues, settings
from .files import Files
from .log import Log
from .pidfile import PidFile, PidFileError
from .queues import Queue, Row

# Lines of upstream's scripts that write the same message, by generation and queue.
PLACES: dict[tuple[str, str], dict[str, int]] = {
    ("A", "ingest"): {"signal": 86, "start": 107, "empty": 126, "idle": 129, "take": 136, "lock": 196, "end": 198},
    ("B", "ingest"): {"signal": 85, "start": 106, "empty": 130, "idle": 134, "take": 143, "lock": 211, "end": 213},
    ("C", "ingest"): {"signal": 80, "start": 98, "empty": 120, "idle": 124, "take": 136, "lock": 222, "end": 224},
    ("A", "export"): {"signal": 50, "start": 83, "empty": 103, "idle": 106, "take": 113, "lock": 158, "end": 160},
    ("B", "export"): {"signal": 53, "start": 86, "empty": 111, "idle": 115, "take": 124, "lock": 177, "end": 179},
    ("C", "export"): {"signal": 63, "start": 81, "empty": 101, "idle": 105, "take": 119, "lock": 162, "end": 164},
    ("C", "fileops"): {"signal": 55, "start": 74, "empty": 94, "idle": 98, "take": 102, "lock": 141, "end": 143},
}

_FLAGS = {
    "ingest": {
        "AB": "skip-fv skip-wmd no-defer fast-rebuild make-previews",
        "C": "skip-fv skip-md no-defer fast-rebuild make-previews queue-reduction oneshot",
    },
    "export": {"AB": "", "C": "oneshot fast-rebuild"},
    "fileops": {"C": "oneshot"},
}


class Worker:
    """One service process. Subclasses say how a file is worked on."""

    def __init__(self, config: settings.Settings, queue: Queue, log: Log, options: argparse.Namespace) -> None:
        self.config = config
        self.queue = queue
        self.log = log
        self.options = options
        self.files = Files(queue)
        self.running = True
        self._idle_logged = False
        self._script = os.path.basename(sys.argv[0]).rpartition(".")[0]
        self._places = PLACES[(config.generation, queue.name)]

    def place(self, line: Any) -> str:
        """`<module>:<line>` of the main script."""
        return f"{self._script}:{self._places.get(line, line)}"

    def on_signal(self, signum: int, _frame: Any) -> None:
        """Finish the current file, then go."""
        self.log.error("Received signal: %d. Attempting to stop nicely.", signum, at=self.place("signal"))
        self.running = False

    def loop(self) -> None:
        """Until told to stop."""
        while self.running:
            self.step()

    def step(self) -> None:
        """Take one row and work on it, or wait."""
        raise NotImplementedError

    def nothing(self) -> None:
        """The queue is empty. B says so only once."""
        if self.options.empty:
            self.log.info("Nothing on queue and --empty flag set, exiting", at=self.place("empty"))
            self.running = False
            return
        if self.config.generation != "B" or not self._idle_logged:
            word = "Queue" if self.queue.name == "export" else "queue"
            self.log.info("Nothing on %s... Waiting", word, at=self.place("idle"))
        self._idle_logged = True
        time.sleep(self.config.idle)

    def taken(self, message: str, *args: Any) -> None:
        """Say what is being worked on."""
        self._idle_logged = False
        if getattr(self.options, "oneshot", False):
            self.running = False
        self.log.info(message, *args, at=self.place("take"))

    def work(self, row: Row, share: float = 1.0) -> None:
        """The time a file takes, or a share of it. A signal does not cut it short."""
        seconds = self.config.work + failures.delay(self.config, row["filename"])
        if seconds:
            time.sleep(seconds * share)


def _parse(generation: str, queue: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for flag in _FLAGS[queue]["C" if generation == "C" else "AB"].split():
        parser.add_argument("--" + flag, action="store_true")
    for flag in ("debug", "demon", "lockfile", "empty"):
        parser.add_argument("--" + flag, action="store_true")
    default = None if generation == "C" else f"service_{queue}_queue"
    parser.add_argument("--name", default=default)
    if queue == "export" and generation == "C":
        parser.add_argument("--retry-delay", type=int, dest="delay", default=60)
    elif queue == "export":
        parser.add_argument("--retry_mins", type=float, default=5.0)
    return parser.parse_args()


def run(script: str, queue: str) -> None:
    """The whole life of a service process."""
    config = settings.load(script)
    options = _parse(config.generation, queue)
    log = Log(config.log_dir, config.generation)
    log.configure(options.debug, options.demon, options.name)
    worker = _worker_class(config.generation, queue)(config, Queue(None, config.generation, queue), log, options)
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(signum, worker.on_signal)
    name, stars = os.path.basename(sys.argv[0]), "***   " if config.generation == "C" else "*********    "
    log.info("%s%s - starting up at %s", stars, name, clock.local(), at=worker.place("start"))
    try:
        with PidFile(log, config.generation, config.lockfile_dir, options.name, dummy=not options.lockfile):
            _serve(worker)
    except PidFileError as error:
        log.error(str(error), at=worker.place("lock"))
    log.info("%s%s - exiting at %s", stars, name, clock.local(), at=worker.place("end"))


def _serve(worker: Worker) -> None:
    if worker.config.database is not None:
        worker.queue.connection = queues.connect(worker.config.database)
    try:
        worker.loop()
    except (psycopg2.OperationalError, psycopg2.InterfaceError):
        # A and B take a lost database for a request to stop; C dies of it.
        if worker.config.generation == "C":
            raise
    finally:
        if worker.queue.connection is not None:
            worker.queue.connection.close()


def _worker_class(generation: str, queue: str) -> type[Worker]:
    from . import export_ab, export_c, fileops, ingest_ab, ingest_c

    return {
        ("fileops", True): fileops.FileOps,
        ("ingest", True): ingest_c.IngestC,
        ("ingest", False): ingest_ab.IngestAB,
        ("export", True): export_c.ExportC,
        ("export", False): export_ab.ExportAB,
    }[(queue, generation == "C")]
