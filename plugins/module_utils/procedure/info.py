# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a check meets AnsibleModule: results out, errors into one ``fail_json``. Without the engine: a look ships and loads less."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import Any, Callable, Mapping, NoReturn, Tuple, Type

from ansible.module_utils.basic import AnsibleModule

from ..connect import redact
from .check import Check, Result, judged
from .errors import RunbookError
from .record import recorded, replayed

Errors = Tuple[Type[Exception], ...]


def run_info(module: AnsibleModule, factory: Callable[[Mapping[str, Any]], Check[Any]], errors: Errors = ()) -> NoReturn:
    """Observe, diagnose, exit. ``errors`` are the exceptions of the system that are told by their message alone."""
    started = time.monotonic()
    expected: Errors = (RunbookError, *errors)
    record: dict[str, Any] = {}
    try:
        if module.params.get("replay"):
            result = _replay(factory, module.params["replay"])
        else:
            with closing(Closer(factory(module.params))) as holder:
                state = holder.check.observe()
                result = judged(holder.check, state)
                if module.params.get("record"):
                    record = {"record": recorded(holder.check, state, redact)}
    except expected as exc:
        told = dict(getattr(exc, "detail", {}), elapsed=elapsed(started), msg=str(exc))
        module.fail_json(**_shown(module, told))
    # A look changes nothing, but for a file that it was asked to write; the check says so among its facts.
    module.exit_json(**legible(dict(record, **_shown(module, dict({"changed": False}, **facts_of(result, started))))))


def _replay(kind: Any, path: str) -> Result:
    """The findings of what was recorded. Nothing is connected to, and no option but this counts."""
    try:
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
    except OSError as exc:
        raise RunbookError("replay: %s cannot be read: %s" % (path, exc.strerror)) from exc
    except (ValueError, RecursionError) as exc:
        raise RunbookError("replay: %s is no JSON: %s" % (path, exc)) from exc
    check, state = replayed(kind, record)
    try:
        return Result(list(check.diagnose(state)), {}, {"replayed": path})
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as exc:
        raise RunbookError("replay: %s is no state that %s has recorded: %s" % (path, kind.name, exc)) from exc


def _shown(module: AnsibleModule, told: Any) -> Any:
    """Of looks that may be recorded, results go into bundles and reports."""
    return redact.tree(legible(told)) if "record" in module.params else legible(told)


class Closer:
    """Closes what a check holds open, if it holds anything."""

    def __init__(self, check: Any) -> None:
        self.check = check

    def close(self) -> None:
        close = getattr(self.check, "close", None)
        if close is not None:
            close()


def facts_of(result: Result, started: float) -> dict[str, Any]:
    """What every result has."""
    return dict(
        result.facts,
        findings=[finding.to_dict() for finding in result.findings],
        evidence=dict(result.evidence),
        elapsed=elapsed(started),
    )


def elapsed(started: float) -> float:
    """Seconds, to the millisecond."""
    return round(time.monotonic() - started, 3)


def legible(value: Any) -> Any:
    """Ansible takes nothing but UTF-8, which names of files need not be: what is none is spelt out."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {legible(key): legible(each) for key, each in value.items()}
    return [legible(each) for each in value] if isinstance(value, (list, tuple)) else value
