# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads of full configurations. A naive client deletes what it does not have, starts what it brings, and takes back what others did."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure import run as engine
from lab.sesam import samples
from lab.sesam.plain import PlainSesam
from sesam_changing import KEY, Operator, codes, fine, guards
from support import run_refused

Make = Callable[..., PlainSesam]
SECRET = "lab-secret-0f4c1d"
Entities = list[dict[str, Any]]


@pytest.fixture
def operator(plain_sesam: Make, journal_dir: str) -> Operator:
    return Operator(plain_sesam(config=samples.config(pipes=3)), journal_dir)


def without(config: Sequence[dict[str, Any]], *ids: str) -> Entities:
    return [entity for entity in config if entity["_id"] not in ids]


def off(**others: Any) -> dict[str, Any]:
    """The sample's metadata with the scheduler off."""
    return samples.metadata(task_manager={"concurrent_tasks": 4, KEY: True}, **others)


def put(path: Path, entities: Any) -> str:
    path.write_text(json.dumps(entities), encoding="utf-8")
    return str(path)


def by_id(entities: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {entity["_id"]: entity for entity in entities}


@pytest.mark.step("S10")
def test_uploaded_with_the_scheduler_off_and_taken_back(operator: Operator, tmp_path: Path) -> None:
    node, before = operator.node, operator.node.config()
    upload = without(samples.config(pipes=2), "node")
    upload += [samples.pipe("tick", "scheduled", 0.5), samples.pipe("crm-2", "manual", batch_size=7)]
    src = put(tmp_path / "config.json", upload)
    predicted = fine(operator.config(check=True, src=src))
    assert operator.writes() == []
    result = fine(operator.config(src=src, approved_plan=predicted["plan_sha256"]))
    assert [dict(change, done=False) for change in result["changes"]] == predicted["changes"]
    assert result["entities"] == predicted["entities"]
    assert [(row["id"], row["action"], [key["key"] for key in row["differences"]]) for row in result["entities"]] == [
        ("crm-2", "replace", ["batch_size"]),
        ("node", "replace", [f"task_manager.{KEY}"]),
        ("tick", "add", []),
    ]
    assert operator.writes() == [("PUT", "/api/config")]
    assert node.config() == {**by_id(upload), "node": off()}  # the node's own metadata are kept, though the upload has none
    assert (result["scheduler"], codes(result)) == ("disabled", ["same", "scheduler_off"])
    assert not [pipe for pipe in node.pipes().values() if pipe["runtime"]["state"] != "Deployed"]
    proof = fine(operator.scheduler("disabled", settle=2))["proof"]
    assert (proof["started"], node.runs("tick")) == ([], 0)
    again = fine(operator.config(src=src))
    assert (again["changed"], again["changes"], again["saved"]) == (False, [], None)
    saved = Path(result["saved"])
    assert (saved.stat().st_mode & 0o777, saved.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert by_id(json.loads(gzip.decompress(saved.read_bytes()))) == before
    # The switch was turned by this collection, so it may turn it back.
    fine(operator.scheduler("enabled"))
    assert node.config()["node"] == samples.metadata()
    node.wait_runs("tick")
    assert guards(operator.undo(result["undo_id"])) == ["changed_since"]
    fine(operator.scheduler("disabled"))
    undone = operator.undone(result["undo_id"])
    assert node.config() == before
    assert operator.undone(result["undo_id"])["changed"] is False
    operator.undone(undone["undo_id"])
    assert node.config() == {**by_id(upload), "node": off()}


@pytest.mark.step("S10")
def test_what_the_upload_lacks_is_not_deleted_unasked(operator: Operator, plain_sesam: Make, tmp_path: Path) -> None:
    config = samples.config(pipes=3)
    upload = without(config, "crm-0", "crm-1")
    naive = plain_sesam(config=config)
    assert naive.ask("PUT", "/config", upload)[0] == 200
    assert {"crm-0", "crm-1"}.isdisjoint(naive.config())  # and nobody was asked
    src = put(tmp_path / "config.json", upload)
    refused = operator.config(src=src)
    assert guards(refused) == ["delete"]
    assert "lacks 2 of the 6 entities" in refused["msg"]
    assert refused["lacking"] == ["crm-0", "crm-1"]
    assert guards(operator.config(src=src, delete=["crm-0"])) == ["delete"]
    loss = operator.config(src=src, delete=["all"])
    assert guards(loss) == ["accept_data_loss"]
    words = loss["changes"][0]["data_loss"]
    assert words == "2 entities of the configuration, and what the node keeps for them: crm-0, crm-1"
    assert operator.writes() == []
    assert operator.node.config() == by_id(config)
    assert guards(operator.config(src=put(tmp_path / "less.json", without(upload, "crm-2")), delete=["all"], accept_data_loss=[words])) == ["accept_data_loss"]
    result = fine(operator.config(src=src, delete=["crm-0", "crm-1", "never-there"]))
    assert operator.node.config() == {**by_id(upload), "node": off()}
    operator.undone(result["undo_id"])
    assert operator.node.config() == by_id(config)
    fine(operator.config(src=src, delete=["all"], accept_data_loss=[words]))
    assert "crm-0" not in operator.node.config()
    assert "delete names what the upload has: crm-2" in run_refused("sesam_config", operator.config_arguments(src=src, delete=["crm-2"]))["msg"]


@pytest.mark.step("S10")
def test_somebody_who_is_quicker_loses_nothing(operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no version that an upload could name: what came since the look would be deleted by it."""
    src = put(tmp_path / "config.json", [*samples.config(pipes=3), samples.pipe("mine")])
    theirs = [*samples.config(pipes=3), samples.pipe("theirs")]

    def reached(name: str) -> None:
        if name == "apply.before":
            operator.node.ask("PUT", "/config", theirs)

    with monkeypatch.context() as patch:
        patch.setattr(engine, "boundary", reached)
        result = fine(operator.config(src=src))
    assert result["changed"] is False
    assert {change["note"] for change in result["changes"]} == {"the configuration was changed by somebody else since it was looked at: nothing was uploaded"}
    assert operator.node.config() == by_id(theirs)
    assert guards(operator.config(src=src)) == ["delete"]
    # An undo is no better than an upload: what was changed since is refused, and what is new stays.
    undo_id = fine(operator.config(src=src, delete=["theirs"]))["undo_id"]
    more = {**operator.node.config(), "new": samples.pipe("new")}
    operator.node.ask("PUT", "/config", list(more.values()))
    operator.undone(undo_id)
    assert operator.node.config() == {**by_id(theirs), "new": samples.pipe("new")}


@pytest.mark.step("S10")
def test_what_the_node_says_of_it_is_shown(operator: Operator, tmp_path: Path) -> None:
    broken = {"_id": "broken", "type": "pipe", "source": {"type": "sql", "system": "crm", "password": SECRET}}
    wrong = {"_id": "wrong", "type": SECRET, "token": SECRET}
    before = operator.node.config()
    src = put(tmp_path / "bad.json", [*samples.config(pipes=3), wrong, {**broken, "source": "none"}])
    failed = run_refused("sesam_config", operator.config_arguments(src=src))
    assert "does not take this configuration, and applied nothing of it: 2 faults" in failed["msg"]
    assert [error["id"] for error in failed["validation_errors"]] == ["wrong", "broken"]
    assert SECRET not in json.dumps(failed["validation_errors"])
    assert operator.node.config() == before
    assert all(query != {"force": "true"} for query in (each["query"] for each in operator.node.requests))
    warned = fine(operator.config(src=put(tmp_path / "odd.json", [*samples.config(pipes=3), {**broken, "odd": 1}])))
    assert (warned["validation_errors"][0]["level"], "invalid" in codes(warned)) == ("warning", True)
    forced = fine(operator.config(src=src, delete=[], accept_invalid=True))
    assert "wrong" in operator.node.config()
    assert forced["validation_errors"]
    operator.undone(forced["undo_id"])
    operator.undone(warned["undo_id"])
    assert operator.node.config() == before


@pytest.mark.step("S10")
def test_credentials_in_clear_are_neither_shown_nor_journaled(operator: Operator, tmp_path: Path) -> None:
    system = {"_id": "erp", "type": "system:url", "url_pattern": f"https://erp:{SECRET}@erp.example.org/%s", "headers": {"Authorization": f"Bearer {SECRET}"}}
    result = fine(operator.config(src=put(tmp_path / "config.json", [*samples.config(pipes=3), system])))
    assert "credential" in codes(result)
    changed = {**system, "headers": {"Authorization": f"Bearer {SECRET}-2"}, "password": f"{SECRET}-3", "comment": "seen"}
    src = put(tmp_path / "changed.json", [*samples.config(pipes=3), changed])
    second = fine(operator.config(src=src, diff=True))
    (row,) = second["entities"]
    assert {key["key"]: (key["before"], key["after"]) for key in row["differences"]} == {
        "comment": (None, "seen"),
        "headers.Authorization": ("********", "********"),
        "password": (None, "********"),
    }
    kept = "".join(path.read_text(encoding="utf-8") for path in (Path(operator.journal) / "runs").iterdir())
    assert "entity:erp" in kept
    assert SECRET not in kept + json.dumps([result, second])
    operator.undone(second["undo_id"])  # though it is nowhere in the journal, it is put back
    assert operator.node.config()["erp"] == system
    told = run_refused("sesam_config", operator.config_arguments(entities=[*samples.config(pipes=3), changed]))["msg"]
    assert "looks like a credential, which Ansible would log" in told
    referring = {**system, "url_pattern": "https://$ENV(user):$SECRET(erp)@erp.example.org/%s", "headers": {"Authorization": "Bearer $SECRET(erp)"}}
    assert "credential" not in codes(fine(operator.config(entities=[*samples.config(pipes=3), referring])))


@pytest.mark.step("S10")
def test_a_zip_as_the_node_gives_it(operator: Operator, tmp_path: Path) -> None:
    node = operator.node
    archive = tmp_path / "config.zip"
    archive.write_bytes(node.ask("GET", "/config", headers={"Accept": "application/zip"})[1])
    result = fine(operator.config(src=str(archive)))
    assert [row["id"] for row in result["entities"]] == ["node"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("pipes/bomb.conf.json", b" " * 50_000_000 + b"{}")
        made.writestr("README.md", "not a configuration")
    (tmp_path / "bomb.zip").write_bytes(packed.getvalue())
    for name, data, said in (
        ("bomb.zip", packed.getvalue(), "more than 10000000 bytes together"),
        ("half.zip", archive.read_bytes()[:200], "is not a zip archive"),
        ("large.json", b"[" + b" " * 10_000_001 + b"]", "more than max_size allows"),
    ):
        (tmp_path / name).write_bytes(data)
        assert said in run_refused("sesam_config", operator.config_arguments(src=str(tmp_path / name), max_size=10_000_000))["msg"]


@pytest.mark.step("S10")
def test_groups_are_replaced_each_for_itself(plain_sesam: Make, journal_dir: str) -> None:
    config = samples.config(pipes=1)
    operator = Operator(plain_sesam(config=config, groups={"lab": [samples.pipe("lab-0"), samples.pipe("lab-1")]}), journal_dir)
    upload = [samples.pipe("lab-0", "manual", batch_size=5)]
    assert guards(operator.config(entities=upload, group="lab")) == ["delete", "scheduler"]
    fine(operator.scheduler("disabled"))
    result = fine(operator.config(entities=upload, group="lab", delete=["lab-1"]))
    assert operator.node.config("lab") == {"lab-0": {**upload[0], "$config-group": "lab"}}
    assert operator.node.config() == {**by_id(config), "node": off()}
    assert fine(operator.config(entities=upload, group="lab"))["changed"] is False
    operator.undone(result["undo_id"])
    assert set(operator.node.config("lab")) == {"lab-0", "lab-1"}
    fresh = fine(operator.config(entities=[samples.pipe("fresh-0")], group="fresh"))
    assert set(operator.node.config("fresh")) == {"fresh-0"}
    operator.undone(fresh["undo_id"])
    assert operator.node.ask("GET", "/config/fresh")[0] == 404
    for entity, said in (({**upload[0], "$config-group": "other"}, "of the group 'other'"), (samples.metadata(), "belong to the group default")):
        assert said in run_refused("sesam_config", operator.config_arguments(entities=[entity], group="lab"))["msg"]


@pytest.mark.step("S10")
def test_as_uploaded_leaves_the_scheduler_as_it_is(operator: Operator) -> None:
    upload = [*without(samples.config(pipes=3), "node"), samples.pipe("more")]
    fine(operator.config(entities=upload, scheduler="as_uploaded"))
    assert operator.node.config() == {**by_id(upload), "node": samples.metadata()}
    result = fine(operator.config(entities=[*upload, samples.metadata(global_defaults={"x": 1})]))
    assert operator.node.metadata() == off(global_defaults={"x": 1})
    assert result["scheduler"] == "disabled"


@pytest.mark.step("S10")
def test_an_answer_that_does_not_come_is_looked_for(operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node took it and the connection broke off: that is an upload, and no failure to be repeated."""
    from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam import config
    from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.errors import SesamError

    def broken(node: Any, group: str, entities: Any, force: bool) -> Any:
        put_config(node, group, entities, force)
        raise SesamError("no answer", "timeout")

    put_config = config.put_config
    monkeypatch.setattr(config, "put_config", broken)
    result = fine(operator.config(src=put(tmp_path / "config.json", [*samples.config(pipes=3), samples.pipe("more")])))
    assert result["changed"]
    assert "more" in operator.node.config()


@pytest.mark.step("S10")
def test_a_large_configuration(plain_sesam: Make, journal_dir: str, tmp_path: Path) -> None:
    """20 MB: a thousand pipes, of which two change. Kept compressed, and not in the journal."""
    pipes = [samples.pipe(f"pipe-{number}", comment=f"{number} " + "x" * 20_000) for number in range(1000)]
    config = [samples.system(), samples.metadata(), *pipes]
    operator = Operator(plain_sesam(config=config), journal_dir)
    upload = [*config[:-2], {**config[-2], "comment": "short"}, {**config[-1], "comment": "y" * 20_000}]
    result = fine(operator.config(src=put(tmp_path / "config.json", upload)))
    assert result["upload"] == {"group": "default", "entities": 1002, "unchanged": 999, "added": 0, "changed": 3, "removed": 0}
    assert len(json.dumps(result)) < 20_000
    assert Path(result["saved"]).stat().st_size < 2_000_000
    assert sum(path.stat().st_size for path in (Path(journal_dir) / "runs").iterdir()) < 20_000
    operator.undone(result["undo_id"])
    assert operator.node.config() == by_id(config)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"_id": "node", "type": "metadata"}', "holds one object, a full configuration is an array"),
        ("[]", "the upload of nothing would delete everything"),
        ('[{"_id": "a"}]', "has no type"),
        ('[{"type": "pipe"}]', "has no _id"),
        ("[1]", "entity 1 is number, not an object"),
        ('[{"_id": "a", "type": "pipe"}, {"_id": "a", "type": "pipe"}]', "entities 1 and 2 have the same _id 'a'"),
        ('[{"_id": "a", "_id": "b", "type": "pipe"}]', "'_id' is there twice"),
        ('[{"_id": "a",\n"type": }]', "line 2 column 9"),
        ('[{"_id": "a", "type": "pipe", "x": NaN}]', "NaN is no number"),
        ('[{"_id": "other", "type": "metadata"}]', "the node's metadata, and nothing else"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_bad_input(tmp_path: Path, journal_dir: str, text: str, said: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    known = {"src": str(tmp_path / "config.json"), "api_url": "http://127.0.0.1:1", "journal_dir": journal_dir}
    assert said in run_refused("sesam_config", known)["msg"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "one of the following is required: src, entities"),
        ({"src": "/nowhere"}, "cannot be read"),
        ({"src": "/"}, "src: / is not a file"),
        ({"entities": [{"_id": "a", "type": "pipe"}], "group": "../x"}, "group must be the name"),
        ({"entities": [{"_id": "a", "type": "pipe"}], "max_size": 1}, "max_size must be"),
        ({"entities": [{"_id": "a", "type": "pipe"}], "timeout": -1}, "timeout must be"),
        ({"entities": [{"_id": "a", "type": "pipe"}]}, "no answer to"),
    ],
)
def test_bad_options(journal_dir: str, options: dict[str, Any], said: str) -> None:
    assert said in run_refused("sesam_config", {"api_url": "http://127.0.0.1:1", "journal_dir": journal_dir, **options})["msg"]
