# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The profiler of all calls, on and off in a real container of a real engine: bounded, with everything else as it was, and never left on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.docker import Docker, DockerError
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam import profiler
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.profiler_act import look, switch_off, switch_on
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.profiler_config import enabled
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.profiler_state import Usage
from ansible_collections.fieldops.runbooks.plugins.modules import runbook_undo
from lab.engine import Engine
from lab.mongo import free_port
from lab.sesam import samples
from lab.sesam.container import SesamNode
from sesaming import container_params
from support import run_module, run_ok, run_refused

OPTION = "--enable-api-profiler"
MIB = 1 << 20
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root sees the files in a container's memory")


class Operator:
    """A node in a container, and the module beside it."""

    def __init__(self, node: SesamNode, journal: str) -> None:
        self.node, self.journal = node, journal

    def arguments(self, state: str, **options: Any) -> dict[str, Any]:
        known = container_params(self.node, journal_dir=self.journal, container=self.node.name, max_bytes=8 * MIB)
        return {**known, "state": state, "settle": 0.5, "timeout": 120, "stop_timeout": 20, **options}

    def ok(self, state: str, check: bool = False, **options: Any) -> dict[str, Any]:
        return run_ok("sesam_api_profiler", self.arguments(state, **options), check=check)

    def refused(self, state: str, **options: Any) -> dict[str, Any]:
        return run_refused("sesam_api_profiler", self.arguments(state, **options))

    def undo(self, result: dict[str, Any]) -> dict[str, Any]:
        return run_module("runbook_undo", {"undo_id": result["undo_id"], "journal_dir": self.journal})

    def containers(self) -> list[str]:
        """All of the engine that begin with the node's name."""
        return sorted(name for name in self.node.engine.docker("ps", "--all", "--format", "{{.Names}}").split() if name.startswith(self.node.name))

    def profiling(self) -> bool:
        """Whether the node's process has the option."""
        return OPTION in Path(f"/proc/{self.node.pid}/cmdline").read_text(encoding="utf-8").split("\0")


def likeness(seen: dict[str, Any]) -> dict[str, Any]:
    """What a container was created with, without what an engine adds by itself."""
    config = {key: value for key, value in seen["Config"].items() if key not in ("Cmd", "Labels")}
    host = {key: value or None for key, value in seen["HostConfig"].items() if key != "Tmpfs"}
    labels = {key: value for key, value in seen["Config"]["Labels"].items() if not key.startswith("fieldops")}
    networks = {name: (each["IPAMConfig"], each["Aliases"]) for name, each in seen["NetworkSettings"]["Networks"].items()}
    mounts = sorted((mount["Type"], mount["Source"], mount["Destination"], mount["RW"]) for mount in seen["Mounts"] if mount["Type"] != "tmpfs")
    return {"config": config, "host": host, "labels": labels, "networks": networks, "mounts": mounts, "image": seen["Image"]}


@pytest.fixture
def operator(sesam_node: Callable[..., SesamNode], journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Operator]]:
    made: list[Operator] = []
    for fix, store in profiler.STORES.items():
        monkeypatch.setitem(runbook_undo.STORES, fix, store)

    def make(**options: Any) -> Operator:
        made.append(Operator(sesam_node(**options), journal_dir))
        return made[-1]

    yield make
    for each in made:
        for name in each.containers():
            each.node.engine.docker("rm", "--force", name)


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"].removeprefix("sesam.profiler.") for finding in result["findings"]]


def guards(result: dict[str, Any]) -> list[str]:
    return [refusal["guard"] for refusal in result["refusals"]]


