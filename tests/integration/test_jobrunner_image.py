# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of jobs: a real engine pulls from a stand-in of a registry; missing, outdated, named otherwise, without a name; and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.engine import Engine, busybox_root
from lab.registry import Registry
from support import run_module, run_ok, run_refused

pytestmark = pytest.mark.step("O7")
CORE = "opensafely-core"
ROOT = busybox_root()


class Place:
    """An engine without images of its own, and a registry that has one."""

    def __init__(self, engine: Engine, registry: Registry, folder: Path) -> None:
        self.engine, self.registry, self.folder = engine, registry, folder
        self.digest = registry.put(f"{CORE}/python", "v2", ROOT, note="one")
        self.names = [f"{self.registry.host}/{CORE}/python:v2", f"hub.example.org/{CORE}/python:v2", "hub.example.org/opensafely/python:v2"]

    def arguments(self, **options: Any) -> dict[str, Any]:
        known = {"name": "python:v2", "registry": f"hub.example.org/{CORE}", "proxy": f"{self.registry.host}/{CORE}", "config_files": []}
        return {**known, "docker_host": self.engine.docker_host, "journal_dir": str(self.folder / "journal"), **options}

    def ok(self, check: bool = False, **options: Any) -> dict[str, Any]:
        return run_ok("jobrunner_image", self.arguments(**options), check=check)

    def undo(self, undo_id: str) -> dict[str, Any]:
        return run_module("runbook_undo", {"undo_id": undo_id, "journal_dir": str(self.folder / "journal")})

    def ids(self) -> dict[str, str | None]:
        """What each name stands for, asked of the command line client."""
        return {name: (self.engine.inspect(name, "image") or {}).get("Id") for name in self.names}

    def note(self, name: str) -> str:
        """What the image says of itself when it is really run."""
        return self.engine.docker("inspect", "--type=image", "--format", "{{.Config.Labels.note}}", name)

    def clear(self) -> None:
        self.engine.clear()
        for listed in self.engine.docker("image", "ls", "--all", "--quiet", "--no-trunc").split():
            self.engine.docker("image", "rm", "--force", listed) if self.engine.inspect(listed, "image") else None


@pytest.fixture
def place(engine: Engine, tmp_path: Path) -> Iterator[Place]:
    with Registry() as registry:
        made = Place(engine, registry, tmp_path)
        made.clear()
        yield made
        made.clear()


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"].removeprefix("jobrunner.image.") for finding in result["findings"]]


def test_a_missing_image_is_pulled_named_and_given_back(place: Place) -> None:
    predicted = place.ok(check=True)
    assert codes(predicted) == ["missing"]
    assert place.ids() == dict.fromkeys(place.names)
    assert [(change["action"], change["subject"]) for change in predicted["changes"]] == [
        ("pull", f"image:{place.names[0]}"),
        ("tag", f"image:{place.names[1]}"),
        ("tag", f"image:{place.names[2]}"),
    ]

    result = place.ok(approved_plan=predicted["plan_sha256"])
    assert [dict(change, done=False) for change in result["changes"]] == predicted["changes"]
    assert codes(result) == ["ok"]
    found = place.ids()
    assert len(set(found.values())) == 1
    assert None not in found.values()
    assert place.engine.docker("run", "--rm", "--network=none", place.names[1], "echo", "works") == "works"

    again = place.ok()
    assert (again["changed"], again["changes"], again["undo_id"]) == (False, [], None)

    assert place.undo(result["undo_id"])["changed"]
    assert place.ids() == dict.fromkeys(place.names)
    assert place.undo(result["undo_id"])["changed"] is False


def test_another_image_under_the_name_is_seen_and_the_old_one_comes_back(place: Place) -> None:
    place.ok()
    old = place.ids()
    place.registry.put(f"{CORE}/python", "v2", ROOT, note="two")
    predicted = place.ok(check=True)
    assert codes(predicted) == ["outdated"]
    assert place.ids() == old
    result = place.ok()
    assert result["plan_sha256"] == predicted["plan_sha256"]
    assert {place.note(name) for name in place.names} == {"two"}
    assert place.undo(result["undo_id"])["changed"]
    assert place.ids() == old
    assert {place.note(name) for name in place.names} == {"one"}


def test_an_undo_can_be_undone(place: Place) -> None:
    place.ok()
    place.registry.put(f"{CORE}/python", "v2", ROOT, note="two")
    result = place.ok()
    now = place.ids()
    undone = place.undo(result["undo_id"])
    assert place.ids() != now
    assert place.undo(undone["undo_id"])["changed"]
    assert place.ids() == now


