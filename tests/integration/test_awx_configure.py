# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``awx_configure`` against a stand-in of AWX, with the real modules of awx.awx."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.awx_survey import playbooks, template
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from lab.awx import collection, rules
from lab.awx.rules import Refused
from lab.awx.server import Awx
from play import BIN, NAMED, ROOT

TOKEN = "t0ken-of-the-test-correct-horse"
RECAP = re.compile(r"localhost\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=0\s+failed=(\d+)")
# Few objects, each of its own kind: every module of awx.awx takes a second. The surveys of all playbooks are held against the rules below.
CHOSEN = {
    "awx_prefix": "RB ",
    "awx_playbooks": ["fits_ingest_queue"],
    "awx_webhook_url": "https://hooks.example.org/runbooks",
    "awx_sweep_slices": 4,
    "awx_inventories": [{"name": "hosts", "source_path": "inventories/example/hosts.yml"}],
}


class Loader(yaml.SafeLoader):
    """Knows what is no template."""


Loader.add_constructor("!unsafe", lambda _loader, node: node.value)
VARS = yaml.load((ROOT / "roles/awx/vars/main.yml").read_text(encoding="utf-8"), Loader=Loader)  # noqa: S506 # it is a safe one


class Run:
    """One run of the playbook."""

    def __init__(self, awx: Awx | None, *words: str, collections: Path | None = None, **variables: Any) -> None:
        before = len(awx.changes) if awx else 0
        tree = os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(ROOT / ".cache/tree"))
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("CONTROLLER_", "TOWER_"))},
            "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(filter(None, [tree, str(collections or "")])),
            "ANSIBLE_PYTHON_INTERPRETER": str(BIN / "python"),
            "CONTROLLER_HOST": awx.url if awx else "http://127.0.0.1:1",
            "CONTROLLER_OAUTH_TOKEN": TOKEN,
        }
        extra = json.dumps({**CHOSEN, **variables})
        argv = [str(BIN / "ansible-playbook"), "-i", "localhost,", f"{NAMED}awx_configure", "-e", extra, *words]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=600, check=False)
        self.rc, self.output = done.returncode, done.stdout + done.stderr
        self.requests = awx.changes[before:] if awx else []
        recap = RECAP.search(self.output)
        self.changed = int(recap[2]) if recap else -1


@pytest.fixture(scope="module")
def collections() -> Path:
    return collection.fetch()


@pytest.fixture(scope="module")
def awx() -> Iterator[Awx]:
    with Awx([f"playbooks/{path.name}" for path in (ROOT / "playbooks").glob("*.yml")], TOKEN) as made:
        yield made


@pytest.fixture(scope="module")
def made(awx: Awx, collections: Path) -> Awx:
    """Looked at in check mode, then made."""
    check = Run(awx, "--check", collections=collections)
    assert (check.rc, check.requests) == (0, []), check.output
    assert check.changed == 2, check.output
    assert "job templates (fits_ingest_queue, triage, remediate, sweep, remediate what was approved)" in " ".join(check.output.split())
    run = Run(awx, "-vvv", collections=collections)
    assert run.rc == 0, run.output
    assert TOKEN not in run.output
    return awx


def test_a_second_run_puts_back_what_was_changed_by_hand_and_changes_nothing_else(made: Awx, collections: Path) -> None:
    before = json.dumps([made.objects, made.surveys], sort_keys=True)
    fix, first = made.named("job_templates", "RB remediate"), made.named("workflow_job_template_nodes", "triage")
    schedule = made.named("schedules", "RB hourly sweep")
    fix.update(job_slice_count=3, ask_limit_on_launch=False)
    made.surveys[fix["id"]] = {**made.surveys[fix["id"]], "spec": made.surveys[fix["id"]]["spec"][:1]}
    made.links[first["id"], "always_nodes"].clear()
    schedule["extra_data"] = {}
    back = Run(made, collections=collections)
    assert (back.rc, back.changed) == (0, 3), back.output
    assert back.requests == [
        f"PATCH /api/v2/job_templates/{fix['id']}/",
        f"POST /api/v2/job_templates/{fix['id']}/survey_spec/",
        f"POST /api/v2/workflow_job_template_nodes/{first['id']}/always_nodes/",
        f"PATCH /api/v2/schedules/{schedule['id']}/",
    ]
    assert json.dumps([made.objects, made.surveys], sort_keys=True) == before


def test_what_was_made(made: Awx) -> None:
    templates = {one["name"].removeprefix("RB "): one for one in made.objects["job_templates"].values()}
    assert set(templates) == {"fits_ingest_queue", "triage", "remediate", "sweep", "remediate what was approved"}
    for name, one in templates.items():
        assert one["ask_variables_on_launch"] and one["ask_limit_on_launch"], "events start them"
        assert one["job_slice_count"] == (4 if name == "sweep" else 1), name
        assert not one["ask_job_slice_count_on_launch"]
        assert not one["use_fact_cache"]
        assert one["survey_enabled"] == (name != "remediate what was approved")
    assert made.surveys[templates["triage"]["id"]]["spec"][0]["variable"].startswith("triage_")
    assert json.loads(templates["remediate what was approved"]["extra_vars"]) == {"remediate_approved_plan": "{{ fieldops_plan.sha256 }}"}
    assert all(schedule["extra_data"] for schedule in made.objects["schedules"].values())
    assert len(made.objects["credential_types"]) == 7


