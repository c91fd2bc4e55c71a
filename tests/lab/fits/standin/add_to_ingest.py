# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""add_to_ingest_queue.py, as awkward as it is: exit code 0 whether anything was queued or not."""

from __future__ import annotations

import argparse
import datetime
import os
import re
import sys
import time
from typing import Any

from . import clock, queues, selection, settings
from .log import Log
from .queues import Queue, new_row

DAYS = {
    "A": {"today": 1, "twoday": 2, "fourday": 3, "tenday": 10, "twentyday": 20},
    "B": {"today": 1, "twoday": 2, "fourday": 3, "tenday": 10, "twentyday": 20},
    "C": {"today": 1, "twoday": 2, "fourday": 4, "tenday": 10, "twentyday": 20},
}
MODULE = "add_to_ingest_queue"


def _parse(generation: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for flag in ("debug", "demon", "force", "force_md5"):
        parser.add_argument("--" + flag, action="store_true")
    for option in ("file-re", "after", "filename", "listfile", "logsuffix"):
        parser.add_argument("--" + option)
    parser.add_argument("--path", default="")
    parser.add_argument("--newfiles", type=int)
    if generation == "C":
        parser.add_argument("--s3filepre")
        parser.add_argument("--selection")
    return parser.parse_args()


def _wanted(generation: str, file_re: str) -> Any:
    """The keywords mean days in the file name, counted in UTC; anything else is searched for, not matched."""
    days = DAYS[generation].get(file_re)
    if days is None:
        return re.compile(file_re)
    today = clock.utc().date()
    return re.compile("|".join((today - datetime.timedelta(days=n)).strftime("%Y%m%d") for n in range(days)))


def _skipped(generation: str, filename: str) -> bool:
    preview = ".jpg" if generation == "C" else "_preview.jpg"
    if re.search("(tmp)|(tiled)", filename) or re.search(preview, filename):
        return True
    return not re.search("(.fits)|(_obslog.txt)|(miscfile_)", filename)


class Adder:
    """One run of the script."""

    def __init__(self, config: settings.Settings, options: argparse.Namespace, log: Log) -> None:
        self.config = config
        self.options = options
        self.log = log
        connection = queues.connect(config.database) if config.database is not None else None
        self.queue = Queue(connection, config.generation, "ingest")

    def info(self, line: int, message: str, *args: Any) -> None:
        """A line of the log."""
        self.log.info(message, *args, at=f"{MODULE}:{line}")

    def run(self) -> None:
        """Find the files, and queue them one by one."""
        files = self._files()
        self.info(140, "Checking for tmp files")
        chosen = []
        for name in files:
            if _skipped(self.config.generation, name):
                self.info(152, "skipping tmp file: %s", name)
            else:
                chosen.append(name)
        self.info(158, "About to scan %s files", len(chosen))
        if len(chosen) > 5000:
            self.info(160, "That's a lot of files. Hit ctrl-c within 5 secs to abort")
            time.sleep(6)
        for number, name in enumerate(chosen, 1):
            self._queue(number, len(chosen), name)

    def _files(self) -> list[str]:
        options = self.options
        if options.filename:
            self.info(83, "Adding single file: %s", options.filename)
            if self.config.generation == "C" or not options.listfile:
                return [options.filename]
        if options.listfile:
            self.info(88, "Adding files from list file: %s", options.listfile)
            with open(options.listfile, encoding="utf-8") as handle:
                return [line.strip() for line in handle]
        if getattr(options, "selection", None):
            found = selection.find(self.queue, options.selection + "/canonical") if self.queue.connection else []
            return [row["filename"] for row in found]
        directory = os.path.join(self.config.storage_root, options.path)
        self.info(101, "Queueing files for ingest from: %s", directory)
        names = os.listdir(directory)
        self.info(104, "Got file list.")
        if not options.file_re:
            return names
        pattern = _wanted(self.config.generation, options.file_re)
        return [name for name in names if pattern.search(name)]

    def _queue(self, number: int, total: int, name: str) -> None:
        if self.options.newfiles and not self._new(name):
            return
        after = self._after()
        self.info(187, "Queueing for Ingest: (%s/%s): %s", number, total, name)
        row = new_row(self.config.generation, "ingest", name, self.options.path)
        row.update(force=self.options.force, force_md5=self.options.force_md5)
        if after is not None:
            row["after"] = after
        if self.config.generation == "B":
            print(f"adding {name} to the session")  # B left its debugging prints in
        if not self.queue.add(row):
            self.log.debug("Integrity error adding file %s to Ingest Queue. Most likely, file is already on queue.", name, at="ingestqueue:84")

    def _new(self, name: str) -> bool:
        if self.options.filename or self.options.listfile:
            raise NameError("name 'fulldirpath' is not defined")  # it is only set where a directory is listed
        full = os.path.join(self.config.storage_root, self.options.path, name)
        age = time.time() - os.path.getmtime(full)
        return bool(age <= self.options.newfiles * 86400)

    def _after(self) -> Any:
        """A hands the text to the database as it is; B and C want ISO, in UTC."""
        text: str | None = self.options.after
        if text is None or self.config.generation == "A":
            return text
        return datetime.datetime.fromisoformat(text)


def main(script: str) -> None:
    """The script."""
    config = settings.load(script)
    options = _parse(config.generation)
    log = Log(config.log_dir, config.generation)
    log.configure(options.debug, options.demon, options.logsuffix)
    stars = "***" if config.generation == "C" else "*********   "
    adder = Adder(config, options, log)
    adder.info(75, "%s add_to_ingest_queue.py - starting up at %s", stars, clock.local())
    adder.run()
    adder.info(190, "*** add_to_ingestqueue.py exiting normally at %s", clock.local())
    sys.stdout.flush()
