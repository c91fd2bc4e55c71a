# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine, its runs and its images: what is started, shared, cleaned up after a kill, and left behind (nothing).

Here a second checkout is made, with an engine of its own that may be killed while the tests' own goes on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import procfs
from lab.hosts import Host, Lab, LabError, image, runs
from lab.hosts.common import CHECKOUT, PLACE
from lab.hosts.engine import Engine

pytestmark = pytest.mark.thorough  # of the laboratory alone; what is shipped, and runs on it, is tested all the time
HOLD = """
import sys
from lab.hosts import Lab
from lab.keeper import keeper
lab = Lab()
host = lab.up("held", kind="bare")
print(lab.run.token, host.container, keeper()._helper.pid, flush=True)
sys.stdin.read()
lab.close()
"""
PROBE = """
from pathlib import Path
from lab.hosts.host import Host
from lab.hosts.sites import Site, register

TEXT = Path(__file__).with_name("text")

def setup(host: Host) -> None:
    host.put(TEXT.read_bytes(), "/srv/text")
    host.run(["sh", "-c", "cat /proc/sys/kernel/random/uuid >/srv/setup"])

def ready(host: Host) -> None:
    host.put(b"", "/run/ready")

register("probe", Site(kind="bare", setup=setup, files=(TEXT,), ready=ready, groups=("probes",), variables={"x": 1}, ports=(8080,)))
"""


@dataclasses.dataclass
class Checkout:
    """A copy of the laboratory in a folder of its own."""

    path: Path
    env: dict[str, str]

    @property
    def mark(self) -> str:
        return "fieldops-lab-" + hashlib.sha256(os.fsencode(self.path)).hexdigest()[:8]

    @property
    def engine(self) -> Engine:
        return Engine(f"unix:///run/{self.mark}.sock", own=True)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([sys.executable, *arguments], cwd=self.path / "tests", env=self.env, text=True, **pipes)

    def lab(self, *arguments: str, ok: bool = True) -> str:
        """The command by hand; what it printed, errors too."""
        with self.start("-m", "lab.hosts", *arguments) as process:
            out, err = process.communicate(timeout=200)
        assert (process.returncode == 0) is ok, out + err
        return out + err

    def hold(self) -> tuple[subprocess.Popen[str], list[str]]:
        """A run that is held until its input ends: the process, and its token, container and keeper."""
        process = self.start("-c", HOLD)
        assert process.stdout is not None
        words = process.stdout.readline().split()
        assert words, process.communicate()[1]
        return process, words

    def traces(self) -> list[str]:
        """All that is left of the engine: processes, files in /run, mounts."""
        left = [str(path) for path in Path("/run").glob(f"{self.mark}*")]
        left += [line for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines() if self.mark in line or str(self.path) in line]
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if any(self.mark.encode() in word for word in words):
                left.append(b" ".join(words).decode(errors="replace"))
        return left


def copy_laboratory(path: Path, **env: str) -> Checkout:
    shutil.copytree(CHECKOUT / "tests/lab", path / "tests/lab", ignore=shutil.ignore_patterns("__pycache__", "*_sites.py"))
    (path / "tests/lab/hosts/probe_sites.py").write_text(PROBE, encoding="utf-8")
    (path / "tests/lab/hosts/text").write_text("first", encoding="utf-8")
    return Checkout(path, {**os.environ, "PYTHONPATH": str(path / "tests"), **env})


def end(process: subprocess.Popen[str], signum: int = 0) -> None:
    """End a held run, by its input or by a signal."""
    if signum:
        process.send_signal(signum)
    out, err = process.communicate(timeout=60)
    assert signum or process.returncode == 0, out + err