def test_what_was_planned_is_pulled_whatever_the_tag_stands_for_by_then(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.images import Images

    offered = Images.offered

    def then_it_moves(self: Images, repository: str, tag: str) -> str:
        digest = offered(self, repository, tag)
        place.registry.put(f"{CORE}/python", "v2", ROOT, note="two")
        return digest

    monkeypatch.setattr(Images, "offered", then_it_moves)
    result = place.ok()
    assert result["offered"] == place.digest
    assert {place.note(name) for name in place.names} == {"one"}


def test_without_pull_only_names_are_given(place: Place) -> None:
    refused = run_refused("jobrunner_image", place.arguments(pull=False))
    assert "there is nothing to name" in refused["msg"]
    place.engine.docker("pull", place.names[0])
    place.registry.refuse = True
    asked = len(place.registry.asked)
    result = place.ok(pull=False)
    assert [change["action"] for change in result["changes"]] == ["tag", "tag"]
    assert len(set(place.ids().values())) == 1
    assert len(place.registry.asked) == asked
    assert place.ok(pull=False)["changed"] is False


def test_without_a_proxy_it_is_pulled_by_its_own_name(place: Place) -> None:
    result = place.ok(proxy=None, registry=f"{place.registry.host}/{CORE}")
    assert [change["subject"] for change in result["changes"]] == [
        f"image:{place.registry.host}/{CORE}/python:v2",
        f"image:{place.registry.host}/opensafely/python:v2",
    ]
    assert codes(result) == ["ok"]


def test_the_registry_of_the_configuration_is_taken(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "04_local.env"
    file.write_text(f"DOCKER_REGISTRY={place.registry.host}/{CORE}\n", encoding="utf-8")
    result = place.ok(check=True, registry=None, proxy=None, config_files=[str(file)])
    assert place.registry.host in result["changes"][0]["subject"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "ubuntu"}, "accepted are cohortextractor, databuilder"),
        ({"name": "python:v2", "tag": "v3"}, "not twice"),
        ({"name": "python", "tag": "../x"}, "is no tag"),
        ({"registry": None}, "give the option registry"),
        ({"registry": "https://hub.example.org/x"}, "a host and an organisation"),
        ({"proxy": "x y/z"}, "a host and an organisation"),
        ({"name": ""}, "name is empty"),
        ({"name": None}, "name"),
        ({"name": "python:v9"}, "refused to ask the registry"),
        ({"pull_timeout": 0}, "pull_timeout"),
        ({"docker_host": "unix:///nowhere/docker.sock"}, "no engine answers at unix:///nowhere/docker.sock"),
    ],
)
def test_what_cannot_be_meant_is_refused(place: Place, options: dict[str, Any], said: str) -> None:
    refused = run_refused("jobrunner_image", place.arguments(**options))
    assert said in refused["msg"]
    assert place.ids() == dict.fromkeys(place.names)


def test_a_registry_that_is_away_changes_nothing(place: Place) -> None:
    place.registry.refuse = True
    refused = run_refused("jobrunner_image", place.arguments())
    assert "ask the registry" in refused["msg"]
    assert place.ids() == dict.fromkeys(place.names)


def test_a_layer_that_does_not_come_is_an_error_and_the_next_run_finishes(place: Place) -> None:
    kept = dict(place.registry.blobs)
    place.registry.blobs.clear()
    refused = run_refused("jobrunner_image", place.arguments())
    assert "could not pull" in refused["msg"] or "refused to pull" in refused["msg"]
    assert place.ids() == dict.fromkeys(place.names)
    place.registry.blobs.update(kept)
    assert codes(place.ok()) == ["ok"]


def test_images_without_a_name_go_only_as_named(place: Place) -> None:
    place.ok()
    place.registry.put(f"{CORE}/python", "v2", ROOT, note="two")
    place.ok()
    held = place.engine.docker("create", "--network=none", place.names[0])
    place.registry.put(f"{CORE}/python", "v2", ROOT, note="three")
    place.ok()
    refused = run_refused("jobrunner_image", place.arguments(state="pruned", name=None))
    (change,) = refused["changes"]  # the second one has a container
    assert change["reversible"] is False
    assert "accept_data_loss" in refused["msg"]
    names = place.ids()
    result = place.ok(state="pruned", name=None, accept_data_loss=[change["data_loss"]])
    assert [made["done"] for made in result["changes"]] == [True]
    assert codes(result) == ["no_dangling"]
    assert place.engine.inspect(change["before"]["id"], "image") is None
    assert place.ids() == names
    assert place.engine.inspect(held) is not None
    assert place.ok(state="pruned", name=None)["changed"] is False
    undone = place.undo(result["undo_id"])
    assert "irreversible" in undone["msg"]


def test_an_undo_without_the_old_image_is_refused(place: Place) -> None:
    place.ok()
    place.registry.put(f"{CORE}/python", "v2", ROOT, note="two")
    result = place.ok()
    loss = run_refused("jobrunner_image", place.arguments(state="pruned", name=None))["changes"][0]["data_loss"]
    place.ok(state="pruned", name=None, accept_data_loss=[loss])
    now = place.ids()
    assert "stood for images that were removed since" in place.undo(result["undo_id"])["msg"]
    assert place.ids() == now
