# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the engine. The module glue turns each into one ``fail_json``."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence


class RunbookError(Exception):
    """Something a person can act on. ``detail`` is returned beside the message."""

    def __init__(self, message: str, **detail: Any) -> None:
        super().__init__(message)
        self.detail = detail


class JournalError(RunbookError):
    """The journal cannot be written or read; a fix does not start without it."""


class Refusal(NamedTuple):
    """One guard that said no: why, and what would allow the plan."""

    guard: str
    reason: str
    allow: str

    def to_dict(self) -> dict[str, str]:
        return {"guard": self.guard, "reason": self.reason, "allow": self.allow}


class Refused(RunbookError):
    """The whole plan was refused and nothing was changed."""

    def __init__(self, fix: str, refusals: Sequence[Refusal], total: int, **detail: Any) -> None:
        lines = ["%s refused; nothing was changed (%d planned)." % (fix, total)]
        lines += ["- %s: %s To allow: %s" % (refusal.guard, refusal.reason, refusal.allow) for refusal in refusals]
        super().__init__("\n".join(lines), refusals=[refusal.to_dict() for refusal in refusals], **detail)
        self.refusals = tuple(refusals)


class NotConverged(RunbookError):
    """Every change was made, yet the plan that was to become empty did not."""
