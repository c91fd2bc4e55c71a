# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Surveys say what the argument specs say: read from both, for every playbook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.awx_survey import (
    SurveyError,
    description,
    entry_points,
    extra_data,
    options,
    playbooks,
    question,
    template,
)

ROOT = Path(__file__).resolve().parents[4]
NOT_ASKED = yaml.safe_load((ROOT / "roles/awx/defaults/main.yml").read_text(encoding="utf-8"))["awx_not_asked"]


@pytest.mark.parametrize(
    ("option", "asked"),
    [
        ({"type": "str"}, {"type": "text", "min": 0, "max": 4096}),
        ({}, {"type": "text", "min": 0, "max": 4096}),
        ({"type": "path", "required": True}, {"type": "text", "min": 0, "max": 4096, "required": True}),
        ({"type": "str", "no_log": True, "default": "hunter2"}, {"type": "password", "min": 0, "max": 4096}),
        ({"type": "str", "choices": ["a", "b"], "default": "a"}, {"type": "multiplechoice", "choices": ["a", "b"]}),
        ({"type": "bool", "default": False}, {"type": "multiplechoice", "choices": ["true", "false"]}),
        ({"type": "int", "default": 3}, {"type": "integer"}),
        ({"type": "float"}, {"type": "float"}),
        ({"type": "list", "elements": "str", "choices": ["a", "b"]}, {"type": "multiselect", "choices": ["a", "b"]}),
        ({"type": "list", "elements": "path"}, {"type": "text", "min": 0, "max": 4096}),
    ],
)
def test_a_question_for_each_type(option: dict[str, Any], asked: dict[str, Any]) -> None:
    made = question("x_y", option)
    assert made is not None
    told = made.pop("question_description")
    assert made == {"variable": "x_y", "question_name": "x_y", "required": False, **asked}
    assert "hunter2" not in told


@pytest.mark.parametrize("option", [{"type": "dict"}, {"type": "list", "elements": "dict"}, {"type": "dict", "no_log": True}, {"type": "raw"}])
def test_what_no_survey_can_ask_for(option: dict[str, Any]) -> None:
    assert question("x", option) is None


def test_the_description_is_plain_and_tells_the_default() -> None:
    made = question("x", {"description": ["See M(a.b.c) and P(a.b.d#role).", "V(1) is C(all)."], "type": "list", "default": ["a", "b"]})
    assert made is not None
    assert made["question_description"] == "See a.b.c and a.b.d. 1 is all. Without an answer: what the inventory says, or a,b."


@pytest.mark.parametrize("playbook", playbooks(ROOT))
def test_every_playbook_is_in_step_with_its_roles(playbook: str) -> None:
    made = template(ROOT, playbook, [])
    asked = {one["variable"]: one for one in made["survey"]["spec"]}
    known = options(ROOT, playbook)
    assert set(asked) | set(made["not_asked"]) == set(known)
    assert made["description"] == description(ROOT, playbook) != ""
    for role, entry, _given in entry_points(ROOT, playbook):
        assert f"\n  {entry}:\n" in (ROOT / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8")
    for name, one in asked.items():
        assert "default" not in one, "a default of AWX goes over what the inventory says"
        assert one["required"] == bool(known[name].get("required"))
        assert (one["type"] == "password") == bool(known[name].get("no_log"))
    short = template(ROOT, playbook, NOT_ASKED)["survey"]["spec"]
    assert {one["variable"] for one in short} >= {name for name, one in asked.items() if one["required"]}
    assert not [one for one in short if one["type"] == "password"], "credentials have them"
    assert len(short) <= 30


def test_what_a_playbook_sets_itself_is_not_asked_for() -> None:
    assert "triage_fail_on" in options(ROOT, "triage")
    assert "triage_fail_on" not in options(ROOT, "remediate")


def test_there_is_no_such_playbook() -> None:
    with pytest.raises(SurveyError, match=r"no playbook 'traige'; there are archive_ot.*triage"):
        template(ROOT, "traige")
    assert "awx_configure" not in playbooks(ROOT)


def test_extra_data_of_a_schedule() -> None:
    triage, diagnose = template(ROOT, "triage"), template(ROOT, "diagnose")
    given = {"triage_fail_on": "never", "triage_systems": ["fits"], "triage_hosts": "fits_servers"}
    assert extra_data(triage, given) == given
    with pytest.raises(SurveyError, match="diagnose needs extra data for diagnose_bundle"):
        extra_data(diagnose, {"triage_fail_on": "never"})
    for wrong in ({"triage_fail_on": "often"}, {"triage_systems": ["moon"]}, {"triage_systems": "fits"}):
        with pytest.raises(SurveyError, match=f"survey refuses: {next(iter(wrong))}="):
            extra_data(triage, wrong)
    with pytest.raises(SurveyError, match="integer is asked for"):
        extra_data(template(ROOT, "remediate"), {"remediate_hosts_at_once": True})