@needs_root
@pytest.mark.step("S4")
@pytest.mark.parametrize("begins", ["exec", "direct"])
def test_on_and_off_with_everything_else_as_it_was(operator: Callable[..., Operator], begins: str) -> None:
    made = operator(begins=begins, environment={"LAB_VALUE": "kept and journaled nowhere"})
    node, before, started = made.node, made.node.inspect(), made.node.status()["node_start_time"]
    predicted = made.ok("enabled", check=True)
    assert (node.id, codes(predicted)) == (before["Id"], ["off"])
    result = made.ok("enabled", approved_plan=predicted["plan_sha256"])
    assert codes(result) == ["on"]
    assert node.status()["node_start_time"] != started
    assert made.profiling()
    now = node.inspect()
    assert likeness(now) == likeness(before)
    kept = result["profiler"]["kept"]
    assert made.containers() == sorted([node.name, kept])
    aside = node.engine.inspect(kept)
    assert aside is not None
    assert (aside["Id"], aside["State"]["Running"], aside["HostConfig"]["RestartPolicy"]["Name"]) == (before["Id"], False, "no")
    assert now["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert made.ok("enabled")["changed"] is False
    node.get("/pipes")
    off = made.ok("disabled")
    assert [file["whole"] for file in off["recording"]["files"]].count(True) >= 2
    assert codes(off) == ["off", "recorded"]
    after = node.inspect()
    assert (after["Id"], after["HostConfig"], likeness(after)) == (before["Id"], before["HostConfig"], likeness(before))
    assert made.containers() == [node.name]
    assert not made.profiling()
    assert made.ok("disabled")["changed"] is False
    written = "".join(path.read_text(encoding="utf-8", errors="replace") for path in Path(made.journal).glob("runs/*"))
    assert "kept and journaled nowhere" not in written
    assert node.token()[:20] not in written


@needs_root
@pytest.mark.step("S4")
@pytest.mark.thorough
def test_the_disk_fills_without_a_bound_and_never_with_one(operator: Callable[..., Operator]) -> None:
    # As the runbook has it: the option on the command line. Every call leaves two files on disk, and nobody removes them.
    made = operator(arguments=("--microservices=engine", OPTION), begins="direct")
    folder = made.node.logs / "api_profiler"
    made.node.get("/pipes")
    first = len(list(folder.iterdir()))
    made.node.get("/pipes")
    assert len(list(folder.iterdir())) >= first + 2
    told = made.refused("enabled")
    assert guards(told) == ["foreign"]
    assert codes(told)[:2] == ["unbounded", "left_files"]
    assert guards(made.refused("disabled")) == ["foreign"]
    before = made.node.inspect()
    off = made.ok("disabled", recreate=True)
    assert not made.profiling()
    assert likeness(made.node.inspect()) == likeness(before)
    assert codes(made.ok("disabled"))[0] == "replaced"
    undone = made.undo(off)
    assert undone["changed"], undone
    assert (made.node.id, made.profiling(), made.containers()) == (before["Id"], True, [made.node.name])
    assert guards(made.refused("disabled", sweep=True)) == ["foreign"]
    swept = made.ok("disabled", recreate=True, sweep=True)
    assert [change["action"] for change in swept["changes"]] == ["disable", "sweep"]
    assert (codes(swept)[0], list(folder.iterdir())) == ("replaced", [])
    kept = [Path(file["path"]) for file in swept["swept"]["files"]]
    assert len(kept) >= 4
    assert all(path.is_file() and path.stat().st_mode & 0o777 == 0o600 for path in kept)
    assert made.ok("disabled", sweep=True)["changed"] is False
    left = 0
    made.ok("enabled", max_bytes=MIB)
    for _number in range(60):
        made.node.ask("GET", "/pipes")
    full = made.ok("enabled", max_bytes=MIB)
    assert full["profiler"]["used"]["used"] <= MIB
    assert "full" in codes(full)
    assert len(list(folder.iterdir())) == left


@needs_root
@pytest.mark.step("S4")
def test_recorded_and_off_again(operator: Callable[..., Operator]) -> None:
    made = operator(begins="direct")
    before = made.node.inspect()
    predicted = made.ok("recorded", check=True, duration=2)
    assert [change["action"] for change in predicted["changes"]] == ["enable", "disable"]
    calls: list[int] = []
    real = profiler.usage

    def busy(root: str, place: str, bounded: bool) -> Any:
        if bounded:
            calls.append(len(made.node.get("/pipes")))
        return real(root, place, bounded)

    with mock.patch.object(profiler, "usage", busy):
        result = made.ok("recorded", duration=2, approved_plan=predicted["plan_sha256"])
    names = {file["name"] for file in result["recording"]["files"]}
    assert any("pipes" in name and name.endswith(".pstat") for name in names)
    assert result["recording"]["stopped"] == ""
    assert all(Path(file["path"]).stat().st_size == file["size"] for file in result["recording"]["files"])
    assert (made.node.id, made.containers(), made.profiling()) == (before["Id"], [made.node.name], False)
    with mock.patch.object(profiler, "usage", lambda *_arguments, **_named: Usage(1, 9 * MIB, 10 * MIB)):
        early = made.ok("recorded", duration=600)
    assert "stopped early" in early["recording"]["stopped"]
    assert made.node.id == before["Id"]
    assert made.undo(early).get("failed")


@needs_root
@pytest.mark.step("S4")
@pytest.mark.parametrize("end", ["error", "kill"])
def test_a_recording_that_is_interrupted_leaves_nothing_on(operator: Callable[..., Operator], end: str) -> None:
    made = operator(begins="direct")
    before = made.node.inspect()

    def interrupted(*_arguments: Any, **_named: Any) -> Any:
        assert made.profiling()
        if end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(5, "the terminal is gone")

    with mock.patch.object(profiler, "watch", interrupted):
        if end == "kill":
            pid = os.fork()
            if not pid:
                run_module("sesam_api_profiler", made.arguments("recorded", duration=600))
                sys.stdout.flush()
                os._exit(0)
            assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        else:
            assert made.arguments("recorded")["state"] == "recorded"
            assert run_module("sesam_api_profiler", made.arguments("recorded", duration=600))["failed"]
    made.node.wait_for(lambda: made.containers() == [made.node.name] and made.node.id == before["Id"], "the container that was put aside is back")
    made.node.wait_up()
    assert not made.profiling()
    assert made.node.inspect()["HostConfig"] == before["HostConfig"]


def killed_once_it_is_stopped(module: str, arguments: dict[str, Any]) -> None:
    """The module in a child, which dies with the node's container stopped and nothing in its place yet."""
    pid = os.fork()
    if not pid:
        real, own = Docker.rename, os.getpid()

        def rename(docker: Docker, name: str, new: str) -> None:
            if os.getpid() == own:
                os.kill(own, signal.SIGKILL)
            real(docker, name, new)

        try:
            with mock.patch.object(Docker, "rename", rename):
                run_module(module, arguments)
        finally:
            os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1]), "it was not killed"


