# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""copy_from_dhs.py: no lock file, no signal handler, and the same warning for a bad file every five seconds."""

from __future__ import annotations

import argparse
import os
import shutil
import smtplib
import time
import traceback

from . import clock, fitsfile, queues, settings
from .log import Log
from .queues import Queue, new_row

WEIRD = (".bplusvtoc_internal", ".vtoc_internal")
VERIFY_FAILURES = 120  # C lets a file through when fitsverify has failed so often
MAX_FAILURES = 5  # then a mail is sent, if there is a mail server


class Copier:
    """One process. Lines are those of the generation's own script."""

    def __init__(self, config: settings.Settings, log: Log) -> None:
        self.config = config
        self.log = log
        self.new = config.generation == "C"
        connection = queues.connect(config.database) if config.database is not None else None
        self.queue = Queue(connection, config.generation, "ingest")
        self.known: set[str] = set()
        self._failures: dict[str, int] = {}
        self._mail = ""

    def scan(self) -> None:
        """One pass over the directory."""
        todo = set(os.listdir(self.config.dhs_perm)) - self.known
        self.log.info("%d new files to check", len(todo), at="copy_from_dhs:339" if self.new else "copy_from_dhs:193")
        for filename in todo:
            if "tmp" in filename or (self.new and not filename.endswith(".fits")):
                self.log.info("Ignoring tmp file: %s", filename, at="copy_from_dhs:342" if self.new else "copy_from_dhs:196")
            elif self._present(filename):
                self.log.debug("%s is already present in database", filename, at="copy_from_dhs:346" if self.new else "copy_from_dhs:200")
                self.known.add(filename)
            elif self._copy(filename):
                self.known.add(filename)
        self._send_mail()

    def _present(self, filename: str) -> bool:
        rows = self.queue.fetch("SELECT file_size FROM diskfile WHERE filename = %(f)s AND present LIMIT 1", f=filename)
        self.queue.commit()
        if not rows:
            return False
        size = os.path.getsize(os.path.join(self.config.dhs_perm, filename))
        return not (self.new and rows[0]["file_size"] < size)

    def _copy(self, filename: str) -> bool:
        """True when the file needs no further look."""
        source = os.path.join(self.config.dhs_perm, filename)
        target = os.path.join(self.config.storage_root, filename)
        there = os.access(target, os.F_OK | os.R_OK) and not (self.new and os.path.getsize(target) < os.path.getsize(source))
        reasons = (
            (there, "already exists on storage_root"),
            (os.path.isdir(source), "is a directory"),
            (filename in WEIRD, "is a wierd thing"),
        )
        for applies, reason in reasons:
            if applies:
                self.log.info("%s %s - skipping", filename, reason, at="copy_from_dhs:232" if self.new else "copy_from_dhs:111")
                return True
        age = time.time() - os.path.getmtime(source)
        if age < self.config.min_dhs_age:
            self.log.debug("%s is too new (%.1f)- skipping this time round", filename, age, at="copy_from_dhs:251" if self.new else "copy_from_dhs:127")
            return False
        if not self._valid(source):
            self.log.debug("%s validation failed, not copying now", filename, at="copy_from_dhs:254" if self.new else "copy_from_dhs:130")
            return False
        self.log.debug("%s age is OK: %.1f seconds", filename, age, at="copy_from_dhs:257" if self.new else "copy_from_dhs:133")
        try:
            self.log.info("Copying %s to %s", filename, self.config.storage_root, at="copy_from_dhs:263" if self.new else "copy_from_dhs:139")
            shutil.copyfile(source, target)
            self.log.info("Adding %s to IngestQueue", filename, at="copy_from_dhs:270" if self.new else "copy_from_dhs:146")
            self.queue.add(new_row(self.config.generation, "ingest", filename, ""))
        except Exception as error:  # noqa: BLE001 - upstream logs whatever it is, and tries again
            at = "copy_from_dhs:278" if self.new else "copy_from_dhs:149"
            self.log.error("Problem copying %s to %s", source, self.config.storage_root, at=at)
            self.log.error("Exception: %s : %s... %s", type(error), error, traceback.format_tb(error.__traceback__), at=at)
            return False
        return True

    def _valid(self, path: str) -> bool:
        if not path.endswith(".fits"):
            return True
        reason = self._reason(path)
        if reason is None:
            return True
        self._failures[path] = self._failures.get(path, 0) + 1
        if self._failures[path] == MAX_FAILURES:
            self._mail += f"{path}: {reason}\n"
        self.log.warning(reason, at="copy_from_dhs:196" if self.new else "copy_from_dhs:72")
        return False

    def _reason(self, path: str) -> str | None:
        """Why the file is refused."""
        try:
            header = fitsfile.primary(path)
            bad = fitsfile.errors(path)
        except (fitsfile.NotFits, OSError):
            return f"Unable to open file in astrodata, returning as invalid: {path}"
        if self.new:
            if bad and self._failures.get(path, 0) + 1 < VERIFY_FAILURES:
                return f"File {path} failed fitsverify check:\n*** Error:   File has extra or missing byte(s) ***"
            return None
        if "TELESCOP" not in header:
            return f"TELESCOP keyword missing in file {path}"
        if header["TELESCOP"] == 0:
            return "Bad value {} for TELESCOP in file {}".format(header["TELESCOP"], path)
        return None

    def _send_mail(self) -> None:
        """A mail server that does not answer stops the copying here: there is no time-out."""
        if not (self._mail and self.config.smtp_server):
            return
        sender = "fitsdata@example.org"
        with smtplib.SMTP(self.config.smtp_server) as server:
            server.sendmail(sender, [sender], f"From: {sender}\r\nTo: {sender}\r\nSubject: ERROR - copy_from_dhs validation failures\r\n\r\n{self._mail}")
        self._mail = ""


def main(script: str) -> None:
    """The script."""
    parser = argparse.ArgumentParser()
    for flag in ("dryrun", "debug", "demon"):
        parser.add_argument("--" + flag, action="store_true")
    options = parser.parse_args()
    config = settings.load(script)
    log = Log(config.log_dir, config.generation)
    log.configure(options.debug, options.demon, None)
    log.info("*********  copy_from_dhs.py - starting up at %s", clock.local(), at="copy_from_dhs:315")
    log.info("Doing Initial DHS directory scan...", at="copy_from_dhs:322")
    log.info("... found %d files", len(os.listdir(config.dhs_perm)), at="copy_from_dhs:325")
    copier = Copier(config, log)
    log.info("Starting looping...", at="copy_from_dhs:332")
    while True:
        copier.scan()
        log.debug("Pass complete, sleeping", at="copy_from_dhs:379")
        time.sleep(config.scan)
        log.debug("Re-scanning", at="copy_from_dhs:381")
