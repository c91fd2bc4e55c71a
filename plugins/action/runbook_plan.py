# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the hosts of a run stand, and what would mend them. Runs on the controller, connects to nothing."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import yaml
from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.fieldops.runbooks.plugins.plugin_utils import looked, remediation
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.remediation import Limits, RemediationError, Step, Wish
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.tasks_file import said, write_tasks

PLAYBOOKS = os.path.join(os.path.dirname(__file__), os.pardir, os.pardir, "playbooks")
KNOWN_SCHEMAS = range(1, 3)
ARGUMENTS: Dict[str, Dict[str, Any]] = {
    "report": {"type": "path"},
    "report_max_age": {"type": "float", "default": 86400.0},
    "systems": {"type": "list", "elements": "str", "default": []},
    "codes": {"type": "list", "elements": "str", "default": []},
    "approved_plan": {"type": "str"},
    "hosts_at_once": {"type": "int", "default": 0},
    "failures_allowed": {"type": "int", "default": 0},
    "write": {"type": "bool", "default": False},
    "mended": {"type": "list", "elements": "dict", "default": []},
}


class ActionModule(ActionBase):
    """Thin: reads what is there, has it made into steps, writes them down."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        result: Dict[str, Any] = super().run(tmp, task_vars)
        values = task_vars or {}
        args = self.validate_argument_spec(ARGUMENTS)[1]
        try:
            return dict(result, changed=False, **self._plan(args, values))
        except RemediationError as exc:
            raise AnsibleActionFail("%s. Nothing was changed." % exc) from exc

    def _plan(self, args: Mapping[str, Any], values: Mapping[str, Any]) -> Dict[str, Any]:
        hosts, reached = list(values["ansible_play_hosts_all"]), list(values["ansible_play_hosts"])
        shipped = _read_yaml("vars/triage.yml")
        document, told = _look(args, values, hosts, reached, shipped["registers"])
        known = remediation.catalogue(shipped["remedies"])
        wish = Wish(tuple(args["systems"]), tuple(args["codes"]))
        remediation.check_wish(wish, known)
        steps, left = remediation.choose(document, known, wish, values["groups"])
        playbooks = {step.playbook: _read_yaml(step.playbook + ".yml") for step in steps}
        steps, outside = remediation.within(steps, playbooks, values["groups"], reached)
        sha256 = remediation.plan_sha256(steps)
        _approve(args["approved_plan"], sha256, steps)
        told["plan"] = {
            "sha256": sha256,
            "steps": [step.told(n) for n, step in enumerate(steps, 1)],
            "left": [each.told() for each in [*left, *outside]],
        }
        told["text"] = remediation.text(steps, [*left, *outside], sha256, remediation.unmatched(wish, document))
        if args["write"]:
            limits = Limits(_at_least(args, "hosts_at_once", 0), _at_least(args, "failures_allowed", 0))
            told["tasks_file"] = _write(remediation.tasks(steps, playbooks, values["groups"], limits))
            told["hosts"] = sorted({host for step in steps for host in step.hosts})
            told["mends"] = [dict(zip(("host", "code", "subject"), found)) for step in steps for found in step.findings if found[0] in reached]
        return told


def _look(
    args: Mapping[str, Any], values: Mapping[str, Any], hosts: List[str], reached: List[str], registers: List[str]
) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """The findings, and how the hosts stand by them."""
    troubles: List[Dict[str, str]] = []
    gone: List[str] = []
    if args["report"]:
        document = _read_report(args["report"], args["report_max_age"])
    else:
        hostvars = values["hostvars"]
        variables = {host: hostvars.raw_get(host) for host in reached}
        document, troubles = looked.gather(variables, registers), looked.troubles(variables)
        gone = [host for host in hosts if host not in reached]
    wanted = [(found["host"], found["code"], found["subject"]) for found in args["mended"]]
    standing = [dict(zip(("host", "code", "subject"), found)) for found in looked.still_standing(document, wanted)]
    return document, {"status": looked.status(document, hosts, gone, troubles), "troubles": troubles, "standing": standing}


def _read_report(path: str, max_age: float) -> Dict[str, Any]:
    """A report of the summary callback; one that is too old tells of another day."""
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        version, ended = document["schema_version"], document["run"]["ended"]
        age = (datetime.now(timezone.utc) - datetime.strptime(ended, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)).total_seconds()
        complete = all(isinstance(document[name], list) for name in ("findings", "remedies"))
    except OSError as exc:
        raise RemediationError("the report %s cannot be read: %s" % (path, exc.strerror)) from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise RemediationError("%s is no report of fieldops.runbooks.summary (docs/schemas/report.schema.json): %s" % (path, exc)) from exc
    if version not in KNOWN_SCHEMAS or not complete:
        raise RemediationError("%s has the form %s of a report; this version reads 1 to %d" % (path, version, KNOWN_SCHEMAS[-1]))
    if max_age and age > max_age:
        raise RemediationError("%s is of %s, %d s ago, and at most %d s are allowed: run the triage again" % (path, ended, age, max_age))
    return dict(document)


def _approve(approved: Optional[str], sha256: str, steps: Sequence[Step]) -> None:
    if approved and approved.lower() != sha256 and steps:
        text = "today's plan %s is not the approved one %s: what is wrong has changed since it was approved; read today's and approve it"
        raise RemediationError(text % (sha256, approved.lower()))


def _at_least(args: Mapping[str, Any], name: str, least: int) -> int:
    value: int = args[name]
    if value < least:
        raise RemediationError("%s must be %d or more, not %d" % (name, least, value))
    return value


def _read_yaml(name: str) -> Any:
    """A file that lies with the shipped playbooks. No name comes from outside."""
    with open(os.path.join(PLAYBOOKS, name), encoding="utf-8") as file:
        return yaml.safe_load(file)


def _write(tasks: Sequence[Mapping[str, Any]]) -> str:
    """Into the folder that ansible-core removes when the run ends."""
    return write_tasks([dict(task, vars=said(task["vars"])) if "vars" in task else task for task in tasks], C.DEFAULT_LOCAL_TMP, "remediation-")
