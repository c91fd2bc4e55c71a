# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which container is the node, where its folders are, and which of its processes is to be asked with a signal."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.container import (
    ASIDE,
    Container,
    ContainerError,
    Mount,
    container_of,
    find,
    folder_options,
    looks_like_node,
    words,
)
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.folders import folder, folders, on_node
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.process import node_process

_TEXT = (
    "chown -R -H 777:777 /sesam/logs /sesam/data && exec gosu 777 lake -l /sesam/logs -d /sesam/data --microservices=engine "
    "--sesam-portal-url https://portal.example.org/unified/ -b /sesam/data/backup --backup-use-checkpoints"
)
COMPOSE = ("/entrypoint.sh", "sh", "-c", _TEXT)


def container(**values: Any) -> Container:
    return Container(**{"id": "f" * 64, "name": "sesam-node", "image": "sesam/sesam-node:weekly", "running": True, "status": "running", **values})


def seen(name: str, image: str, command: Sequence[str], **state: Any) -> dict[str, Any]:
    return {
        "Id": name * 4,
        "Name": "/" + name,
        "Config": {"Image": image, "Entrypoint": None, "Cmd": list(command), "Env": ["JWT=hush"]},
        "State": {"Running": True, "Status": "running", "Pid": 12, "StartedAt": "2026-01-31T23:59:59.5Z", **state},
        "HostConfig": {"RestartPolicy": {"Name": "always"}},
        "Mounts": [{"Type": "bind", "Source": "/sesam/node-00", "Destination": "/sesam", "RW": True}],
    }


class FakeEngine:
    """What ``find`` asks an engine; a container that is listed may be gone when it is looked at."""

    docker_host = "unix:///lab.sock"

    def __init__(self, *known: dict[str, Any], gone: Sequence[str] = ()) -> None:
        self.known, self.gone = known, gone

    def containers(self) -> list[dict[str, Any]]:
        return [{"Id": each["Id"], "Image": each["Config"]["Image"], "Command": " ".join(each["Config"]["Cmd"])} for each in self.known]

    def inspect(self, name: str) -> dict[str, Any] | None:
        return next((each for each in self.known if name in (each["Id"], each["Name"][1:]) and each["Name"][1:] not in self.gone), None)


NODE = seen("sesam-node", "sesam/sesam-node:weekly", COMPOSE)
UPDATER = seen("watchtower", "containrrr/watchtower", ["sesam-node", "fluentbit", "traefik"])
SHIPPER = seen("fluentbit", "sesam/fluent-bit:1", ["/fluent-bit/bin/fluent-bit", "-c", "/fluent-bit/etc/fluent-bit.conf"])
OWN_IMAGE = seen("portal_node_1", "registry.example.org:5000/ours/node", ["python3", "/usr/bin/lake", "-l=/logs", "-d=/data"])


@pytest.mark.step("S6")
def test_what_only_names_a_node_is_none() -> None:
    found = find(FakeEngine(UPDATER, SHIPPER, NODE))  # type: ignore[arg-type]
    assert (found.name, found.pid, found.started_at, found.restart_policy) == ("sesam-node", 12, 1769903999.5, "always")
    assert found.mounts == (Mount("/sesam/node-00", "/sesam"),)
    assert "hush" not in repr(found)
    assert find(FakeEngine(UPDATER, OWN_IMAGE)).name == "portal_node_1"  # type: ignore[arg-type]


def test_several_none_and_a_name_that_is_not_there() -> None:
    with pytest.raises(
        ContainerError, match=r"^2 containers look like a Sesam node: portal_node_1 \(.*\), sesam-node \(.*running\)\. Name one .* option container"
    ) as several:
        find(FakeEngine(NODE, OWN_IMAGE, UPDATER))  # type: ignore[arg-type]
    assert several.value.kind == "conflict"
    with pytest.raises(ContainerError, match=r"^no container of the engine at unix:///lab\.sock looks like a Sesam node.* option container") as none:
        find(FakeEngine(UPDATER, SHIPPER))  # type: ignore[arg-type]
    assert none.value.kind == "not_found"
    with pytest.raises(ContainerError, match=r"^container: there is no container node\. These look like a Sesam node: sesam-node\.$"):
        find(FakeEngine(NODE, UPDATER), "node")  # type: ignore[arg-type]
    assert find(FakeEngine(NODE, OWN_IMAGE), "sesam-node").name == "sesam-node"  # type: ignore[arg-type]


