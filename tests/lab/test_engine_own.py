# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine that a test session has for itself, and the proxy that takes it away."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import requests

from lab import engine as module
from lab import procfs
from lab.engine import CuttingProxy, Engine

pytestmark = pytest.mark.thorough  # of the laboratory alone; what is tested against it is tested all the time

HERE = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as running:
        yield running


@pytest.fixture(autouse=True)
def emptied(engine: Engine) -> Iterator[None]:
    yield
    engine.start()
    engine.clear()


def run(engine: Engine, name: str, *command: str, restart: str = "no") -> str:
    return engine.docker("run", "--detach", "--init", "--network=none", f"--restart={restart}", f"--name={name}", engine.image, *command)


def state(engine: Engine, name: str) -> str:
    found = engine.inspect(name)
    return str(found["State"]["Status"]) if found else "gone"


def test_containers_volumes_and_names_of_images(engine: Engine) -> None:
    name = engine.imported("registry.example.org/opensafely-core/python:v2")
    engine.docker("run", "--network=none", "--volume=os-volume-x:/workspace", name, "sh", "-c", "echo kept >/workspace/a")
    assert engine.docker("run", "--rm", "--network=none", "--volume=os-volume-x:/workspace", engine.image, "cat", "/workspace/a") == "kept"
    assert engine.inspect("os-volume-x", "volume") is not None
    assert engine.inspect("registry.example.org/opensafely-core/r:latest", "image") is None


def test_killed_engine_leaves_containers_alone(engine: Engine) -> None:
    run(engine, "job", "sleep", "1000")
    pid = engine.inspect("job")["State"]["Pid"]  # type: ignore[index]
    engine.kill()
    assert not engine.answers()
    assert Path(f"/proc/{pid}").exists()
    engine.start()
    assert state(engine, "job") == "exited", "an engine without live-restore ends what it finds running"


def test_reboot_ends_every_container_and_starts_what_is_to_restart(engine: Engine) -> None:
    run(engine, "job", "sleep", "1000")
    run(engine, "manager", "sleep", "1000", restart="unless-stopped")
    pid = engine.inspect("job")["State"]["Pid"]  # type: ignore[index]
    engine.reboot()
    assert procfs.start_time(pid) is None
    assert state(engine, "job") == "exited"
    deadline = time.monotonic() + 20
    while state(engine, "manager") != "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert state(engine, "manager") == "running"


def changing(client: docker.APIClient, names: list[str]) -> int:
    """Remove containers, one by one, until the engine is away; how many times it answered."""
    for number, name in enumerate(names):
        try:
            client.remove_container(name, force=True)
        except requests.exceptions.RequestException:
            return number
    return len(names)


@pytest.mark.parametrize(("after", "answered"), [(0, False), (1, False), (2, False), (1, True), (2, True)])  # no change number 0 is answered
def test_the_proxy_cuts_at_each_boundary(engine: Engine, after: int, answered: bool) -> None:
    names = ["one", "two", "three"]
    for name in names:
        run(engine, name, "sleep", "1000")
    with CuttingProxy(engine, after=after, answered=answered) as proxy:
        client = docker.APIClient(base_url=proxy.docker_host, version="auto", timeout=20)
        assert len(client.containers()) == 3
        assert changing(client, names) == after
        assert proxy.cut
        assert len(proxy.made) == after
        assert not engine.answers()
        with pytest.raises(docker.errors.DockerException):
            docker.APIClient(base_url=proxy.docker_host, version="auto", timeout=20)
        proxy.restore()
        client = docker.APIClient(base_url=proxy.docker_host, version="auto", timeout=20)
        left = {container["Names"][0].strip("/") for container in client.containers(all=True)}
        assert left == set(names[after:])


def test_the_proxy_passes_streams_and_sessions(engine: Engine) -> None:
    """Logs, an upload in chunks, and a command whose connection is taken over."""
    with CuttingProxy(engine) as proxy:
        command = ["docker", "--host", proxy.docker_host]
        run(engine, "job", "sh", "-c", "echo said; sleep 1000")
        said = subprocess.run([*command, "exec", "--interactive", "job", "cat"], input="through\n", capture_output=True, text=True, timeout=30, check=True)
        assert said.stdout == "through\n"
        assert "said" in subprocess.run([*command, "logs", "job"], capture_output=True, text=True, timeout=30, check=True).stdout
        subprocess.run([*command, "cp", __file__, "job:/tmp/here"], capture_output=True, timeout=30, check=True)
        assert engine.docker("exec", "job", "head", "-n1", "/tmp/here").startswith("# GNU")
        assert [change.split("?")[0].split("/")[-1] for change in proxy.made] == ["archive"]


def test_nothing_is_left_of_a_killed_run(tmp_path: Path) -> None:
    """The process that holds the engine is killed: processes, mounts, control groups and files go."""
    code = "import sys, time; from lab.engine import Engine; e = Engine(); e.start(); e.docker('run', '-d', '--network=none', e.image, 'sleep', '1000')"
    code += "; print(e.folder, flush=True); time.sleep(1000)"
    with subprocess.Popen([sys.executable, "-c", code], cwd=HERE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        folder = Path(holder.stdout.readline().strip())
        assert len(module.processes(folder)) >= 4
        holder.kill()
    deadline = time.monotonic() + 60
    while (folder.exists() or module.processes(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert module.processes(folder) == {}
    assert not folder.exists()
    assert str(folder) not in Path("/proc/mounts").read_text(encoding="utf-8")
    assert not [path for path in os.listdir("/sys/fs/cgroup") if folder.name in path]
    assert not list(Path("/sys/fs/cgroup").glob(f"*/*{folder.name}*"))
