# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the argument specs of the roles to the surveys of AWX: a question for each variable of a playbook that AWX can ask for."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import yaml

NAMESPACE = "fieldops.runbooks."
INCLUDES = ("import_role", "include_role")
LONGEST = 4096
"""Of a text; AWX's own form has 1024, which a list of files may exceed."""


class SurveyError(Exception):
    """What was asked for cannot be made into a survey, or into the extra data of a schedule."""


def playbooks(root: Path) -> List[str]:
    """The shipped ones; that which makes AWX's objects is no job of AWX."""
    return sorted(path.stem for path in (root / "playbooks").glob("*.yml") if not path.stem.startswith("awx_"))


def template(root: Path, playbook: str, leave_out: Sequence[str] = ()) -> Dict[str, Any]:
    """What a job template says of a playbook: its name, what it does, its survey, and the variables that no survey can ask for."""
    known = playbooks(root)
    if playbook not in known:
        raise SurveyError("there is no playbook %r; there are %s" % (playbook, ", ".join(known)))
    questions, untold = [], []
    for variable, option in options(root, playbook).items():
        if any(fnmatchcase(variable, pattern) for pattern in leave_out):
            continue
        asked = question(variable, option)
        if asked is None:
            untold.append(variable)
        else:
            questions.append(asked)
    about = description(root, playbook)
    return {
        "name": playbook,
        "playbook": playbook,
        "description": about,
        "survey": {"name": playbook, "description": about, "spec": sorted(questions, key=lambda asked: not asked["required"])},
        "not_asked": untold,
    }


@lru_cache(maxsize=None)
def _read(path: Path) -> Any:
    """A file of the collection; the roles' are large, and several playbooks are of one role."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 # both are safe


def description(root: Path, playbook: str) -> str:
    """The first line of its comment."""
    for line in (root / "playbooks" / (playbook + ".yml")).read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            return line[2:].strip()
    return ""


def options(root: Path, playbook: str) -> Dict[str, Mapping[str, Any]]:
    """The variables of all entry points that it runs, without those that it sets itself."""
    found: Dict[str, Mapping[str, Any]] = {}
    for role, entry, given in entry_points(root, playbook):
        specs = _read(root / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
        for variable, option in specs.get(entry, {}).get("options", {}).items():
            if variable not in given:
                found.setdefault(variable, option)
    return found


def entry_points(root: Path, playbook: str, given: Tuple[str, ...] = ()) -> Iterator[Tuple[str, str, Tuple[str, ...]]]:
    """(role, entry point, variables that are set there), in the order of the playbook."""
    for play in _read(root / "playbooks" / (playbook + ".yml")):
        inside = given + tuple(play.get("vars", ()))
        imported = play.get("ansible.builtin.import_playbook")
        if imported:
            yield from entry_points(root, imported.replace(NAMESPACE, "", 1).partition(".")[0], inside)
        for part in ("pre_tasks", "tasks", "post_tasks"):
            yield from _of_tasks(play.get(part) or [], inside)


def _of_tasks(tasks: Sequence[Mapping[str, Any]], given: Tuple[str, ...]) -> Iterator[Tuple[str, str, Tuple[str, ...]]]:
    for task in tasks:
        inside = given + tuple(task.get("vars", ()))
        for part in ("block", "rescue", "always"):
            yield from _of_tasks(task.get(part) or [], inside)
        for word in INCLUDES:
            role = task.get("ansible.builtin." + word)
            if role and role["name"].startswith(NAMESPACE):
                yield role["name"][len(NAMESPACE) :], role.get("tasks_from", "main"), inside


def question(variable: str, option: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    """None for what AWX cannot ask for: dictionaries, and lists of them."""
    kind = _kind(option)
    if kind is None:
        return None
    asked: Dict[str, Any] = {
        "type": kind,
        "variable": variable,
        "question_name": variable,
        "question_description": _plain(option.get("description", "")) + _told(option),
        "required": bool(option.get("required")),
    }
    if kind in ("text", "password"):
        asked.update(min=0, max=LONGEST)
    if kind in ("multiplechoice", "multiselect"):
        asked["choices"] = ["true", "false"] if option.get("type") == "bool" else [str(choice) for choice in option["choices"]]
    return asked


def _kind(option: Mapping[str, Any]) -> Optional[str]:
    """The type of the question."""
    kind = option.get("type", "str")
    if option.get("no_log"):
        return "password" if kind == "str" else None
    if kind == "list":
        if option.get("elements", "str") not in ("str", "path", "int"):
            return None
        return "multiselect" if option.get("choices") else "text"
    if kind in ("int", "float"):
        return {"int": "integer", "float": "float"}[kind]
    if kind == "bool" or (option.get("choices") and kind == "str"):
        return "multiplechoice"
    return "text" if kind in ("str", "path") else None


def _told(option: Mapping[str, Any]) -> str:
    """The role's default, as text. It is no default of the question: AWX sends one as an answer, over what the inventory says of the host."""
    default = option.get("default")
    if default in (None, "", [], {}) or option.get("no_log") or "{{" in str(default):
        return ""
    if isinstance(default, list):
        default = ",".join(str(each) for each in default)
    return " Without an answer: what the inventory says, or %s." % (str(default).lower() if isinstance(default, bool) else default)


def _plain(text: Any) -> str:
    """Without Ansible's markup."""
    joined = " ".join(text) if isinstance(text, list) else str(text)
    return re.sub(r"\b[A-Z]\(([^)#]*)(#[a-z]+)?\)", r"\1", joined)


def extra_data(made: Mapping[str, Any], given: Mapping[str, Any]) -> Dict[str, Any]:
    """What a schedule says. AWX starts no job where a question that must be answered has no answer, and tells nobody."""
    asked = {one["variable"]: one for one in made["survey"]["spec"]}
    missing = [variable for variable, one in asked.items() if one["required"] and given.get(variable) in (None, "")]
    if missing:
        raise SurveyError("a schedule of %s needs extra data for %s" % (made["playbook"], ", ".join(missing)))
    wrong = ["%s=%r (%s)" % (variable, value, _wants(asked[variable])) for variable, value in given.items() if not _fits(asked.get(variable), value)]
    if wrong:
        raise SurveyError("a schedule of %s has extra data that its survey refuses: %s" % (made["playbook"], ", ".join(wrong)))
    return dict(given)


def _fits(asked: Optional[Mapping[str, Any]], value: Any) -> bool:
    """Whether AWX takes it for an answer."""
    if asked is None:
        return True
    kind = asked["type"]
    if kind == "multiselect":
        return isinstance(value, list) and all(each in asked["choices"] for each in value)
    if kind == "multiplechoice":
        return value in asked["choices"]
    if kind in ("integer", "float"):
        return not isinstance(value, bool) and isinstance(value, int if kind == "integer" else (int, float))
    return isinstance(value, str)


def _wants(asked: Mapping[str, Any]) -> str:
    """In words."""
    of = {"multiselect": "a list of ", "multiplechoice": "one of "}
    return of[asked["type"]] + ", ".join(asked["choices"]) if asked["type"] in of else "%s is asked for" % asked["type"]
