# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files fail, and how: rules in the control file `<root>/data/fail`, read again for every file.

A rule is a line `<regular expression> <kind> [text]`; the expression is searched in the file name, and the first rule
that fits counts. The same rules, parted by semicolons, may stand in LAB_FAIL. The kinds are:

  ingest  error          the file cannot be processed (A/B: two queue_error rows, failed; C: error, fail_dt)
          cannot_access  the file is missing or unreadable (A/B: the row is removed as if done; C: error)
          astrodata      A/B: logged, row removed, a canonical diskfile without header stays; C: as error
          crash          an exception that nobody expected (C: the process dies; A/B: as error)
  export  transfer       any ordinary failure (A: back-off; B: failed too; C: no information from the destination)
          http500 timeout connection   the POST fails (C: also delays the whole destination by 300 s; A/B: as transfer)
          md5            what arrived is not what was sent
          pending        the destination still has to ingest the file (C: after +40 s; B: +10 s; A: as transfer)
          url            A/B: an URLError escapes: failed, one queue_error row; C: as connection
          other          an unexpected exception (A: in progress for ever, lastfailed NULL; C: the process dies)
          hang           A/B: waits for ever with the row in progress; C: as timeout
  both    slow           no failure: the file takes so many seconds more
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .settings import Settings


@dataclass
class Failure:
    """How a file fails."""

    kind: str
    text: str


def _rules(settings: Settings) -> list[str]:
    lines = settings.fail.split(";")
    try:
        with open(settings.fail_file, encoding="utf-8") as handle:
            lines += handle.read().splitlines()
    except FileNotFoundError:
        pass
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def find(settings: Settings, filename: str) -> Failure | None:
    """The first rule that fits this file name."""
    for failure in _matching(settings, filename):
        if failure.kind != "slow":
            return failure
    return None


def delay(settings: Settings, filename: str) -> float:
    """Seconds that this file takes more than others."""
    return sum(float(failure.text) for failure in _matching(settings, filename) if failure.kind == "slow")


def _matching(settings: Settings, filename: str) -> Iterator[Failure]:
    for rule in _rules(settings):
        pattern, kind, *text = rule.split(None, 2)
        if re.search(pattern, filename):
            yield Failure(kind, text[0] if text else f"no end card found in {filename}")
