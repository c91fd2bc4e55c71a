# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.fieldops.runbooks.plugins.plugin_utils import looked
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.remediation import (
    PLAY_KEYS,
    Left,
    Limits,
    RemediationError,
    Step,
    Wish,
    catalogue,
    check_wish,
    choose,
    plan_sha256,
    tasks,
    text,
    unmatched,
    within,
)

ROOT = Path(__file__).resolve().parents[4]
SHIPPED = yaml.safe_load((ROOT / "playbooks/vars/triage.yml").read_text(encoding="utf-8"))
KNOWN = catalogue(SHIPPED["remedies"])
GROUPS = {"fits_servers": ["fits-a", "fits-b", "fits-10"], "talus_masters": ["master"], "talus_slaves": ["slave-1", "slave-2"], "all": ["fits-a", "master"]}
QUEUE = {"playbook": "fieldops.runbooks.fits_ingest_queue", "vars": {"fits_conditions": ["orphaned"]}, "text": "repair the queue"}


def result(*findings: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"findings": list(findings), "elapsed": 0.1, **more}


def finding(code: str = "fits.ingest.orphaned", severity: str = "critical", remedy: dict[str, Any] | None = None, subject: str = "queue") -> dict[str, Any]:
    return {"code": code, "severity": severity, "subject": subject, "summary": f"{code} is so", "detail": {}, "remedy": remedy, "runbook": None}


def document(**hosts: list[dict[str, Any]]) -> dict[str, Any]:
    """As a triage has left it, with ``fits_a`` for fits-a."""
    return looked.gather({name.replace("_", "-"): {"__fits_seen": result(*found)} for name, found in hosts.items()}, ["__fits_seen"])


def chosen(made: dict[str, Any], **wish: tuple[str, ...]) -> tuple[list[Step], list[Left]]:
    return choose(made, KNOWN, Wish(**wish), GROUPS)


def plays(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load((ROOT / f"playbooks/{name}.yml").read_text(encoding="utf-8")))


# -- the catalogue ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KNOWN)
def test_every_playbook_of_the_catalogue_can_be_run_as_steps(name: str) -> None:
    for play in plays(name):
        assert set(play) <= PLAY_KEYS
        assert play["gather_facts"] is False
        assert set(play["hosts"].split(":")) <= {
            "fits_servers",
            "archive_servers",
            "talus_masters",
            "talus_slaves",
            "sesam_nodes",
            "jobrunner_backends",
            "motr_servers",
        }


@pytest.mark.parametrize("name", KNOWN)
def test_what_makes_it_mend_is_a_variable_of_its_role(name: str) -> None:
    (role,) = {
        task["ansible.builtin.import_role"]["name"].rpartition(".")[2] for play in plays(name) for task in play["tasks"] if "archive" not in str(task)
    } - {""}
    specs = yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    assert KNOWN[name].variables
    assert set(KNOWN[name].variables) <= {option for spec in specs.values() for option in spec["options"]}
    assert all(option.startswith(f"{KNOWN[name].prefix}_") for option in KNOWN[name].variables)


def test_a_playbook_that_has_more_than_one_play_has_all_of_its_hosts_or_can_do_without_them() -> None:
    # fits_export looks at one group and then at the other; a host is mended by itself.
    assert {name for name in KNOWN if len(plays(name)) > 1 and not KNOWN[name].whole} == {"fits_export"}


def test_what_a_triage_reads_is_what_the_flows_leave() -> None:
    left: set[str] = set()
    for system in ("fits", "talus", "sesam", "jobrunner", "motr"):
        left |= registers(ROOT / f"roles/{system}/tasks", "triage.yml")
    assert left - {"__fits_rewrite"} == set(SHIPPED["registers"])


def registers(folder: Path, name: str) -> set[str]:
    """What a file of tasks registers, with all that it includes."""
    found = set()
    for task in yaml.safe_load((folder / name).read_text(encoding="utf-8")):
        found |= {task["register"]} if "register" in task else set()
        found |= registers(folder, task["ansible.builtin.include_tasks"]) if "ansible.builtin.include_tasks" in task else set()
    return found


