# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument specifications as values: options and their constraints travel together and are merged."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Sequence, Tuple


@dataclass
class ArgumentSpec:
    """Options with the rules between them; ``merge`` adds another group."""

    options: Dict[str, Dict[str, Any]] = field(default_factory=dict)
    mutually_exclusive: List[Sequence[str]] = field(default_factory=list)
    required_together: List[Sequence[str]] = field(default_factory=list)
    required_one_of: List[Sequence[str]] = field(default_factory=list)
    required_if: List[Tuple[Any, ...]] = field(default_factory=list)
    required_by: Dict[str, Sequence[str]] = field(default_factory=dict)

    def merge(self, *others: ArgumentSpec) -> ArgumentSpec:
        merged = ArgumentSpec()
        for spec in (self,) + others:
            merged.options.update(spec.options)
            merged.mutually_exclusive += spec.mutually_exclusive
            merged.required_together += spec.required_together
            merged.required_one_of += spec.required_one_of
            merged.required_if += spec.required_if
            merged.required_by.update(spec.required_by)
        return merged

    def recordable(self) -> ArgumentSpec:
        """What a look takes whose record can be replayed; then no other option counts, and none is required."""
        merged = self.merge(
            ArgumentSpec({"record": {"type": "bool", "default": False}, "replay": {"type": "path"}}, mutually_exclusive=[("record", "replay")]),
        )
        merged.required_one_of = [(*names, "replay") for names in merged.required_one_of]
        return merged

    def to_kwargs(self) -> Mapping[str, Any]:
        return {
            "argument_spec": deepcopy(self.options),  # AnsibleModule writes into defaults
            "mutually_exclusive": self.mutually_exclusive,
            "required_together": self.required_together,
            "required_one_of": self.required_one_of,
            "required_if": self.required_if,
            "required_by": self.required_by,
        }


JOURNAL = ArgumentSpec({"journal_dir": {"type": "path"}})

LIMITS = ArgumentSpec(
    {
        "limits_dir": {"type": "path"},
        "paused": {"type": "str"},
        "windows": {"type": "list", "elements": "str", "default": []},
        "windows_mean": {"type": "str", "default": "only_inside", "choices": ["only_inside", "never_inside"]},
        "windows_timezone": {"type": "str", "default": "UTC"},
        "escalate_after": {"type": "int", "default": 0},
        "escalate_within": {"type": "float", "default": 86400.0},
    }
)

GUARDS = ArgumentSpec(
    {
        "max_changes": {"type": "int", "default": 1000},
        "cooldown": {"type": "float", "default": 0.0},
        "lock_wait": {"type": "float", "default": 0.0},
        "lock_expiry": {"type": "float", "default": 900.0},
        "accept_data_loss": {"type": "list", "elements": "str", "default": []},
        "approved_plan": {"type": "str"},
        "journal_keep_days": {"type": "float", "default": 90.0},
        "journal_keep_runs": {"type": "int", "default": 1000},
        "initiator": {
            "type": "dict",
            "default": {},
            "options": {"user": {"type": "str"}, "job_id": {"type": "str"}},
        },
    }
).merge(JOURNAL, LIMITS)
