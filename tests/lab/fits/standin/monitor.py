# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""queue_monitor.py: says CRITICAL when a row is in progress in two samples, by default an hour apart."""

from __future__ import annotations

import argparse
import time

from . import clock, queues, settings
from .log import Log
from .queues import Queue

LABELS = {"Ingest": "ingest", "Export": "export", "FileOps": "fileops"}


def main(script: str) -> None:
    """The script."""
    parser = argparse.ArgumentParser()
    for flag in ("debug", "demon"):
        parser.add_argument("--" + flag, action="store_true")
    parser.add_argument("--minutes", type=float, default=60)
    options = parser.parse_args()
    config = settings.load(script)
    log = Log(config.log_dir, config.generation)
    log.configure(options.debug, options.demon, None)
    log.info("***   queue_monitor.py - starting up at %s", clock.local(), at="queue_monitor:34")
    connection = queues.connect(config.database or "")
    before: dict[str, set[int]] = {label: set() for label in LABELS}
    while True:
        for label, name in LABELS.items():
            queue = Queue(connection, "C", name)
            busy = {row["id"] for row in queue.fetch("SELECT id FROM {table} WHERE inprogress")}
            queue.commit()
            log.info("Queue %s has %d items in progress", label, len(busy), at="queue_monitor:66")
            stuck = sorted(busy & before[label])
            if stuck:
                log.critical("%s has %d items stuck in progress: %s", label, len(stuck), stuck, at="queue_monitor:76")
            before[label] = busy
        time.sleep(options.minutes * 60)