# -- choosing -----------------------------------------------------------------------------------------------------------------------------


def test_a_remedy_becomes_a_step_that_mends() -> None:
    (step,), left = chosen(document(fits_a=[finding(remedy=QUEUE)]))
    assert (step.playbook, step.hosts, step.codes) == ("fits_ingest_queue", ("fits-a",), ("fits.ingest.orphaned",))
    assert step.variables == {"fits_conditions": ["orphaned"], "fits_repair": True}
    assert step.findings == (("fits-a", "fits.ingest.orphaned", "queue"),)
    assert left == []


def test_the_same_on_several_hosts_is_one_step() -> None:
    (step,), _left = chosen(document(fits_10=[finding(remedy=QUEUE)], fits_a=[finding(remedy=QUEUE)]))
    assert step.hosts == ("fits-10", "fits-a")


def test_steps_come_in_the_order_in_which_systems_need_each_other() -> None:
    queue = finding(remedy=QUEUE)
    site = finding("fits.website.answer.refused", remedy={"playbook": "fieldops.runbooks.fits_website", "vars": {}, "text": "restart"})
    database = finding("mongodb.replica_set.no_majority", remedy={"playbook": "fieldops.runbooks.talus_replica_set", "vars": {}, "text": "repair"})
    steps, _left = chosen(document(fits_a=[queue, site], master=[database]))
    assert [step.playbook for step in steps] == ["talus_replica_set", "fits_website", "fits_ingest_queue"]


@pytest.mark.parametrize("severity", ["info", "ok"])
def test_what_is_not_wrong_is_not_mended(severity: str) -> None:
    assert chosen(document(fits_a=[finding(severity=severity, remedy=QUEUE)])) == ([], [])


HOSTILE = {"playbook": "fieldops.runbooks.fits_ingest", "vars": {"ansible_connection": "local"}, "text": "x"}


@pytest.mark.parametrize(
    ("remedy", "why"),
    [
        (None, "nothing is known that would mend it"),
        ({"playbook": None, "vars": {}, "text": "call IT"}, "a person has to do it"),
        ({"playbook": "fieldops.runbooks.fits_notifications", "vars": {}, "text": "look"}, "no playbook of the catalogue"),
        ({"playbook": "../../evil", "vars": {}, "text": "look"}, "no playbook of the catalogue"),
        ({"playbook": "fieldops.runbooks.talus_domains", "vars": {"talus_domains": ["x"]}, "text": "destroy"}, "when its code is asked for"),
        ({"playbook": "fieldops.runbooks.fits_ingest", "vars": {"fits_filename": ["..."]}, "text": "queue it"}, "fill in fits_filename"),
        (HOSTILE, "ansible_connection is no variable of fits_ingest"),
        ({**HOSTILE, "vars": {"talus_repair": True}}, "talus_repair is no variable of fits_ingest"),
    ],
)
def test_what_no_step_takes_up_is_said(remedy: dict[str, Any] | None, why: str) -> None:
    steps, (left,) = chosen(document(fits_a=[finding(remedy=remedy)]))
    assert steps == []
    assert why in left.why
    assert (left.codes, left.hosts) == (("fits.ingest.orphaned",), ("fits-a",))


def test_what_costs_something_is_done_when_its_code_is_asked_for() -> None:
    made = document(
        slave_1=[finding("libvirt.domain.left", "warning", {"playbook": "fieldops.runbooks.talus_domains", "vars": {"talus_domains": ["x"]}, "text": "d"})]
    )
    assert chosen(made, systems=("talus",))[0] == []
    (step,), _left = chosen(made, codes=("libvirt.domain.*",))
    assert step.variables == {"talus_domains": ["x"], "talus_repair": True}