@needs_root
@pytest.mark.step("S4")
@pytest.mark.parametrize("what", ["enabled", "disabled", "undo"])
@pytest.mark.thorough
def test_killed_while_the_node_is_stopped(operator: Callable[..., Operator], what: str) -> None:
    """Nobody runs anything again, and the node works all the same."""
    made = operator(begins="direct")
    before = made.node.id
    if what == "undo":
        undo = {"undo_id": made.ok("enabled")["undo_id"], "journal_dir": made.journal}
        killed_once_it_is_stopped("runbook_undo", undo)
    else:
        if what == "disabled":
            made.ok("enabled")
        killed_once_it_is_stopped("sesam_api_profiler", made.arguments(what))
    made.node.wait_for(lambda: made.containers() == [made.node.name] and made.node.id == before, "the container that was put aside is back")
    made.node.wait_up()
    assert not made.profiling()
    assert made.ok("enabled", lock_wait=60)["changed"]


@needs_root
@pytest.mark.step("S4")
def test_taken_back_and_taken_back_again(operator: Callable[..., Operator]) -> None:
    made = operator(begins="direct")
    before = made.node.id
    result = made.ok("enabled")
    undone = made.undo(result)
    assert undone["changed"], undone
    assert (made.node.id, made.profiling()) == (before, False)
    assert made.undo(result)["changed"] is False
    made.ok("enabled")
    off = made.ok("disabled")
    again = made.undo(off)
    assert again["changed"], again
    assert made.profiling()
    assert made.ok("enabled")["changed"] is False


