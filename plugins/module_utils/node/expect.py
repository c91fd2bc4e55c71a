# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an expectation says about itself, and how its options are read: one clear error for what cannot be meant."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any, Mapping, NamedTuple, Optional, Tuple

from ..procedure.envelope import Finding, Remedy
from ..procedure.errors import RunbookError
from .sizes import Amount, parse_amount, parse_size


class Missed(NamedTuple):
    """Stands where something could not be found out, with the reason."""

    reason: str


class Said(NamedTuple):
    """How the findings of one expectation are told."""

    name: str
    code: str
    subject: str
    severity: Optional[str] = None
    runbook: Optional[Tuple[str, str]] = None
    remedy: Optional[Remedy] = None

    def bad(self, what: str, severity: str, text: str, **detail: Any) -> Finding:
        """It does not hold; its own severity goes before the one that the module would choose."""
        return self._finding(what, self.severity or severity, text, detail)

    def note(self, what: str, text: str, **detail: Any) -> Finding:
        """Worth knowing, and no fault."""
        return self._finding(what, "info", text, detail)

    def unknown(self, text: str, **detail: Any) -> Finding:
        """No remedy: nobody may mend what may be well."""
        return replace(self._finding("unknown", "warning", text, detail), remedy=None)

    def _finding(self, what: str, severity: str, text: str, detail: Mapping[str, Any]) -> Finding:
        summary = "%s: %s" % (self.name, text)
        return Finding("%s.%s" % (self.code, what), severity, self.subject, summary, detail, self.remedy, self.runbook)


class Options:
    """The options of one expectation, by name; ``where`` names it in errors."""

    def __init__(self, where: str, params: Mapping[str, Any]) -> None:
        self.where = where
        self.params = params

    def __getitem__(self, name: str) -> Any:
        return self.params[name]

    def refuse(self, name: str, accepted: str) -> RunbookError:
        return RunbookError("%s.%s must be %s, not %r" % (self.where, name, accepted, self.params[name]))

    def said(self, kind: str, name: str, runbook_file: Optional[str]) -> Said:
        """``name`` is for the expectation that has none."""
        params = self.params
        named = params.get("name") or name
        heading = (runbook_file, params["runbook"]) if runbook_file and params["runbook"] else None
        remedy = params["remedy"]
        return Said(
            named,
            params["code"] or "node.%s" % kind,
            params["subject"] or named,
            params["severity"],
            heading,
            Remedy(remedy["text"], remedy["playbook"], remedy["vars"] or {}) if remedy else None,
        )

    def regex(self, name: str) -> Optional[str]:
        if self.params[name] is None:
            return None
        check_regex("%s.%s" % (self.where, name), self.params[name])
        return str(self.params[name])

    def number(self, name: str) -> Optional[float]:
        """Nothing below nought, and nothing that no clock will reach."""
        value = self.params[name]
        if value is not None and not (value >= 0 and math.isfinite(value)):
            raise self.refuse(name, "0 or more")
        return None if value is None else float(value)

    def whole(self, name: str) -> Optional[int]:
        value = self.number(name)
        return None if value is None else int(value)

    def size(self, name: str) -> Optional[int]:
        if self.params[name] is None:
            return None
        size = parse_size(self.params[name])
        if size is None:
            raise self.refuse(name, "a size such as 512M, 5G or a number of bytes")
        return size

    def amount(self, name: str) -> Optional[Amount]:
        if self.params[name] is None:
            return None
        amount = parse_amount(self.params[name])
        if amount is None:
            raise self.refuse(name, "a share such as 10% or a size such as 5G")
        return amount

    def absolute(self, name: str) -> str:
        path = str(self.params[name])
        if not path.startswith("/") or "\0" in path:
            raise self.refuse(name, "an absolute path")
        return path

    def port(self, name: str) -> int:
        if not 0 < self.params[name] < 65536:
            raise self.refuse(name, "a port, 1 to 65535")
        return int(self.params[name])

    def filled(self, name: str) -> str:
        """A text that is not empty."""
        if not str(self.params[name]).strip():
            raise self.refuse(name, "not empty")
        return str(self.params[name])


def check_regex(where: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as exc:
        raise RunbookError("%s must be a regular expression of Python: %s in %r" % (where, exc, pattern)) from None
