# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several checks of one host in one round trip."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible.errors import AnsibleActionFail
from ansible.executor.module_common import _apply_action_arg_defaults
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.vars.clean import remove_internal_keys
from ansible_collections.fieldops.runbooks.plugins.plugin_utils import carrier

display = Display()
OWN = "fieldops.runbooks."
ARGUMENTS: Dict[str, Dict[str, Any]] = {
    "looks": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"module": {"type": "str", "required": True}, "args": {"type": "dict", "default": {}}, "when": {"type": "bool", "default": True}},
    }
}


class ActionModule(ActionBase):
    """Has Ansible build each module as for a task of its own, and then run all of them as if they were one."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _together: Any = None

    def run(self, tmp: Any = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        result: Dict[str, Any] = super().run(tmp, task_vars)
        asked = [look for look in self.validate_argument_spec(ARGUMENTS)[1]["looks"] if look["when"]]
        if not asked:
            return dict(result, changed=False, skipped=True, skip_reason="No look was asked for", results=[])
        looks = [self._resolved(look) for look in asked]
        self._task.args = {"looks": looks}  # what a callback is told
        built = [self._built(look, task_vars or {}) for look in looks]
        self._together = _as_one(built)
        told = self._execute_module(task_vars=task_vars)
        if not isinstance(told.get("looks"), list) or len(told["looks"]) != len(looks):
            return dict(result, **told, **({} if told.get("failed") or told.get("unreachable") else {"failed": True}))
        results = [self._read(look, each, bits) for look, each, bits in zip(looks, told.pop("looks"), built)]
        return dict(result, **told, **_summed(looks, results))

    def _configure_module(self, module_name: str, module_args: Dict[str, Any], task_vars: Dict[str, Any]) -> Tuple[Any, str]:
        """Of the task itself, what was put together; of a look, what Ansible builds."""
        if self._together is not None:
            return self._together, carrier.__file__
        built: Tuple[Any, str] = super()._configure_module(module_name, module_args, task_vars)
        return built

    def _resolved(self, look: Mapping[str, Any]) -> Dict[str, Any]:
        """The look by its full name, with the module_defaults of the task."""
        name = look["module"] if "." in look["module"] else OWN + look["module"]
        found = self._shared_loader_obj.module_loader.find_plugin_with_context(name, collection_list=self._task.collections)
        if not found.resolved:
            raise AnsibleActionFail("looks: there is no module %s. Nothing was looked at." % look["module"])
        name = found.resolved_fqcn
        if not name.endswith("_info") or self._shared_loader_obj.action_loader.has_plugin(name):
            raise AnsibleActionFail("looks: %s is no check; modules whose names end in _info are, and run on the node. Nothing was looked at." % look["module"])
        return {"module": name, "args": _apply_action_arg_defaults(name, self._task, dict(look["args"]), self._templar)}

    def _built(self, look: Mapping[str, Any], task_vars: Dict[str, Any]) -> Any:
        args = dict(look["args"])
        self._update_module_args(look["module"], args, task_vars)
        bits = self._configure_module(look["module"], args, task_vars)[0]
        if bits.module_style != "new":
            raise AnsibleActionFail("looks: %s is no Python module. Nothing was looked at." % look["module"])
        return bits

    def _read(self, look: Mapping[str, Any], told: Dict[str, Any], bits: Any) -> Dict[str, Any]:
        """The result as the task of its own would have it."""
        data: Dict[str, Any] = self._parse_returned_data(told, bits.serialization_profile)
        remove_internal_keys(data)
        error = data.get("exception")
        if data.get("failed") and not data.get("msg"):
            data["msg"] = str(getattr(getattr(error, "event", None), "msg", None) or "it ended without a result")
        if display.verbosity < 3:  # as Ansible shows it of a task
            data.pop("invocation", None)
            data.pop("exception", None)
        return dict(data, look=look["module"])


def _as_one(built: List[Any]) -> Any:
    """One script for all of them, which is passed on as Ansible passes on a module."""
    with open(os.path.splitext(carrier.__file__)[0] + ".py", encoding="utf-8") as file:
        text = file.read()
    call = "\nmain(%r)\n" % [bits.b_module_data.decode("utf-8") for bits in built]
    return dataclasses.replace(built[0], b_module_data=(text + call).encode("utf-8"))


def _summed(looks: List[Dict[str, Any]], results: List[Dict[str, Any]]) -> Dict[str, Any]:
    """It failed when one of them did; what the others have seen counts all the same."""
    told: Dict[str, Any] = {"changed": any(each.get("changed") for each in results), "results": results}
    for kind in ("warnings", "deprecations"):
        gathered = [one for each in results for one in each.pop(kind, ())]
        if gathered:
            told[kind] = gathered
    lost = ["%s: %s" % (look["module"].rpartition(".")[2], each["msg"]) for look, each in zip(looks, results) if each.get("failed")]
    return dict(told, failed=True, msg="; ".join(lost)) if lost else told