def test_only_what_was_asked_for() -> None:
    made = document(fits_a=[finding(remedy=QUEUE), finding("fits.export.failed", remedy={**QUEUE, "playbook": "fieldops.runbooks.fits_export_queue"})])
    assert [step.playbook for step in chosen(made, codes=("fits.export.*",))[0]] == ["fits_export_queue"]
    assert chosen(made, systems=("talus",))[0] == []
    assert {left.why for left in chosen(made, systems=("talus",))[1]} == {"the system fits was not asked for"}


def test_a_slip_of_the_hand() -> None:
    with pytest.raises(RemediationError) as caught:
        check_wish(Wish(systems=("fit",)), KNOWN)
    assert str(caught.value) == "there is no system 'fit'; known are fits, jobrunner, motr, preflight, sesam, talus"
    made = document(fits_a=[finding(remedy=QUEUE), finding("fits.export.ok", "ok")])
    wish = Wish(codes=("fits.ingst.*", "fits.ingest.*", "fits.export.*"))
    assert unmatched(wish, made) == ["fits.ingst.*", "fits.export.*"]
    assert text([], [], "0", unmatched(wish, made))[1] == "No finding that stands has the code fits.ingst.*."


def test_a_remedy_for_other_hosts_than_its_own() -> None:
    (step,), _left = chosen(document(archive=[finding(remedy={**QUEUE, "hosts": "fits_servers"})]))
    assert step.hosts == ("fits-10", "fits-a", "fits-b")


# -- on which hosts -----------------------------------------------------------------------------------------------------------------------

STACK = {"playbook": "fieldops.runbooks.talus_stack_restart", "vars": {}, "text": "restart"}


def placed(made: dict[str, Any], *reach: str) -> tuple[list[Step], list[Left]]:
    steps, _left = chosen(made)
    return within(steps, {step.playbook: plays(step.playbook) for step in steps}, GROUPS, reach)


def test_hosts_that_are_not_part_of_the_run_are_left_out() -> None:
    made = document(fits_a=[finding(remedy=QUEUE)], fits_b=[finding(remedy=QUEUE)])
    (step,), (left,) = placed(made, "fits-b")
    assert step.hosts == ("fits-b",)
    assert left.why == "fits-a is not part of this run"


def test_a_flow_that_needs_all_of_its_hosts_is_done_on_all_of_them_or_not_at_all() -> None:
    made = document(master=[finding("talus.web.down", remedy=STACK)])
    (step,), left = placed(made, "master", "slave-1", "slave-2")
    assert (step.hosts, left) == (("master", "slave-1", "slave-2"), [])
    none, (left_out,) = placed(made, "master", "slave-2")
    assert (none, left_out.why) == ([], "slave-1 is not part of this run")


def test_the_hash_is_of_what_is_run_where() -> None:
    one, _left = placed(document(fits_a=[finding(remedy=QUEUE)]), "fits-a")
    same, _left = placed(document(fits_a=[finding("fits.ingest.failed", remedy=QUEUE)]), "fits-a")
    elsewhere, _left = placed(document(fits_b=[finding(remedy=QUEUE)]), "fits-b")
    otherwise, _left = placed(document(fits_a=[finding(remedy={**QUEUE, "vars": {}})]), "fits-a")
    assert plan_sha256(one) == plan_sha256(same)
    assert len({plan_sha256(steps) for steps in (one, elsewhere, otherwise, [])}) == 4


# -- to tasks -----------------------------------------------------------------------------------------------------------------------------


def written(steps: list[Step], at_once: int = 0) -> list[dict[str, Any]]:
    return tasks(steps, {step.playbook: plays(step.playbook) for step in steps}, GROUPS, Limits(at_once, 0))


def stages(made: list[dict[str, Any]]) -> list[list[str]]:
    return [task["vars"]["__remediate_stage"] for task in made if "ansible.builtin.set_fact" in task]


