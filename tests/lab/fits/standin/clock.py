# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Naive clocks, as upstream writes them: which column holds local time and which UTC is its best trap."""

from __future__ import annotations

import datetime

FOR_EVER = datetime.datetime.max  # C's stamp for "not failed": 9999-12-31 23:59:59.999999
LONG_AGO = datetime.datetime.min  # B's `after` of a new export row


def local() -> datetime.datetime:
    """Local time without a time zone."""
    return datetime.datetime.now()


def utc() -> datetime.datetime:
    """UTC without a time zone."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def added(generation: str, queue: str) -> datetime.datetime:
    """`added` of a new row: UTC in C and on B's ingest queue, local elsewhere."""
    return utc() if generation == "C" or (generation, queue) == ("B", "ingest") else local()


def due(generation: str, queue: str) -> datetime.datetime:
    """The clock that `after` is compared with when a row is taken."""
    return added(generation, queue)
