# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""add_to_export_queue.py: one row for every file of a selection and one destination."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from . import clock, queues, selection, settings
from .ingest_ab import already_there
from .log import Log
from .queues import Queue, new_row

MODULE = "add_to_export_queue"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--selection")
    parser.add_argument("--destination")
    parser.add_argument("--debug", action="store_true")
    parser.add_argument("--demon", action="store_true")
    return parser.parse_args()


def _add(queue: Queue, log: Log, filename: str, path: str, destination: str) -> None:
    if queue.generation == "A" and already_there(queue, filename, path, destination):
        log.info("Already have entry to export file %s to %s, ignoring", filename, destination, at="exportqueue:97")
        return
    if not queue.add(new_row(queue.generation, "export", filename, path, destination)):
        log.debug(
            "Integrity error adding file %s to Export Queue. Most likely, file is already on queue. Silently rolling back.", filename, at="exportqueue:45"
        )


def main(script: str) -> None:
    """The script. Missing options are the only thing that makes it exit 1."""
    config = settings.load(script)
    options = _parse()
    log = Log(config.log_dir, config.generation)
    log.configure(options.debug, options.demon, None)

    def info(line: int, message: str, *args: Any) -> None:
        log.info(message, *args, at=f"{MODULE}:{line}")

    info(36, "***   add_to_export_queue.py - starting up at %s", clock.local())
    for name in ("selection", "destination"):
        if not getattr(options, name):
            log.error("You must specify a %s", "file selection" if name == "selection" else name, at=f"{MODULE}:42")
            sys.exit(1)
    connection = queues.connect(config.database) if config.database is not None else None
    queue = Queue(connection, config.generation, "export")
    info(61, "Getting header object list")
    found = selection.find(queue, options.selection + "/present") if connection is not None else []
    info(68, "Building filename and path lists")
    for number, row in enumerate(found, 1):
        info(81, "Queueing for Export: (%d/%d): %s", number, len(found), row["filename"])
        _add(queue, log, row["filename"], row["path"], options.destination)
    info(84, "*** add_to_exportqueue.py exiting normally at %s", clock.local())
