# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a text must contain for a regular expression to match it: finding plain bytes is a hundred times faster than matching."""

from __future__ import annotations

import re
from typing import Any, FrozenSet, List, Optional, Pattern, Tuple

try:
    from re import _parser as sre_parse  # type: ignore[attr-defined]
except ImportError:
    import sre_parse  # before Python 3.11

_SHORTEST = 2
_MOST = 16
Literals = FrozenSet[bytes]


def required(pattern: Pattern[bytes]) -> Optional[Tuple[Literals, bool]]:
    """Some bytes of which one is in all that the pattern matches, and whether upper and lower case count as one; None when nothing is known."""
    tree = sre_parse.parse(pattern.pattern, pattern.flags)
    found = _of(tree, tree.state.flags)
    if found is None:
        return None
    literals, folded = found
    return (frozenset(literal.lower() for literal in literals), True) if folded else (literals, False)


def _of(tree: Any, flags: int) -> Optional[Tuple[Literals, bool]]:
    """The longest of what stands one after the other."""
    folded = bool(flags & re.IGNORECASE)
    found: List[Tuple[Literals, bool]] = []
    run = bytearray()
    for kind, argument in tree:
        if kind is sre_parse.LITERAL and argument < 256:
            run.append(argument)
            continue
        found.append((frozenset([bytes(run)]), folded))
        run.clear()
        inner = _inside(kind, argument, flags)
        if inner:
            found.append(inner)
    found.append((frozenset([bytes(run)]), folded))
    best = max(found, key=lambda one: min(map(len, one[0])))
    return best if min(map(len, best[0])) >= _SHORTEST and len(best[0]) <= _MOST else None


def _inside(kind: Any, argument: Any, flags: int) -> Optional[Tuple[Literals, bool]]:
    if kind is sre_parse.SUBPATTERN:
        _group, added, removed, tree = argument
        return _of(tree, (flags | added) & ~removed)
    if kind is sre_parse.BRANCH:
        return _any(argument[1], flags)
    if kind in (sre_parse.MAX_REPEAT, sre_parse.MIN_REPEAT) and argument[0] >= 1:
        return _of(argument[2], flags)
    return None


def _any(branches: List[Any], flags: int) -> Optional[Tuple[Literals, bool]]:
    """One of several: something must be known of each."""
    parts = [_of(branch, flags) for branch in branches]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or len({folded for _literals, folded in known}) > 1:
        return None
    return frozenset().union(*(literals for literals, _folded in known)), known[0][1]
