# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept for a person, of real files, processes and containers: bounded, without secrets, and never more than was asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from lab.engine import Engine
from support import run_ok, run_refused

SECRET = "Hush4You-9"
QUIET: dict[str, Any] = {"processes": False}


def look(**options: Any) -> dict[str, Any]:
    result = run_ok("node_evidence_info", {**QUIET, **options})
    assert result["changed"] is False
    assert SECRET not in json.dumps(result)
    return {"files": {each["name"]: each for each in result["files"]}, "missing": result["missing"]}


def test_the_ends_of_logs_without_secrets(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"line {n} password={SECRET}\n" for n in range(1000)), encoding="utf-8")
    (tmp_path / "b.log").write_bytes(b"\xff\xfe no text\n")
    found = look(logs=[f"{tmp_path}/*.log", f"{tmp_path}/none"], lines=5)
    (a,) = [each for name, each in found["files"].items() if name.endswith("-a.log")]
    assert a["text"] == "".join(f"line {n} password=********\n" for n in range(995, 1000))
    assert any(name.endswith("-b.log") for name in found["files"])
    assert found["missing"][f"log{tmp_path}/none".replace("/", "-")].endswith("No such file or directory: '%s/none'" % tmp_path)


def test_no_link_and_nothing_endless_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("root's own\n", encoding="utf-8")
    (tmp_path / "link.log").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe.log")
    (tmp_path / "folder.log").mkdir()
    found = look(logs=[f"{tmp_path}/*.log"])
    assert found["files"] == {}
    assert len(found["missing"]) == 3


def test_no_more_than_was_asked_for(tmp_path: Path) -> None:
    for n in range(3):
        path = tmp_path / f"{n}.log"
        path.write_text("ä" * 2000 + "\n" + ("x" * 9 + "\n") * 100, encoding="utf-8")
        os.utime(path, (n, n))
    found = look(logs=[f"{tmp_path}/*.log"], max_bytes=1025, max_total=1500)
    newest, second = found["files"]
    assert newest.endswith("-2.log") and second.endswith("-1.log"), "the newest go first"
    assert sum(len(each["text"].encode()) for each in found["files"].values()) <= 1500
    assert [each["cut"] for each in found["files"].values()] == [True, True]
    assert list(found["missing"].values()) == ["left out: all that is returned together may have 1500 bytes (max_total)"]


def test_a_key_that_lost_its_beginning_at_the_limit_is_not_shown(tmp_path: Path) -> None:
    """The line that is cut in two is left out: the name of its secret may be in the part that is gone."""
    (tmp_path / "a.log").write_text("x" * 3000 + f"\npassword={SECRET}\n" + "y" * 1000 + "\n", encoding="utf-8")
    for limit in range(1024, 1040):
        look(logs=[f"{tmp_path}/a.log"], max_bytes=limit)


def test_when_the_time_is_up_the_rest_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(0, 10**6, 40))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))
    for n in range(3):
        (tmp_path / f"{n}.log").write_text("x\n", encoding="utf-8")
    found = look(logs=[f"{tmp_path}/*.log"], timeout=60)
    assert len(found["files"]) == 1
    assert found["missing"] == {"logs": "left out, some or all: the time is up (timeout 60 s)"}


def test_command_lines_of_processes() -> None:
    with subprocess.Popen([sys.executable, "-c", f"import time\n# token={SECRET}\ntime.sleep(600)", "--password", SECRET, "--name", "kept"]) as talker:
        try:
            text = look(processes=True)["files"]["processes.txt"]["text"]
        finally:
            talker.kill()
    (line,) = [line for line in text.splitlines() if line.split()[0] == str(talker.pid)]
    # What follows a secret without a space counts as part of it.
    assert line.endswith(r"import time\n# token=******** --password ******** --name kept")


def test_containers_with_secrets_in_their_environment(engine: Engine) -> None:
    name = "evidence-1"
    words = ["sh", "-c", f"echo token={SECRET}; echo a line; sleep 600", "--password", SECRET]
    engine.docker("run", "--detach", "--init", "--network=none", f"--name={name}", f"--env=HARMLESS={SECRET}", "--label=a=b", engine.image, *words)
    try:
        found = look(containers=["evidence-*"], docker_host=engine.docker_host)
        about = json.loads(found["files"][f"container-{name}.json"]["text"])
        assert about["State"]["Status"] == "running"
        assert "HARMLESS=********" in about["Config"]["Env"]
        assert "a line" in found["files"][f"container-{name}.log"]["text"]
        assert name in found["files"]["containers.txt"]["text"]
    finally:
        engine.docker("rm", "--force", name)


def test_an_engine_that_is_away_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("a line\n", encoding="utf-8")
    found = look(containers=["x*"], docker_host=f"unix://{tmp_path}/none.sock", logs=[f"{tmp_path}/a.log"])
    assert [each["text"] for each in found["files"].values()] == ["a line\n"]
    assert list(found["missing"]) == ["containers"]


@pytest.mark.parametrize(
    ("options", "said"),
    [({"lines": 0}, "lines must be 1 to"), ({"timeout": 0.5}, "timeout must be 1 to"), ({"logs": ["var/log/x"]}, "'var/log/x' is no absolute path")],
)
def test_bad_input(options: dict[str, Any], said: str) -> None:
    assert said in run_refused("node_evidence_info", {**QUIET, **options})["msg"]