@needs_root
@pytest.mark.step("S4")
@pytest.mark.thorough
def test_the_engine_starts_again_while_it_is_on(operator: Callable[..., Operator]) -> None:
    made = operator(begins="direct")
    made.ok("enabled")
    engine = made.node.engine
    engine.stop()
    engine.start()
    made.node.wait_up()
    running = engine.docker("ps", "--format", "{{.Names}}").split()
    # With its policy still there, the one that was put aside would run as well now: two nodes on the same data.
    assert [name for name in running if name.startswith(made.node.name)] == [made.node.name]
    assert made.profiling()
    made.ok("disabled")
    assert made.node.inspect()["HostConfig"]["RestartPolicy"]["Name"] == "always"


@needs_root
@pytest.mark.step("S4")
@pytest.mark.thorough
def test_made_anew_by_somebody_else_meanwhile(operator: Callable[..., Operator]) -> None:
    made = operator(begins="direct")
    kept = made.ok("enabled")["profiler"]["kept"]
    made.node.engine.docker("rm", kept)
    on = made.node.inspect()
    made.ok("disabled")
    assert not made.profiling()
    assert made.containers() == [made.node.name]
    assert likeness(made.node.inspect()) == likeness(on)
    kept = made.ok("enabled")["profiler"]["kept"]
    made.node.recreate(updated=False)
    told = made.ok("disabled")
    assert (told["changed"], codes(told)) == (False, ["off", "left_container"])
    assert made.containers() == sorted([made.node.name, kept])
    made.node.engine.docker("rm", kept)


@pytest.mark.step("S4")
def test_what_is_refused(operator: Callable[..., Operator]) -> None:
    made = operator(begins="direct", config=samples.config(pipes=1), run_seconds=120.0)
    before = made.node.id
    made.node.operate("crm-0", "start")
    assert guards(made.refused("enabled")) == ["pipes"] if os.geteuid() == 0 else "pipes" in guards(made.refused("enabled"))
    made.node.fault(auth=True, frozen_paths=["pipes"])
    assert "pipes" in guards(made.refused("enabled", request_timeout=2))
    made.node.mend()
    assert "memory" in guards(made.refused("enabled", max_bytes=1 << 34, interrupt_pipes=True))
    bad = {"max_bytes": {"max_bytes": 10}, "whole pages": {"max_bytes": MIB + 1}, "lock_expiry": {"timeout": 900}, "dest": {"dest": "x"}}
    for words, options in bad.items():
        assert words in made.refused("enabled", **options)["msg"]
    made.node.engine.docker("run", "--detach", "--name=side", f"--pid=container:{made.node.name}", made.node.engine.image, "sleep", "1000")
    assert "container side has its processes" in made.refused("enabled", interrupt_pipes=True)["msg"]
    made.node.engine.docker("rm", "--force", "side")
    made.node.engine.docker("update", "--restart=no", made.node.name)
    assert made.node.id == before
    made.node.kill()
    assert "stopped" in guards(made.refused("enabled"))


