# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX refuses, beyond fields that are missing or of another type. Each rule raises `Refused` with the answer's body."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

TYPES: dict[str, Any] = {"text": str, "textarea": str, "password": str, "multiplechoice": str, "multiselect": str, "integer": int, "float": (int, float)}
WEBHOOK = {"url": str, "headers": dict, "http_method": str, "disable_ssl_verification": bool, "username": str, "password": str}
JOB: dict[str, Any] = dict.fromkeys(("id", "name", "status", "url", "playbook", "limit", "finished", "job_explanation"), "") | {"artifacts": {}}
STUB: dict[str, Any] = {"job": JOB, "job_metadata": "{}", "url": "https://towerhost/#/jobs/1", "job_friendly_name": "Job"}
STUB |= {"approval_status": "pending", "approval_node_name": "Approve Me", "workflow_url": "https://towerhost/#/jobs/workflow/1"}


class Refused(Exception):
    """HTTP 400."""

    def __init__(self, body: Any) -> None:
        super().__init__(json.dumps(body))
        self.body = body


def survey(spec: Any) -> None:
    """Of a template."""
    for name, kind in (("name", str), ("description", str), ("spec", list)):
        if not isinstance(spec.get(name), kind):
            raise Refused({"error": f"Expected {kind.__name__} for field '{name}', got {type(spec.get(name)).__name__} type."})
    if not spec["spec"]:
        raise Refused({"error": "survey_spec doesn't contain any items."})
    seen: set[str] = set()
    for number, item in enumerate(spec["spec"]):
        for name in ("type", "question_name", "variable", "required"):
            if name not in item:
                raise Refused({"error": f"'{name}' missing from survey question {number}."})
        if item["variable"] in seen:
            raise Refused({"error": f"'variable' '{item['variable']}' duplicated in survey question {number}."})
        seen.add(item["variable"])
        _question(item, number)


def _question(item: Mapping[str, Any], number: int) -> None:
    if item["type"] not in TYPES:
        raise Refused({"error": f"'{item['type']}' in survey question {number} is not one of '{', '.join(TYPES)}' allowed question types."})
    default = item.get("default", "")
    if default != "" and not isinstance(default, TYPES[item["type"]]):
        raise Refused({"error": f"Default value {default} in survey question {number} expected to be {item['type']}."})
    for name in ("min", "max"):
        if not isinstance(item.get(name), (int, type(None))):
            raise Refused({"error": f"The {name} limit in survey question {number} expected to be integer."})
    if item["type"] in ("multiplechoice", "multiselect"):
        choices = item.get("choices")
        if not choices or not all(isinstance(choice, str) for choice in choices):
            raise Refused({"error": f"Survey question {number} of type {item['type']} must specify choices."})
        if default and not set(default.split("\n")) <= set(choices):
            raise Refused({"error": "Default choice must be answered from the choices listed."})


def answers(spec: list[Mapping[str, Any]], data: Mapping[str, Any], required: bool) -> None:
    """Extra data against a survey. A question that must be answered is not answered by its default."""
    wrong = []
    for item in spec:
        name, kind = item["variable"], item["type"]
        if name not in data:
            wrong += [f"'{name}' value missing"] * (required and item["required"])
        elif kind == "multiselect" and not isinstance(data[name], list):
            wrong.append(f"'{name}' value is expected to be a list.")
        elif kind == "multiplechoice" and data[name] not in item["choices"]:
            wrong.append(f"Value {data[name]} for '{name}' expected to be one of {item['choices']}.")
        elif kind != "multiselect" and not isinstance(data[name], TYPES[kind]):
            wrong.append(f"Value {data[name]} for '{name}' expected to be {kind}.")
    if wrong:
        raise Refused({"variables_needed_to_start": wrong})
    if "{{" in json.dumps(data):
        raise Refused({"extra_data": ["Jinja is only taken from the definition of a job template."]})


def rrule(text: str) -> None:
    if not re.fullmatch(r"DTSTART(;TZID=[\w/]+)?:\d{8}T\d{6}Z? RRULE:.*", text):
        raise Refused({"rrule": ["Valid DTSTART required in rrule. Value should start with: DTSTART:YYYYMMDDTHHMMSSZ"]})
    if "INTERVAL=" not in text:
        raise Refused({"rrule": ["INTERVAL required in rrule."]})


def credential_type(item: Mapping[str, Any]) -> None:
    fields = item["inputs"].get("fields", [])
    for one in fields:
        if set(one) - {"id", "label", "type", "secret", "help_text", "multiline", "choices", "default", "format"} or not {"id", "label"} <= set(one):
            raise Refused({"inputs": [f"{one} is not valid"]})
    known = {one["id"] for one in fields}
    if not set(item["inputs"].get("required", [])) <= known:
        raise Refused({"inputs": ["'required' names what is no field"]})
    env = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    for name, text in item["injectors"].get("extra_vars", {}).items():
        try:
            env.from_string(text).render(dict.fromkeys(known, "EXAMPLE"))
        except TemplateError as error:
            raise Refused({"injectors": [f"{name} uses an undefined field ({error})"]}) from error


def notification(item: Mapping[str, Any]) -> None:
    """A webhook, as it is the only one that is made here. A body is rendered with a job that has nothing yet."""
    given = item["notification_configuration"]
    missing = [name for name in ("url", "headers") if name not in given]
    if item["notification_type"] != "webhook" or missing:
        raise Refused([f"Missing required fields for Notification Configuration: {missing}."])
    if wrong := [name for name, value in given.items() if not isinstance(value, WEBHOOK.get(name, ()))]:
        raise Refused([f"Configuration field '{wrong[0]}' incorrect type."])
    approval = item["messages"].get("workflow_approval") or {}
    events = {name: event for name, event in item["messages"].items() if name != "workflow_approval"} | approval
    if odd := set(events) - {"started", "success", "error", "running", "approved", "timed_out", "denied"}:
        raise Refused({"messages": [f"Event type '{odd.pop()}' is invalid"]})
    for event in events.values():
        _body(event)


def _body(event: Mapping[str, Any]) -> None:
    if set(event) - {"message", "body"} or "\n" in event.get("message", ""):
        raise Refused({"messages": ["Messages cannot contain newlines, and have a message and a body"]})
    env = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    for text in (event["body"], rendered(env, event["body"])):
        try:
            document = json.loads(text)
        except ValueError as error:
            raise Refused({"messages": [f"Webhook body is not a valid json dictionary ({error})."]}) from error
        if not isinstance(document, dict):
            raise Refused({"messages": ["Webhook body should be a json dictionary."]})


def rendered(env: ImmutableSandboxedEnvironment, body: str, **more: Any) -> str:
    """A message."""
    try:
        return env.from_string(body).render({**STUB, **more})
    except TemplateError as error:
        raise Refused({"messages": [f"Unable to render message '{body}': {error}"]}) from error
