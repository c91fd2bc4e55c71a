# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a procedure meets AnsibleModule: options in, results out, errors into one ``fail_json``. A check alone is run by ``info``."""

from __future__ import annotations

import json
import math
import re
import time
import traceback
from contextlib import closing
from typing import Any, Callable, Mapping, NoReturn, Optional

from ansible.module_utils.basic import AnsibleModule

from .argspec import GUARDS
from .check import Procedure, Result, shown
from .errors import RunbookError
from .guard import GuardOptions
from .info import Closer, Errors, elapsed, facts_of, legible
from .run import Engine
from .windows import opening

_NUMBERS = ("max_changes", "cooldown", "lock_wait", "lock_expiry", "journal_keep_days", "journal_keep_runs", "escalate_after", "escalate_within")


def run_fix(module: AnsibleModule, factory: Callable[[Mapping[str, Any]], Procedure[Any]], errors: Errors = ()) -> NoReturn:
    """Run a procedure through the engine and exit."""
    started = time.monotonic()
    expected: Errors = (RunbookError, *errors)
    engine = None
    try:
        options = guard_options(module.params)
        with closing(Closer(factory(module.params))) as holder:
            engine = Engine(holder.check, options, bool(module.check_mode))
            result = engine.run()
    except expected as exc:
        _fail(module, str(exc), engine.result if engine else None, started, **getattr(exc, "detail", {}))
    except Exception as exc:  # whatever went wrong, the way back must not be lost
        if engine is None or engine.result is None:
            raise
        _fail(module, "unexpected %s: %s" % (type(exc).__name__, exc), engine.result, started, exception=traceback.format_exc())
    module.exit_json(**legible(dict(facts_of(result, started), **_plan(module, result), changed=result.changed)))


def guard_options(params: Mapping[str, Any]) -> GuardOptions:
    """Read the option group, refusing values that no plan could meet."""
    approved = params.get("approved_plan")
    if approved is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", approved):
        raise RunbookError("approved_plan must be the plan_sha256 of an earlier result (64 hexadecimal digits), not %r" % approved)
    for name in _NUMBERS:
        if params[name] < 0 or not math.isfinite(params[name]):
            raise RunbookError("%s must be 0 or more, not %s" % (name, params[name]))
    if params["lock_expiry"] < 60:
        raise RunbookError("lock_expiry must be at least 60 seconds, longer than any run, not %s" % params["lock_expiry"])
    opening(params["windows"], params["windows_mean"], params["windows_timezone"], time.time())  # says what is wrong with them
    known = {name: params[name] for name in GUARDS.options}
    return GuardOptions(**dict(known, initiator=params["initiator"] or {}))


def _plan(module: AnsibleModule, result: Result) -> dict[str, Any]:
    rows = shown(result.changes, result.outcomes)
    plan = {"changes": rows, "changes_total": len(result.changes), "plan_sha256": result.sha256, "undo_id": result.undo_id}
    plan["guards"] = result.guards
    if module._diff:
        plan["diff"] = [_diff(row) for row in rows]
    return plan


def _diff(row: Mapping[str, Any]) -> dict[str, Any]:
    """One change as Ansible shows it: only the values that differ, one to a line."""
    before, after = row["before"], row["after"]
    if before is not None and after is not None:
        same = {key for key in before if key in after and before[key] == after[key]}
        before, after = ({key: image[key] for key in image if key not in same} for image in (before, after))
    text = [("" if image is None else json.dumps(image, indent=2, sort_keys=True) + "\n") for image in (before, after)]
    header = "%s %s" % (row["action"], row["subject"])
    return {"before": text[0], "after": text[1], "before_header": header, "after_header": header}


def _fail(module: AnsibleModule, message: str, result: Optional[Result], started: float, **detail: Any) -> NoReturn:
    known: dict[str, Any] = {"elapsed": elapsed(started)}
    if result is not None:
        known = dict(facts_of(result, started), **_plan(module, result))
        # A refused plan, and one whose changes were rolled back, changed nothing; an undo_id says that there is a way back.
        known["changed"] = any(outcome.done for outcome in result.outcomes)
    module.fail_json(**legible(dict(known, **detail, msg=message)))
