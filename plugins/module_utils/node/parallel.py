# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks side by side, with one end to them all: what hangs is left behind, and keeps nothing else waiting."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Dict, Generic, List, Mapping, TypeVar, Union

from .expect import Missed

K = TypeVar("K")
_AT_ONCE = 64


class Looks(Generic[K]):
    """Starts looks, and gathers what they saw. Their threads do not keep the process from ending."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.started = time.monotonic()
        self.taken: Dict[K, float] = {}
        """Seconds that each look took."""
        self._room = threading.Semaphore(_AT_ONCE)

    def left(self) -> float:
        return max(0.0, self.seconds - (time.monotonic() - self.started))

    def gather(self, looks: Mapping[K, Callable[[], Any]]) -> Dict[K, Union[Any, Missed]]:
        """The result of each look, in the same order; those that are not there when the time is up are missed."""
        results: Dict[K, Any] = {}
        threads: List[threading.Thread] = []
        for key, look in looks.items():
            thread = threading.Thread(target=self._run, args=(key, look, results), daemon=True)
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join(self.left())
        seen = dict(results)  # what comes later does not count
        late = Missed("it did not answer within %g s" % self.seconds)
        return {key: seen.get(key, late) for key in looks}

    def _run(self, key: K, look: Callable[[], Any], results: Dict[K, Any]) -> None:
        with self._room:
            if self.left() > 0:
                started = time.monotonic()
                results[key] = attempt(look)
                self.taken[key] = time.monotonic() - started


def attempt(look: Callable[[], Any]) -> Union[Any, Missed]:
    """What a look saw, or why it could not see."""
    try:
        return look()
    except OSError as exc:
        where = ": %s" % exc.filename if exc.filename else ""
        return Missed("%s%s" % (exc.strerror or exc, where))
    except Exception as exc:  # noqa: BLE001 - one look must not end the others
        return Missed("%s: %s" % (type(exc).__name__, exc))
