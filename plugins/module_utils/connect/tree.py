# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files by name, somewhere below a directory that is too large to be listed.

Memory grows with the directories that wait to be read, never with the files. A thread that hangs in a dead file system is left behind when
time is up.
"""

from __future__ import annotations

import heapq
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

NAMED = 20
"""Directories that could not be read, or lie on other file systems, are named up to so many."""
_CHUNK = 1024
"""Entries between two looks at the clock."""


@dataclass(frozen=True)
class Outcome:
    """How far a search has come. ``found`` has, for each name that was asked for, the path of its first hit."""

    wanted: int
    found: Mapping[str, str] = field(default_factory=dict)
    complete: bool = False
    stopped: str = ""
    """What ended it early: timeout, or entries."""
    entries: int = 0
    directories: int = 0
    seconds: float = 0.0
    denied: Tuple[str, ...] = ()
    denied_total: int = 0
    left_out: Tuple[str, ...] = ()
    """Directories on other file systems."""


def search(
    root: str,
    names: Mapping[str, Sequence[str]],
    first: Sequence[str] = (),
    timeout: float = 300.0,
    workers: int = 4,
    max_entries: int = 0,
    one_file_system: bool = True,
    progress: Optional[Callable[[Outcome], None]] = None,
    interval: float = 1.0,
) -> Outcome:
    """Look for files below ``root`` until each was found once, everything was seen, or a limit was met.

    ``names`` gives the spellings of each name, compared literally. The trees of ``first`` are read before others, and of those the
    directories that were changed last. Links are hits, but are not followed. ``max_entries`` 0 sets no limit.
    """
    hunt = _Hunt(names, max_entries, os.stat(root).st_dev if one_file_system else None)
    hunt.push([(0, 0.0, path) for path in first] + [(1, 0.0, root)])
    for _number in range(max(1, workers)):
        threading.Thread(target=hunt.work, daemon=True).start()
    started = time.monotonic()
    try:
        while not hunt.finished.wait(max(0.0, min(interval, started + timeout - time.monotonic()))):
            if time.monotonic() >= started + timeout:
                hunt.stop("timeout")
            elif progress is not None:
                progress(hunt.outcome(time.monotonic() - started))
    finally:
        hunt.stop("error")  # when there was one: otherwise it has ended
    outcome = hunt.outcome(time.monotonic() - started)
    if progress is not None:
        progress(outcome)
    return outcome


_Waiting = Tuple[int, float, str]
"""Rank of the tree, minus the time of its last change, path: the least is read first."""


class _Hunt:
    """What the threads of one search share."""

    def __init__(self, names: Mapping[str, Sequence[str]], max_entries: int, device: Optional[int]) -> None:
        self.missing: Dict[str, str] = {spelling: name for name, spellings in names.items() for spelling in spellings}
        self.wanted = len(names)
        self.max_entries = max_entries
        self.device = device
        self.finished = threading.Event()
        self._lock = threading.Condition()
        self._waiting: List[_Waiting] = []
        self._done_first: set[str] = set()
        self._busy = 0
        self._found: Dict[str, str] = {}
        self._denied: List[str] = []
        self._left_out: List[str] = []
        self._denied_total = self._entries = self._directories = 0
        self._complete, self._stopped = False, ""

    def push(self, directories: Sequence[_Waiting]) -> None:
        with self._lock:
            for each in directories:
                heapq.heappush(self._waiting, each)
            self._lock.notify_all()

    def stop(self, why: str) -> None:
        with self._lock:
            self._end(False, why)

    def work(self) -> None:
        """One thread: read a directory, put those below it in line, take the next."""
        while True:
            with self._lock:
                while not self._waiting and self._busy and not self.finished.is_set():
                    self._lock.wait()
                if self.finished.is_set():
                    return
                if not self._waiting:
                    self._end(True)
                    return
                rank, _age, path = heapq.heappop(self._waiting)
                if self._seen(rank, path):
                    continue
                self._busy += 1
            below = self._read(rank, path)
            with self._lock:
                self._directories += 1
                self.push(below)
                self._busy -= 1  # not before: an empty line and nobody busy is the end

    def outcome(self, seconds: float) -> Outcome:
        with self._lock:
            counts = (self._entries, self._directories, round(seconds, 3))
            return Outcome(
                self.wanted, dict(self._found), self._complete, self._stopped, *counts, tuple(self._denied), self._denied_total, tuple(self._left_out)
            )

    def _seen(self, rank: int, path: str) -> bool:
        """Whether this was read as part of a tree that came first. Only those trees are remembered."""
        if rank == 0:
            known = path in self._done_first
            self._done_first.add(path)
            return known
        return path in self._done_first

    def _read(self, rank: int, path: str) -> List[_Waiting]:
        below: List[_Waiting] = []
        try:
            with os.scandir(path) as entries:
                for chunk in _chunks(entries):
                    self._take(rank, chunk, below)
                    if self.finished.is_set():
                        return []
        except FileNotFoundError:  # removed meanwhile, or a place that was only guessed
            return below
        except OSError:
            with self._lock:
                self._denied_total += 1
                if len(self._denied) < NAMED:
                    self._denied.append(path)
        return below

    def _take(self, rank: int, chunk: Sequence[os.DirEntry[str]], below: List[_Waiting]) -> None:
        missing = self.missing
        for entry in chunk:
            if entry.is_dir(follow_symlinks=False):
                self._descend(rank, entry, below)
            elif entry.name in missing:
                self._hit(entry)
        with self._lock:
            self._entries += len(chunk)
            if self.max_entries and self._entries >= self.max_entries:
                self._end(False, "entries")

    def _descend(self, rank: int, entry: os.DirEntry[str], below: List[_Waiting]) -> None:
        with suppress(FileNotFoundError):
            info = entry.stat(follow_symlinks=False)
            if self.device is None or info.st_dev == self.device:
                below.append((rank, -info.st_mtime, entry.path))
            elif len(self._left_out) < NAMED:
                self._left_out.append(entry.path)

    def _hit(self, entry: os.DirEntry[str]) -> None:
        with self._lock:
            name = self.missing.get(entry.name)
            if name is None:
                return
            self._found[name] = entry.path
            # A new mapping, because other threads are looking into the old one.
            self.missing = {spelling: other for spelling, other in self.missing.items() if other != name}
            if not self.missing:
                self._end(True)

    def _end(self, complete: bool, why: str = "") -> None:
        """Under the lock; only the first end counts."""
        if not self.finished.is_set():
            self._complete, self._stopped = complete, why
            self.finished.set()
        self._lock.notify_all()


def _chunks(entries: Iterator[os.DirEntry[str]]) -> Iterator[List[os.DirEntry[str]]]:
    while True:
        chunk = list(islice(entries, _CHUNK))
        if not chunk:
            return
        yield chunk