def test_one_that_goes_away_meanwhile_and_one_put_aside() -> None:
    aside = seen("sesam-node" + ASIDE, "sesam/sesam-node", COMPOSE, Running=False)
    assert find(FakeEngine(OWN_IMAGE, NODE, aside, gone=["portal_node_1"])).name == "sesam-node"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "argv", "wanted"),
    [
        ("sesam/sesam-node@sha256:" + "0" * 64, (), True),
        ("sesam/sesam-node-beta:1", (), True),
        ("sesam/sesam-agent", (), False),
        ("ours", COMPOSE, True),
        ("ours", ("lake", "-d", "/data"), True),
        ("ours", ("fish", "--in", "lake"), False),
        ("ours", ("sh", "-c", "echo lake; ls -l /x -d /y"), False),
        ("ours", ("snowflake", "-d", "/data"), False),
    ],
)
def test_what_a_node_looks_like(image: str, argv: Sequence[str], wanted: bool) -> None:
    assert looks_like_node(container(image=image, argv=tuple(argv), name="any")) is wanted


def test_a_container_that_ended() -> None:
    ended = container_of(
        {"Id": "1", "Name": "/n", "Config": {"Cmd": None, "Entrypoint": "lake"}, "State": {"Running": False, "ExitCode": 137, "OOMKilled": True}}
    )
    assert (ended.running, ended.status, ended.exit_code, ended.oom_killed, ended.pid, ended.started_at) == (False, "exited", 137, True, 0, None)
    assert ended.argv == ("lake",)


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (COMPOSE, {"logs": "/sesam/logs", "data": "/sesam/data"}),
        (("lake", "-l=/a b", "-d/c"), {"logs": "/a b", "data": "/c"}),
        (("/usr/bin/lake", "--logs", "/a", "--data-folder=/b", "--log-level=info"), {"logs": "/a", "data": "/b"}),
        (("lake", "-l", "/a", "-l", "/b", "-d", "-x"), {"logs": "/b"}),
        (("sh", "-c", "ls -l /no && lake -d '/with space' || ls -d /no"), {"data": "/with space"}),
        (("sh", "-c", "it's lake -d /x"), {"data": "/x"}),
        (("ls", "-l", "/a", "-d", "/b"), {}),
    ],
)
def test_what_the_program_is_told(argv: Sequence[str], wanted: dict[str, str]) -> None:
    assert folder_options(argv) == wanted
    assert words(["plain", "-l"]) == ["plain", "-l"]


