# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""copy_from_visiting_instrument.py: bzip2 files below date directories, mended on the way to dataflow.

A and B keep them compressed, C does not any more. What is mended is left out; that the file must open is not.
"""

from __future__ import annotations

import argparse
import bz2
import os
import re
import signal
import time
import traceback
from collections.abc import Iterator
from typing import Any

from . import clock, fitsfile, queues, settings
from .log import Log
from .queues import Queue, new_row

# Where each instrument leaves its files, which of them are wanted, and how many levels of directories lie between.
INSTRUMENTS = {
    "alopeke": ("net/mkovisdata/home/alopeke", r"N20\d{6}A\d{4}[br]\.fits\.bz2$"),
    "zorro": ("net/cpostonfs-nv1/tier2/ins/sto/zorro", r"S20\d{6}Z\d{4}[br]\.fits\.bz2$"),
    "igrins": ("net/cpostonfs-nv1/tier2/ins/sto/igrins/DATA", r"SDC\w_\d{8}_\d{4}\.fits"),
}
MODULE = "copy_from_visiting_instrument"


class Copier:
    """One process for one instrument."""

    def __init__(self, config: settings.Settings, log: Log, instrument: str) -> None:
        self.config = config
        self.log = log
        self.instrument = instrument
        self.running = True
        directory, pattern = INSTRUMENTS[instrument]
        self.source = os.path.join(config.root, directory)
        self._pattern = re.compile(pattern)
        connection = queues.connect(config.database) if config.database is not None else None
        self.queue = Queue(connection, config.generation, "ingest")

    def on_signal(self, signum: int, _frame: Any) -> None:
        """Ends after the pass, which may be an hour away: systemd kills it before."""
        self.log.error("Received signal: %d. Attempting to stop nicely ", signum, at=f"{MODULE}:134")
        self.running = False

    def scan(self) -> bool:
        """One pass; True when there was something to do."""
        worked = False
        for date, filename in self._files():
            target = os.path.join(self.config.storage_root, self.instrument, date, filename)
            if fitsfile.exists(target):
                self.log.debug("File %s already exists on destination, skipping", filename, at=f"{MODULE}:195")
                continue
            worked = True
            source = os.path.join(self.source, date, filename)
            age = time.time() - os.path.getmtime(source)
            if age < min(5.0, self.config.min_dhs_age):
                self.log.debug("%s is too new (%.1f)- skipping this time round", filename, age, at="visitor_instrument_helper:247")
                continue
            self.log.info("Copying %s to %s", filename, self.config.storage_root, at=f"{MODULE}:215")
            self._copy(source, target, date)
        return worked

    def _files(self) -> Iterator[tuple[str, str]]:
        for date in sorted(os.listdir(self.source)):
            if re.fullmatch(r"\d{8}", date):
                yield from ((date, name) for name in sorted(os.listdir(os.path.join(self.source, date))) if self._pattern.match(name))

    def _copy(self, source: str, target: str, date: str) -> None:
        if self.config.generation == "C":
            target = target.removesuffix(".bz2")
        try:
            content = fitsfile.read(source)
            fitsfile.headers(content)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as handle:
                handle.write(bz2.compress(content) if target.endswith(".bz2") else content)
        except (fitsfile.NotFits, OSError) as error:
            if self.config.generation == "C":
                self.log.error(
                    "Exception copying and fixing Visitor Instrument file %s", os.path.basename(source), at="visitor_instrument_helper:301", exc_info=True
                )
                self.log.debug("Copy failed", at=f"{MODULE}:231")
            else:
                self.log.error("Problem copying %s to %s", source, self.config.storage_root, at=f"{MODULE}:190")
                self.log.error("Exception: %s : %s... %s", type(error), error, traceback.format_tb(error.__traceback__), at=f"{MODULE}:191")
            return
        filename, path = os.path.basename(target), f"{self.instrument}/{date}"
        self.log.info("Adding %s in %s to ingest queue", filename, path, at=f"{MODULE}:226")
        self.queue.add(new_row(self.config.generation, "ingest", filename, path))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for flag in ("dryrun", "debug", "demon", "force", "onepass", *INSTRUMENTS):
        parser.add_argument("--" + flag, action="store_true")
    return parser.parse_args()


def main(script: str) -> None:
    """The script."""
    options = _parse()
    config = settings.load(script)
    instrument = next((name for name in INSTRUMENTS if getattr(options, name)), None)
    log = Log(config.log_dir, config.generation)
    log.configure(options.debug, options.demon, instrument if config.generation == "C" else None)
    if instrument is None:
        log.info("No ingesters specified, nothing to copy", at=f"{MODULE}:107")
        return
    log.info("***  copy_from_visiting_instrument.py - starting up at %s for %s", clock.local(), instrument, at=f"{MODULE}:117")
    copier = Copier(config, log, instrument)
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(signum, copier.on_signal)
    wait = config.visitor_scan or (3600 if config.generation == "C" else 300)
    while copier.running:
        worked = copier.scan()
        if options.onepass or not options.demon:
            return
        if worked and config.generation == "C":
            time.sleep(0.5)  # upstream does not even wait: a file that cannot be read keeps it busy
            continue
        if config.generation == "C":
            log.info("No action taken this pass, waiting 1 hour", at=f"{MODULE}:235")
        else:
            log.debug("Pass complete, sleeping", at=f"{MODULE}:397")
        time.sleep(wait)