def test_a_step_is_its_playbooks_tasks_with_its_variables() -> None:
    steps, _left = placed(document(fits_a=[finding(remedy=QUEUE)]), "fits-a")
    _decide, work = written(steps)
    assert work["block"] == plays("fits_ingest_queue")[0]["tasks"]
    assert work["vars"] == {"fits_conditions": ["orphaned"], "fits_repair": True}
    assert work["rescue"][0]["ansible.builtin.set_fact"] == {"remediate_failed": 1}


def test_as_many_hosts_at_once_as_are_allowed() -> None:
    steps, _left = placed(document(fits_a=[finding(remedy=QUEUE)], fits_b=[finding(remedy=QUEUE)], fits_10=[finding(remedy=QUEUE)]), *GROUPS["fits_servers"])
    assert stages(written(steps, 2)) == [["fits-10", "fits-a"], ["fits-b"]]
    assert stages(written(steps)) == [["fits-10", "fits-a", "fits-b"]]


def test_a_flow_over_groups_is_done_play_by_play() -> None:
    steps, _left = placed(document(master=[finding("talus.web.down", remedy=STACK)]), "master", "slave-1", "slave-2")
    master, slaves = ["master"], ["slave-1", "slave-2"]
    assert stages(written(steps, 1)) == [master, slaves, slaves, master, slaves, master, slaves, master, slaves]


def test_a_play_with_more_than_can_be_run_is_refused() -> None:
    steps, _left = placed(document(fits_a=[finding(remedy=QUEUE)]), "fits-a")
    with pytest.raises(RemediationError, match="serial"):
        tasks(steps, {"fits_ingest_queue": [{"hosts": "fits_servers", "name": "x", "serial": 1, "tasks": []}]}, GROUPS, Limits(0, 0))


# -- what a triage has seen ---------------------------------------------------------------------------------------------------------------


def test_two_looks_of_one_host_do_not_clear_each_other() -> None:
    seen = {"fits-a": {"one": result(finding("a.b.c")), "two": result(finding("d.e.f")), "three": result(finding("old"))}}
    assert {group["code"] for group in looked.gather(seen, ["one", "two"])["findings"] if not group["cleared"]} == {"a.b.c", "d.e.f"}


def test_the_turns_of_a_loop_and_what_is_no_result() -> None:
    seen = {"fits-a": {"one": {"results": [result(finding("a.b.c")), {"skipped": True}, result(finding("d.e.f"))]}, "two": None, "three": "text"}}
    assert {group["code"] for group in looked.gather(seen, ["one", "two", "three"])["findings"]} == {"a.b.c", "d.e.f"}


def test_a_status_counts_what_was_not_seen_as_the_worst() -> None:
    made = document(fits_a=[finding(severity="warning")], fits_b=[finding("x.y", "ok")])
    fine = looked.status(made, ["fits-a", "fits-b"], [], [])
    assert (fine["worst"], fine["broken"], fine["warning"], fine["ok"], fine["codes"]) == ("warning", ["fits-a"], 1, 1, ["fits.ingest.orphaned"])
    gone = looked.status(made, ["fits-a", "fits-b", "fits-10"], ["fits-10"], [])
    assert (gone["worst"], gone["broken"], gone["unreachable"], gone["hosts"]) == ("critical", ["fits-10", "fits-a"], ["fits-10"], 3)
    blind = looked.status(made, ["fits-a", "fits-b"], [], looked.troubles({"fits-b": {"triage_failed": [{"system": "fits", "task": "Look", "reason": "no"}]}}))
    assert (blind["worst"], blind["failed_looks"]) == ("critical", ["fits-b"])
    assert looked.status(document(fits_a=[]), ["fits-a"], [], [])["worst"] == "ok"


def test_what_still_stands() -> None:
    made = document(fits_a=[finding(), finding("gone", "ok")])
    wanted = [("fits-a", "fits.ingest.orphaned", "queue"), ("fits-b", "fits.ingest.orphaned", "queue"), ("fits-a", "fits.ingest.failed", "queue")]
    assert looked.still_standing(made, wanted) == wanted[:1]
