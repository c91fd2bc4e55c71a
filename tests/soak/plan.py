# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which faults a round has, when its remediation is killed, and whether it is taken back: a matter of the seed alone."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

KILLED, KILLED_THERE, UNDONE = 0.4, 0.7, 0.4
LATEST = 25.0
"""Seconds after which a remediation is killed at the latest; most have begun to change something by then."""


@dataclass(frozen=True)
class Round:
    """``faults`` by name, in the order in which they are made."""

    number: int
    faults: tuple[str, ...]
    kill_after: float | None
    node: bool
    """Killed are the modules on the nodes as well."""

    undo: str | None
    """The fault whose mending is taken back."""


def round_of(seed: int, number: int, faults: Sequence[str], undoable: Sequence[str]) -> Round:
    """The same for the same seed, whatever the rounds before it came to."""
    dice = random.Random(f"{seed}/{number}")  # noqa: S311  not for a secret
    chosen = dice.sample(sorted(faults), dice.randint(1, len(faults)))
    kill = round(dice.uniform(2.0, LATEST), 1) if dice.random() < KILLED else None
    node = dice.random() < KILLED_THERE
    back = [fault for fault in sorted(chosen) if fault in undoable]
    undo = dice.choice(back) if back and dice.random() < UNDONE else None
    return Round(number, tuple(chosen), kill, node, undo)


def reproduce(seed: int, number: int, hosts: Sequence[str]) -> str:
    """The command that makes the same rounds again."""
    return f"SOAK_SEED={seed} SOAK_ROUNDS={number} SOAK_HOSTS={','.join(hosts)} make soak"


def counted(values: Sequence[str]) -> Mapping[str, int]:
    return {value: values.count(value) for value in sorted(set(values))}