# -- folders -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """As the vendor's compose file has it: the data folder is a mount within the mount."""
    for name in ("node-00/logs", "node-00/data", "srv/data", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path.resolve()


def mounts(host: Path) -> tuple[Mount, ...]:
    return Mount(str(host / "node-00"), "/sesam"), Mount(str(host / "srv/data"), "/sesam/data")


def test_folders_are_found_from_mounts_and_arguments(host: Path) -> None:
    node = container(argv=COMPOSE, mounts=mounts(host))
    found = folders(node, {"data_folder": None, "log_folder": None})
    assert (found.data, found.logs) == (str(host / "srv/data"), str(host / "node-00/logs"))
    assert folders(node, {"log_folder": str(host / "elsewhere")}).logs == str(host / "elsewhere")
    hidden = replace(node, argv=("/entrypoint.sh",))
    assert folder(hidden, "logs", {}, ["lake", "-l", "/sesam/logs"]) == str(host / "node-00/logs")
    relative = replace(node, argv=("lake", "-l", "logs"), working_dir="/sesam")
    assert folder(relative, "logs", {}) == str(host / "node-00/logs")


def test_links_are_followed_as_the_container_sees_them_and_stay_on_its_mounts(host: Path) -> None:
    logs = host / "node-00/logs"
    logs.rmdir()
    logs.symlink_to("/sesam/data/logs")  # a path of the container, not of this machine
    (host / "srv/data/logs").mkdir()
    assert on_node("/sesam/logs", mounts(host)) == str(host / "srv/data/logs")
    logs.unlink()
    logs.symlink_to("../sesam/data/logs/")
    assert on_node("/sesam/logs", mounts(host)) == str(host / "srv/data/logs")
    logs.unlink()
    logs.symlink_to(host / "srv/data/logs")  # a path of this machine, on a mount
    assert on_node("/sesam/logs", mounts(host)) == str(host / "srv/data/logs")
    for out in (host / "elsewhere", "/etc", "../../../etc", "logs"):
        logs.unlink()
        logs.symlink_to(out)
        assert on_node("/sesam/logs", mounts(host)) is None, out
    (host / "link").symlink_to(host / "srv")
    assert on_node("/d/data", [Mount(str(host / "link"), "/d")]) == str(host / "srv/data")


def test_folders_that_cannot_be_told(host: Path) -> None:
    node = container(argv=COMPOSE, mounts=mounts(host))
    with pytest.raises(ContainerError, match=r"logs folder /sesam/logs of container sesam-node is on none of its mounts.* option log_folder$"):
        folders(replace(node, mounts=mounts(host)[1:]), {})
    with pytest.raises(ContainerError, match=r"does not tell the logs folder \(lake -l\).* option log_folder$"):
        folders(replace(node, argv=("lake", "-d", "/sesam/data")), {})
    with pytest.raises(ContainerError, match=r"^data_folder: /no/such does not exist$"):
        folders(node, {"data_folder": "/no/such"})
    with pytest.raises(ContainerError, match=r"is no directory$"):
        (host / "node-00/logs").rmdir()
        (host / "node-00/logs").touch()
        folders(node, {})
    with pytest.raises(ContainerError, match=r"option data_folder$"):
        folder(None, "data", {})


# -- the process -------------------------------------------------------------------------------------------------------


class Proc:
    """A /proc made of files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, pid: int, parent: int, *argv: str, caught: int = 0x200, group: str = "/docker/" + "f" * 64) -> None:
        place = self.root / str(pid)
        place.mkdir()
        (place / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in argv))
        (place / "stat").write_text(f"{pid} (a b) S {parent} " + "0 " * 17 + "77 0", encoding="ascii")
        (place / "cgroup").write_text(f"4:memory:{group}\n", encoding="ascii")
        masks = f"SigPnd:\t{0:016x}\nShdPnd:\t{0:016x}\nSigBlk:\t{0:016x}\nSigIgn:\t{0:016x}\nSigCgt:\t{caught:016x}\n"
        (place / "status").write_text(f"Name:\tlake\nState:\tS (sleeping)\nThreads:\t3\nNSpid:\t{pid}\t1\n{masks}", encoding="ascii")


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


@pytest.mark.step("S6")
def test_the_first_process_itself(proc: Proc) -> None:
    proc.add(50, 1, "lake", "-l", "/l", "-d", "/d", caught=0x4200)
    proc.add(51, 50, "lake", "-l", "/l", "-d", "/d")  # a copy that it made of itself
    found = node_process(container(pid=50), str(proc.root))
    assert (found.pid, found.process.start, found.first, found.handles_sigusr1, found.state, found.threads) == (50, 77, True, True, "S", 3)
    assert not found.holds_back(10)
    assert found.catches(15)


@pytest.mark.step("S6")
def test_a_shell_that_never_gave_way(proc: Proc) -> None:
    proc.add(50, 1, "sh", "-c", "chown x && lake", caught=0)
    proc.add(60, 50, "gosu", "777", "lake")
    proc.add(61, 60, "/usr/bin/python3", "-u", "/usr/bin/lake", "-l", "/l", caught=0x200)
    proc.add(62, 61, "/usr/bin/python3", "/usr/bin/lake", "-l", "/l")
    proc.add(70, 1, "lake", "-l", "/other")  # of another container
    found = node_process(container(pid=50), str(proc.root))
    assert (found.pid, found.first, found.handles_sigusr1) == (61, False, True)


def test_one_bit_decides(proc: Proc) -> None:
    proc.add(50, 1, "lake", caught=0xFFFFFFFFFFFFFDFF)
    assert not node_process(container(pid=50), str(proc.root)).handles_sigusr1


@pytest.mark.parametrize(("argv", "wanted"), [(("python3.11", "-m", "lake", "-d", "x"), True), (("python3", "-m", "flake8"), False), (("vi", "lake"), False)])
def test_how_it_may_be_started(proc: Proc, argv: Sequence[str], wanted: bool) -> None:
    proc.add(50, 1, *argv)
    if wanted:
        assert node_process(container(pid=50), str(proc.root)).first
    else:
        with pytest.raises(ContainerError, match=r"none of the 1 processes of container sesam-node is lake; its first one is"):
            node_process(container(pid=50), str(proc.root))


def test_no_process_that_could_be_meant(proc: Proc) -> None:
    proc.add(50, 1, "sh", "-c", "chown -R x --password=hush && lake")
    with pytest.raises(ContainerError, match=r"its first one is sh \(pid 50 of \S+\): it may still be about to start$") as starting:
        node_process(container(pid=50), str(proc.root))
    assert "hush" not in str(starting.value)
    with pytest.raises(ContainerError, match=r"does not run \(exited\)"):
        node_process(container(pid=0, running=False, status="exited"), str(proc.root))
    with pytest.raises(ContainerError, match=r"no process of this machine"):
        node_process(container(pid=99), str(proc.root))
    proc.add(80, 50, "lake")
    proc.add(81, 50, "lake")
    with pytest.raises(ContainerError, match=r"several processes .*pid 80.*pid 81"):
        node_process(container(pid=50), str(proc.root))


def test_a_pid_of_another_machine_is_not_signalled(proc: Proc) -> None:
    """The engine may be asked through the network, and its pids mean something else here."""
    proc.add(50, 1, "lake", "-l", "/l", group="/user.slice")
    with pytest.raises(ContainerError, match=r"is another process on this machine"):
        node_process(container(pid=50, started_at=1.0), str(proc.root))


def test_this_process_is_not_the_node() -> None:
    with pytest.raises(ContainerError, match=r"is another process on this machine"):
        node_process(container(pid=os.getpid()))
