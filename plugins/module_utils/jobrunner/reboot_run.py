# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on the node when the time of a maintenance has come: the service is stopped, jobs are reset, and a report is left.

It is started by systemd, with nobody to ask. While jobs have results that are not filed, it waits for the main loop to file them; when its
patience is over, it either has them done again, as whoever set it has decided, or leaves everything as it is and says so.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from contextlib import closing
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from ..connect.docker import DockerError
from ..connect.sqlite import SqliteError
from ..procedure.check import Result, shown
from ..procedure.errors import Refused, RunbookError
from ..procedure.guard import GuardOptions
from ..procedure.run import Engine
from .errors import JobRunnerError
from .reboot import Reboot

REPORT = "report.json"
_EXPECTED = (RunbookError, JobRunnerError, SqliteError, DockerError)
_INTERVAL = 10.0


def prepare(options: Mapping[str, Any], sleep: Callable[[float], None] = time.sleep) -> Dict[str, Any]:
    """Until it is done, or the time is up; the report."""
    started, deadline = time.time(), time.monotonic() + float(options["patience"])
    accepted: List[str] = list(options["accept_data_loss"])
    tries: List[str] = []
    while True:
        report = _once(options, accepted)
        tries.append(report["msg"])
        if report["status"] == "ok" or time.monotonic() >= deadline:
            losses = [loss for loss in report.pop("losses") if loss not in accepted]
            if report["status"] == "ok" or not (losses and options["redo_finished"]):
                break
            accepted += losses  # nothing is lost but the time: they are done again
            continue
        sleep(min(_INTERVAL, max(0.0, deadline - time.monotonic())))
    return dict(report, tries=tries, accepted=accepted, started=started, ended=time.time())


def _once(options: Mapping[str, Any], accepted: Sequence[str]) -> Dict[str, Any]:
    engine: Optional[Engine[Any]] = None
    try:
        with closing(Reboot(options["params"])) as procedure:
            engine = Engine(procedure, GuardOptions(accept_data_loss=accepted, initiator=options["initiator"], **options["guards"]), check_mode=False)
            result = engine.run()
    except _EXPECTED as exc:
        return _report("failed", str(exc), engine, _losses(exc, engine))
    except Exception as exc:  # noqa: BLE001  nobody is there to see it but the report
        return _report("failed", "unexpected %s: %s" % (type(exc).__name__, exc), engine, [], exception=traceback.format_exc())
    return _report("ok", "ready: %s" % result.facts["ready"], engine, [])


def _losses(exc: Exception, engine: Optional[Engine[Any]]) -> List[str]:
    """What the plan would have lost, where that alone was in the way."""
    if engine is None or engine.result is None or not isinstance(exc, Refused) or [refusal.guard for refusal in exc.refusals] != ["accept_data_loss"]:
        return []
    return sorted({change.data_loss for change in engine.result.changes if change.data_loss})


def _report(status: str, msg: str, engine: Optional[Engine[Any]], losses: Sequence[str], **more: Any) -> Dict[str, Any]:
    result = (engine.result if engine else None) or Result([], {}, {})
    return dict(
        result.facts,
        fix="jobrunner_prepare_for_reboot",
        status=status,
        msg=msg,
        findings=[finding.to_dict() for finding in result.findings],
        changes=shown(result.changes, result.outcomes),
        changes_total=len(result.changes),
        changed=any(outcome.done for outcome in result.outcomes),
        plan_sha256=result.sha256,
        undo_id=result.undo_id,
        evidence=dict(result.evidence),
        losses=list(losses),
        **more,
    )


def write_report(directory: str, report: Mapping[str, Any]) -> None:
    """Whole, or the one before."""
    path = os.path.join(directory, REPORT)
    with open(path + ".new", "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        json.dump(report, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".new", path)


def main(arguments: Sequence[str]) -> int:
    """``run`` does it; ``check`` only tells that everything needed is there."""
    import docker  # noqa: F401, PLC0415  now, and not at night

    from .reboot_program import options_of  # noqa: PLC0415

    options = options_of(sys.argv[0])
    if options is None:
        sys.stderr.write("%s holds no options\n" % sys.argv[0])
        return 2
    if arguments != ["run"]:
        sys.stdout.write("ready: %s\n" % options["params"]["workdir"])
        return 0
    report = prepare(options)
    write_report(options["directory"], report)
    sys.stdout.write("%s: %s\n" % (report["status"], report["msg"]))
    return 0 if report["status"] == "ok" else 1
