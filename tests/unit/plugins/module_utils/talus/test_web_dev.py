# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container for development, by tables: what would be made of which database and production, what is planned, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.containers import Container
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.errors import TalusError
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.web_dev import app_of, volume_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.web_dev_state import (
    LABEL,
    MOUNTS,
    Wanted,
    WebDevState,
    beside,
    configuration,
    diagnose,
    exec_line,
    guards,
    plan,
    shape,
    spelling_for,
    wanted_image,
)

DB = Container("i", "talus-db", "db", "hyphen", "service", "name", "talus/talus-db", "talus-db", "running", True, networks={"bridge": "172.17.0.2"})
ON_NETWORK = replace(DB, networks={"talus_nw": "172.18.0.2"}, network_mode="talus_nw")
WEB = replace(DB, name="talus-web", component="web", image="mine:1", mounts=({"source": "/x", "destination": "/logs", "writable": True},))
WANTED = Wanted("/src", address="127.0.0.1")


def made(database: Container = DB, web: Any = None, wanted: Wanted = WANTED, spelling: str = "hyphen") -> dict[str, Any]:
    found = wanted_image(wanted, database, web, spelling)
    assert found is not None
    return dict(found)


def state(**parts: Any) -> WebDevState:
    return WebDevState("talus-web_dev", **{"database": DB, "after": made(), **parts})


def test_linked_on_the_default_bridge_and_beside_it_on_a_network() -> None:
    assert (made()["link"], made()["network"]) == ("talus-db:talus-db", "default")
    assert (made(ON_NETWORK)["link"], made(ON_NETWORK)["network"]) == (None, "talus_nw")
    assert configuration(made())["HostConfig"]["Links"] == ["talus-db:talus-db"]
    assert configuration(made(ON_NETWORK))["HostConfig"]["Links"] == []
    assert wanted_image(WANTED, None, None, "hyphen") is None


def test_image_and_mounts_are_the_productions_where_there_is_one() -> None:
    assert made(web=WEB)["mounts"] == ["/x:/logs:rw", "/src:/web:rw"]
    assert made(web=WEB)["image"] == "mine:1"
    assert (made()["image"], made(spelling="underscore")["image"]) == ("talus/talus-web", "talus_web")
    assert set(made()["mounts"]) == {*MOUNTS, "/src:/web:rw"}
    assert made(wanted=replace(WANTED, mounts=(), image="other"))["mounts"] == ["/src:/web:rw"]
    own = replace(WEB, mounts=({"source": "/baked", "destination": "/web", "writable": True},))
    assert made(web=own)["mounts"] == ["/src:/web:rw"]


def test_what_was_made_is_read_back_and_values_are_not() -> None:
    image = made(wanted=replace(WANTED, environment=("TOKEN",)))
    config = configuration(image, {"TOKEN": "secret"})
    assert config["Env"] == ["TOKEN=secret"]
    assert "secret" not in config["Labels"][LABEL]
    assert shape({"Config": config}) == image
    assert shape({"Config": {"Labels": None}}) is shape({"Config": {"Labels": {LABEL: "nonsense"}}}) is shape({"Config": {"Labels": {LABEL: "[]"}}}) is None


def test_plans() -> None:
    assert [(change.action, change.before, change.after) for change in plan(state(), True)] == [("create", None, made())]
    assert plan(state(there=made()), True) == []
    assert plan(state(foreign=True), True) == plan(state(foreign=True, there=None), False) == []
    (gone,) = plan(state(there=made()), False)
    assert (gone.action, gone.before, gone.after, gone.reversible, gone.data_loss) == ("remove", made(), None, True, "")
    (lost,) = plan(state(there=made(), written=["/etc/x"]), False)
    assert lost.data_loss
    secret = made(wanted=replace(WANTED, environment=("TOKEN",)))
    assert [change.reversible for change in plan(state(there=secret), False)] == [False]
    assert [change.subject for change in plan(state(half=made()), False)] == ["container:talus-web_dev.new"]


@pytest.mark.parametrize(
    ("parts", "wanted", "refused"),
    [
        ({}, WANTED, []),
        ({"database": None, "after": None}, WANTED, ["database"]),
        ({"database": replace(DB, running=False, status="exited")}, WANTED, ["database"]),
        ({"image_here": False}, WANTED, ["image"]),
        ({"lacking": ["/talus/install"]}, WANTED, ["mounts"]),
        ({"taken": "something listens"}, WANTED, ["port"]),
        ({"foreign": True}, WANTED, ["foreign"]),
        ({"there": made(), "running": True}, WANTED, []),
        ({"there": made(), "running": False}, WANTED, ["settings"]),
        ({"there": made(), "running": True, "database": None}, WANTED, []),
        ({"there": made(), "running": True}, replace(WANTED, port=8081), ["settings"]),
        ({"there": made(), "running": True}, replace(WANTED, source="/other"), ["settings"]),
        ({"there": made(), "running": True}, replace(WANTED, image="other"), ["settings"]),
        ({"there": made(), "running": True}, replace(WANTED, environment=("A",)), ["settings"]),
        ({"there": made(web=WEB), "running": True}, WANTED, []),
    ],
)
def test_refusals(parts: dict[str, Any], wanted: Wanted, refused: list[str]) -> None:
    assert [refusal.guard for refusal in guards(state(**parts), wanted, True)] == refused
    assert [refusal.guard for refusal in guards(state(**parts), wanted, False)] == [each for each in refused if each == "foreign"]


def test_whose_name_it_gets() -> None:
    assert spelling_for("underscore", ["talus-web_dev"], DB) == "underscore"
    assert spelling_for(None, ["talus_web_dev"], DB) == "underscore"
    assert spelling_for(None, [], replace(DB, spelling="underscore")) == "underscore"
    assert spelling_for(None, [], None) == "hyphen"


@pytest.mark.parametrize(("command", "wanted"), [(["bash"], "bash"), (["/bin/sh", "-x"], "sh"), (["python", "manage.py"], "sh"), (["/usr/bin/zsh"], "zsh")])
def test_how_to_get_a_shell(command: list[str], wanted: str) -> None:
    assert exec_line("talus-web_dev", {"command": command}) == "docker exec -it talus-web_dev " + wanted


def test_what_would_be_lost() -> None:
    places = ["/web", "/var/log/x"]
    assert beside(["/etc", "/etc/notes", "/web", "/web/a", "/website", "/var", "/var/log", "/usr/lib/a.pyc"], places) == ["/etc", "/etc/notes", "/website"]


def test_findings() -> None:
    assert [finding.code for finding in diagnose(state())] == ["talus.web_dev.absent"]
    assert [finding.severity for finding in diagnose(state(there=made(), running=True))] == ["info"]
    assert [finding.severity for finding in diagnose(state(foreign=True))] == ["warning"]


def test_where_the_application_is(tmp_path: Path) -> None:
    app = tmp_path / "src" / "web" / "app"
    app.mkdir(parents=True)
    with pytest.raises(TalusError, match=r"there is no manage\.py"):
        app_of(str(tmp_path))
    (app / "manage.py").touch()
    assert app_of(str(tmp_path)) == app_of(str(app.parent)) == app_of(str(app)) == str(app.resolve())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("/a:/b", "/a:/b:rw"), ("/a:/b:ro", "/a:/b:ro"), ("data:/b", "data:/b:rw"), ("/a:b", None), ("/a", None), ("/a:/b:exec", None), ("/a:/web", None)],
)
def test_volumes(text: str, wanted: Any) -> None:
    if wanted is None:
        with pytest.raises(TalusError, match="volumes"):
            volume_of(text)
    else:
        assert volume_of(text) == wanted