@pytest.fixture(scope="module")
def second(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout with an engine of its own, which has the image `bare` already."""
    made = copy_laboratory(tmp_path_factory.mktemp("second"), LAB_ENGINE="own")
    tag = image.of_kind(lab.run.engine, "bare")
    process = made.start("-c", "import sys; from lab.hosts import runs; run = runs.begin(); print(1, flush=True); sys.stdin.read(); run.close()")
    assert process.stdout is not None and process.stdout.readline() == "1\n", process.communicate()[1]
    with subprocess.Popen(lab.run.engine.command("save", tag), stdout=subprocess.PIPE) as saved:
        subprocess.run(made.engine.command("load", "--quiet"), stdin=saved.stdout, stdout=subprocess.DEVNULL, check=True)
    end(process)
    yield made
    made.lab("purge")
    assert made.traces() == []
    assert not (made.path / ".cache/lab/docker").exists()


# -- killed runs --------------------------------------------------------------------------------------------------------


def test_the_keeper_cleans_up_after_a_killed_run(second: Checkout) -> None:
    process, (token, _container, keeper) = second.hold()
    started = procfs.start_time(int(keeper))
    assert second.traces()
    end(process, signal.SIGKILL)
    assert procfs.wait_gone(int(keeper), started, 60)
    assert second.traces() == []
    assert not (second.path / ".cache/lab/runs" / token).exists()


def test_the_next_run_cleans_up_where_the_keeper_was_killed_too(second: Checkout) -> None:
    process, (token, container, keeper) = second.hold()
    os.kill(int(keeper), signal.SIGKILL)
    end(process, signal.SIGKILL)
    assert second.engine.inspect(container) is not None
    other, (_token, mine, _keeper) = second.hold()
    assert second.engine.inspect(container) is None and second.engine.inspect(f"lab-{token}", "network") is None
    assert second.engine.inspect(mine) is not None
    end(other)
    assert second.traces() == []


def test_a_killed_engine_is_started_again_and_finds_what_it_left(second: Checkout) -> None:
    process, (_token, container, keeper) = second.hold()
    os.kill(int(keeper), signal.SIGKILL)
    end(process, signal.SIGKILL)
    os.kill(int(Path(f"/run/{second.mark}.pid").read_text(encoding="utf-8")), signal.SIGKILL)
    assert second.traces()
    other, _words = second.hold()
    assert second.engine.inspect(container) is None
    end(other)
    assert second.traces() == []


def test_sweeping_after_a_killed_engine_and_run(second: Checkout) -> None:
    process, (_token, _container, keeper) = second.hold()
    os.kill(int(keeper), signal.SIGKILL)
    end(process, signal.SIGKILL)
    os.kill(int(Path(f"/run/{second.mark}.pid").read_text(encoding="utf-8")), signal.SIGKILL)
    assert "which was killed" in second.lab("sweep")
    assert second.traces() == []


def test_a_restart_of_the_machine_leaves_only_folders(second: Checkout) -> None:
    folder = second.path / ".cache/lab/runs/deadbeef"
    folder.mkdir(parents=True)
    (folder / "engine.json").write_text(json.dumps(dataclasses.asdict(second.engine)), encoding="utf-8")
    assert "deadbeef" in second.lab("sweep")
    assert not folder.exists()


def test_the_engine_stops_with_the_last_of_two_runs(second: Checkout) -> None:
    (first, (_token, container, _keeper)), (last, _words) = second.hold(), second.hold()
    end(last)
    assert second.engine.inspect(container) is not None
    end(first)
    assert second.traces() == []


# -- by hand, and what setups make --------------------------------------------------------------------------------------


def test_up_stays_and_down_leaves_nothing(second: Checkout) -> None:
    assert "no laboratory is up" in second.lab("shell", "probe", ok=False)
    assert "there are bare, probe" in second.lab("up", "nowhere", ok=False)
    link_collections(second)
    assert "setting up probe" in second.lab("up", "probe")
    inventory = json.loads((second.path / ".cache/lab/inventory.json").read_text(encoding="utf-8"))["all"]
    assert inventory["children"] == {"probes": {"hosts": {"probe": {}}}} and inventory["hosts"]["probe"]["x"] == 1
    container = inventory["hosts"]["probe"]["ansible_host"]
    assert container in second.lab("status")

    def cat(path: str) -> str:
        return second.engine.docker("exec", container, "cat", path)

    made, text = cat("/srv/setup"), cat("/srv/text")
    assert text == "first" and cat("/run/ready") == ""
    assert second.engine.docker("port", container, "8080/tcp").startswith("127.0.0.1:")
    second.engine.docker("kill", container)
    assert "setting up" not in second.lab("up", "probe")
    assert cat("/srv/setup") == made
    assert "probe" in second.lab("up", "probe")  # it runs already
    assert "probe" in second.lab("up", "probe", "--as", "other")
    second.lab("down")
    assert len(second.engine.docker("ps", "--quiet").split()) == 1
    assert "no laboratory named another" in second.lab("shell", "probe", "--as", "another", ok=False)
    second.lab("down", "--as", "other")
    assert second.traces() == [] and list((second.path / ".cache/lab").glob("*inventory*")) == []
    assert "no laboratory is up" in second.lab("shell", "probe", ok=False)

    (second.path / "tests/lab/hosts/text").write_text("second", encoding="utf-8")
    assert "setting up probe" in second.lab("up", "probe")
    container = json.loads((second.path / ".cache/lab/inventory.json").read_text(encoding="utf-8"))["all"]["hosts"]["probe"]["ansible_host"]
    assert cat("/srv/text") == "second"
    assert len(second.engine.docker("images", "--quiet", "fieldops-lab/site-probe").split()) == 1  # the former one is gone
    second.lab("down")
    second.lab("down")  # again is no error


def link_collections(checkout: Checkout) -> None:
    """Spare the package index: the collections are those of this checkout."""
    from lab.hosts.connection import TREE, provide_docker_connection

    provide_docker_connection()
    target = checkout.path / ".cache/tree/ansible_collections"
    target.mkdir(parents=True)
    (target / "community").symlink_to(TREE / "community")


# -- an engine that answers already ---------------------------------------------------------------------------------------


def test_an_engine_that_answers_is_used_and_stays(lab: Lab, host: Callable[..., Host], tmp_path: Path) -> None:
    mine = host("bare")
    guest = copy_laboratory(tmp_path / "guest", DOCKER_HOST=lab.run.engine.url, LAB_ENGINE="")
    process, (token, container, _keeper) = guest.hold()
    assert lab.run.engine.inspect(container) is not None and guest.traces() == []
    end(process)
    assert lab.run.engine.inspect(container) is None and lab.run.engine.inspect(f"lab-{token}", "network") is None
    assert mine.running

    process, (token, container, keeper) = guest.hold()
    os.kill(int(keeper), signal.SIGKILL)
    end(process, signal.SIGKILL)
    assert lab.run.engine.inspect(container) is not None
    assert token in guest.lab("sweep")
    assert lab.run.engine.inspect(container) is None
    assert mine.running


def test_hosts_run_without_a_network_where_no_bridge_can_be_made(lab: Lab, host: Callable[..., Host], tmp_path: Path) -> None:
    host("bare")
    client = tmp_path / "bin/docker"
    client.parent.mkdir()
    client.write_text(f'#!/bin/sh\ncase "$*" in *"network create"*) echo no bridge >&2; exit 1;; esac\nexec {shutil.which("docker")} "$@"\n', encoding="utf-8")
    client.chmod(0o755)
    guest = copy_laboratory(tmp_path / "guest", DOCKER_HOST=lab.run.engine.url, LAB_ENGINE="", PATH=f"{client.parent}:{os.environ['PATH']}")
    process, (_token, container, _keeper) = guest.hold()
    found = lab.run.engine.inspect(container)
    assert found is not None and list(found["NetworkSettings"]["Networks"]) == ["none"]
    assert lab.run.engine.docker("exec", container, "systemctl", "is-system-running") == "running"
    assert process.stdin is not None and process.stderr is not None
    process.stdin.close()
    assert "the hosts have no network, so neither names nor ssh" in process.stderr.read()
    assert process.wait(60) == 0


def test_an_engine_that_cannot_be_started_says_what_it_needs(tmp_path: Path) -> None:
    broken = copy_laboratory(tmp_path / "broken", LAB_ENGINE="own")
    (broken.path / ".cache/lab").mkdir(parents=True)
    (broken.path / ".cache/lab/docker").write_text("in the way", encoding="utf-8")
    said = broken.lab("up", "bare", ok=False)
    assert "none could be started. It needs root (or sudo)" in said and "points to a file" in said
    assert [trace for trace in broken.traces() if "dockerd" in trace] == []


# -- names and messages ---------------------------------------------------------------------------------------------------


def test_what_is_asked_for_in_vain(lab: Lab) -> None:
    with pytest.raises(LabError, match="no image kind 'marble', but backend, bare, controller, fits"):
        lab.up("mine", kind="marble")
    with pytest.raises(LabError, match="no site is named 'nowhere'"):
        lab.up("nowhere")


def test_our_own_run_is_alive(lab: Lab) -> None:
    assert lab.run.token in runs.live()
    assert (PLACE / "runs" / lab.run.token / "lock").exists()