class Raw:
    """A container of one's own in the engine, without a node in it, that has all that a container may have."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.name = engine, name
        self.networks = [f"{name}-front", f"{name}-back"]
        image = engine.imported(f"lab/{name}:1")
        number = os.getpid() % 5000 * 2
        self.subnets = [f"10.{200 + each // 250}.{each % 250}" for each in (number, number + 1)]
        for network, subnet in zip(self.networks, self.subnets, strict=True):
            engine.docker("network", "create", f"--subnet={subnet}.0/24", network)
        first = [f"--network={self.networks[0]}", f"--ip={self.subnets[0]}.77", "--network-alias=sesam"]
        kept = ["--restart=on-failure:3", "--volume=/anonymous", f"--publish=127.0.0.1:{free_port()}:9042", "--label=mine=yes", "--env=A=b c", "--user=0:0"]
        more = ["--stop-timeout=1", "--ulimit=nofile=1000:2000", "--cap-drop=NET_RAW", "--health-cmd=true", "--health-interval=1h", "--memory=64m"]
        engine.docker("run", "--detach", f"--name={name}", *first, *kept, *more, image, "sh", "-c", "true lake; echo data >>/anonymous/file; sleep 1000")
        engine.docker("network", "connect", f"--ip={self.subnets[1]}.78", "--alias=behind", self.networks[1], name)

    def seen(self) -> dict[str, Any]:
        found = self.engine.inspect(self.name)
        assert found is not None
        return found

    def close(self) -> None:
        for name in self.engine.docker("ps", "--all", "--format", "{{.Names}}").split():
            if name.startswith(self.name):
                self.engine.docker("rm", "--force", "--volumes", name)
        for network in self.networks:
            self.engine.docker("network", "rm", network)


@pytest.fixture
def raw(engine: Engine) -> Iterator[Raw]:
    made = Raw(engine, f"raw-{os.getpid()}")
    yield made
    made.close()


@pytest.mark.step("S4")
def test_all_that_a_container_may_have_is_taken_over(raw: Raw) -> None:
    docker = Docker(raw.engine.docker_host)
    before = raw.seen()
    raw.engine.docker("tag", raw.engine.imported(f"lab/{raw.name}:2"), f"lab/{raw.name}:1")
    switch_on(docker, look(docker, raw.name), MIB, "/logs", (), 1)
    now = raw.seen()
    assert now["Id"] != before["Id"]
    assert now["Config"]["Cmd"][2].startswith(f"true lake {OPTION}; ")
    assert now["HostConfig"]["Tmpfs"]["/logs/api_profiler"].startswith("rw,nosuid")
    assert raw.engine.docker("exec", raw.name, "cat", "/anonymous/file").split() == ["data", "data"]
    one, other = likeness(before), likeness(now)
    volume = next(mount for mount in before["Mounts"] if mount["Destination"] == "/anonymous")
    assert now["HostConfig"]["Binds"] == [f"{volume['Name']}:/anonymous:rw"]
    for side in (one, other):
        for part in ("Hostname", "Volumes"):
            side["config"].pop(part, None)
        side["host"].pop("Binds")
        for name, (fixed, aliases) in side["networks"].items():
            side["networks"][name] = (fixed, sorted(alias for alias in aliases or () if alias not in (before["Id"][:12], now["Id"][:12])))
    assert other == one
    assert one["networks"][raw.networks[1]] == ({"IPv4Address": f"{raw.subnets[1]}.78"}, ["behind"])
    switch_off(docker, look(docker, raw.name), 1)
    after = raw.seen()
    assert (after["Id"], after["HostConfig"]) == (before["Id"], before["HostConfig"])
    assert after["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert raw.engine.docker("exec", raw.name, "cat", "/anonymous/file").split() == ["data"] * 3
    docker.close()


@pytest.mark.step("S4")
@pytest.mark.thorough
def test_an_image_that_has_moved_on_is_not_what_runs(raw: Raw) -> None:
    docker = Docker(raw.engine.docker_host)
    image, id_ = f"lab/{raw.name}:1", raw.seen()["Image"]
    raw.engine.docker("commit", "--message=newer", raw.name, image)
    switch_on(docker, look(docker, raw.name), MIB, "/logs", (), 1)
    assert raw.seen()["Image"] == id_
    # An updater makes it anew from the newer image, with the command that it has now.
    newer = dict(enabled(raw.seen(), MIB, "/logs"), Image=image)
    raw.engine.docker("rm", "--force", raw.name)
    docker.create(raw.name, newer)
    docker.start_again(raw.name)
    switch_off(docker, look(docker, raw.name), 1)
    now = raw.seen()
    assert (now["Image"] == id_, OPTION in str(now["Config"]["Cmd"]), now["State"]["Running"]) == (False, False, True)
    assert [name for name in raw.engine.docker("ps", "--all", "--format", "{{.Names}}").split() if name.startswith(raw.name)] == [raw.name]
    docker.close()


@pytest.mark.step("S4")
def test_what_cannot_be_started_is_taken_back(raw: Raw) -> None:
    docker = Docker(raw.engine.docker_host)
    before = raw.seen()
    with mock.patch.object(Docker, "start_again", side_effect=[DockerError("no room"), None]), pytest.raises(DockerError, match="no room"):
        switch_on(docker, look(docker, raw.name), MIB, "/logs", (), 1)
    raw.engine.docker("start", raw.name)
    assert raw.seen()["Id"] == before["Id"]
    assert raw.seen()["HostConfig"] == before["HostConfig"]
    docker.close()
