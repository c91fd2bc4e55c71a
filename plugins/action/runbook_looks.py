# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several checks of one host in one round trip."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible.executor.module_common import _apply_action_arg_defaults
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.fieldops.runbooks.plugins.plugin_utils import together

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
    """Has one module made out of them, and runs that as Ansible runs any."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        result: Dict[str, Any] = super().run(tmp, task_vars)
        asked = [look for look in self.validate_argument_spec(ARGUMENTS)[1]["looks"] if look["when"]]
        if not asked:
            return dict(result, changed=False, skipped=True, skip_reason="No look was asked for", results=[])
        found = [self._found(look) for look in asked]
        looks: List[Dict[str, Any]] = [{"module": name, "args": args} for name, _path, args in found]
        self._task.args = {"looks": looks}  # what a callback is told
        name = self._module({name: path for name, path, _args in found})
        told = self._execute_module(module_name=name, module_args={"looks": [self._ready(look, task_vars) for look in looks]}, task_vars=task_vars)
        results = told.pop("looks", None)
        if not isinstance(results, list):
            if not told.get("failed") and not told.get("unreachable"):
                told.update(failed=True, msg="The node has returned no looks. Nothing was found out.")
            return dict(result, **told)
        return {**result, **_summed(told, [_result(look["module"], each) for look, each in zip(looks, results)])}

    def _found(self, look: Mapping[str, Any]) -> Tuple[str, str, Dict[str, Any]]:
        """Its full name, its file, and its options with the module_defaults of the task."""
        name = look["module"] if "." in look["module"] else OWN + look["module"]
        found = self._shared_loader_obj.module_loader.find_plugin_with_context(name)
        if not found.resolved:
            raise AnsibleActionFail("looks: there is no module %s. Nothing was looked at." % look["module"])
        if not name.startswith(OWN) or not name.endswith("_info"):
            raise AnsibleActionFail("looks: %s is no check of this collection; their names end in _info. Nothing was looked at." % look["module"])
        return name, found.plugin_resolved_path, _apply_action_arg_defaults(name, self._task, dict(look["args"]), self._templar)

    def _module(self, paths: Mapping[str, str]) -> str:
        """The name under which Ansible finds what was made of them. It lies in a folder that Ansible removes when the run ends."""
        folder, made = together.written(paths, C.DEFAULT_LOCAL_TMP)
        self._shared_loader_obj.module_loader.add_directory(folder)
        return "ansible.legacy." + made

    def _ready(self, look: Mapping[str, Any], task_vars: Optional[Dict[str, Any]]) -> Dict[str, Any]:
        """With what Ansible tells every module of the run that it is part of."""
        args = dict(look["args"])
        self._update_module_args(look["module"], args, task_vars)
        return {"module": look["module"], "args": args}


def _result(name: str, told: Dict[str, Any]) -> Dict[str, Any]:
    """As a task of its own would have it; below -vvv without what Ansible does not show of a task, either."""
    if told.get("failed"):
        told.setdefault("msg", "it failed without a reason")
    if display.verbosity < 3:
        for internal in ("invocation", "exception"):
            told.pop(internal, None)
    return dict(told, look=name)


def _summed(said: Mapping[str, Any], results: List[Dict[str, Any]]) -> Dict[str, Any]:
    """With what Ansible itself said of the run. It failed when one of them did; what the others have seen counts all the same."""
    told: Dict[str, Any] = {**said, "changed": any(each.get("changed") for each in results), "results": results}
    for kind in ("warnings", "deprecations"):
        gathered = [one for each in (said, *results) for one in each.get(kind, ())]
        for each in results:
            each.pop(kind, None)
        if gathered:
            told[kind] = gathered
    lost = ["%s: %s" % (each["look"].rpartition(".")[2], each["msg"]) for each in results if each.get("failed")]
    return dict(told, failed=True, msg="; ".join(lost)) if lost else told