def test_the_workflow_asks_before_it_mends(made: Awx) -> None:
    nodes = made.objects["workflow_job_template_nodes"]
    names = {number: node["identifier"] for number, node in nodes.items()}
    edges = {
        (names[number], link.removesuffix("_nodes"), names[member]) for (number, link), members in made.links.items() if number in nodes for member in members
    }
    assert edges == {("triage", "always", "approve"), ("approve", "success", "fix"), ("fix", "always", "verify")}
    approval = made.objects["workflow_approval_templates"][made.named("workflow_job_template_nodes", "approve")["unified_job_template"]]
    assert "sha256" in approval["description"]
    assert approval["timeout"] == 14400
    fix = made.objects["job_templates"][made.named("workflow_job_template_nodes", "fix")["unified_job_template"]]
    assert fix["playbook"] == "playbooks/remediate.yml"


def test_messages_show_the_artifacts(made: Awx) -> None:
    (template_,) = made.objects["notification_templates"].values()
    artifacts = {
        "fieldops_status": {"worst": "critical", "broken": ["fits-a"], "unreachable": []},
        "fieldops_plan": {
            "sha256": "6b1f",
            "steps": [{"n": 1, "playbook": "fieldops.runbooks.fits_ingest_queue", "hosts": ["fits-a", "fits-b"]}],
            "left": [{"codes": ["fits.disk.full"], "hosts": ["fits-a"]}],
        },
    }
    env = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    job = {**rules.JOB, "artifacts": artifacts}
    told = json.loads(rules.rendered(env, template_["messages"]["success"]["body"], job=job))
    assert told["worst"] == "critical"
    assert told["plan"] == "6b1f"
    assert told["steps"] == "1. fieldops.runbooks.fits_ingest_queue on fits-a, fits-b; "
    assert told["left"] == "fits.disk.full"


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        ({"awx_playbooks": ["traige"]}, "there is no playbook 'traige'; there are archive_ot"),
        ({"awx_schedules": [{"name": "x", "starts": "diagnose", "rrule": "x"}], "awx_playbooks": ["diagnose"]}, "needs extra data for diagnose_bundle"),
        ({"awx_schedules": [{"name": "x", "starts": "sweep", "rrule": "x", "extra_data": {"triage_fail_on": "often"}}]}, "triage_fail_on='often' (one of"),
        ({"awx_schedules": [{"name": "x", "starts": "swoop", "rrule": "x"}]}, "starts swoop, which there is not. There are: fits_ingest_queue"),
        ({"awx_forks": "many"}, "awx_forks"),
    ],
)
def test_bad_input_gets_one_error(collections: Path, variables: dict[str, Any], error: str) -> None:
    run = Run(None, collections=collections, **variables)
    assert run.rc == 2
    assert error in " ".join(run.output.split())
    assert run.output.count("[ERROR]") == 1, run.output


def test_without_the_collection_it_says_where_that_is(tmp_path: Path) -> None:
    run = Run(None, collections=tmp_path)
    assert run.rc == 2
    assert "The collection awx.awx is not installed here" in " ".join(run.output.split())


@pytest.mark.parametrize("playbook", playbooks(ROOT))
def test_awx_takes_the_survey_of_every_playbook(playbook: str) -> None:
    one = template(ROOT, playbook)
    if one["survey"]["spec"]:
        rules.survey(one["survey"])
    else:
        assert playbook == "pause", "whose variables are of no role"


def test_the_rules_refuse() -> None:
    asked: dict[str, Any] = {"type": "multiplechoice", "variable": "v", "question_name": "v", "required": True, "choices": ["a"], "default": "a"}
    spec = {"name": "n", "description": "d", "spec": [asked]}
    rules.survey(spec)
    with pytest.raises(Refused, match="value missing"):
        rules.answers(spec["spec"], {}, required=True)
    for wrong in (
        {**spec, "spec": []},
        {**spec, "spec": [asked, asked]},
        {**spec, "spec": [{**asked, "default": "b"}]},
        {**spec, "spec": [{**asked, "type": "bool"}]},
    ):
        with pytest.raises(Refused):
            rules.survey(wrong)
    with pytest.raises(Refused, match="not a valid json"):
        rules.notification(
            {"notification_type": "webhook", "notification_configuration": {"url": "", "headers": {}}, "messages": {"success": {"body": "{{ url }}"}}}
        )
    with pytest.raises(Refused, match="Unable to render"):
        body = {"body": '{"a": "{{ job.artifacts.fieldops_plan.steps }}"}'}
        rules.notification({"notification_type": "webhook", "notification_configuration": {"url": "", "headers": {}}, "messages": {"success": body}})


def test_every_secret_of_a_role_has_a_credential() -> None:
    """And what a credential sets is a variable of a role."""
    known: dict[str, bool] = {}
    for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            known.update({name: bool(option.get("no_log")) and option.get("type") == "str" for name, option in entry.get("options", {}).items()})
    injected = {name for one in VARS["__awx_credential_types"] for name in one["extra_vars"]}
    assert injected <= set(known)
    assert {name for name, secret in known.items() if secret} <= injected
