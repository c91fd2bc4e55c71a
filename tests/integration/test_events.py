# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-rulebook with the shipped source and rulebook, on two FITS servers whose queues lie in real databases.

What is found is mended, once, on its host; what a guard refuses is not.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fits_fleet import Fleet, fleet_of
from lab.hosts.common import install
from lab.pg import Postgres
from play import BIN

PATIENCE = 240
"""Seconds for one thing to happen on a machine that is busy."""


class Rulebook:
    """ansible-rulebook, run without anybody at a terminal."""

    def __init__(self, fleet: Fleet, output: Path) -> None:
        self.fleet, self.output = fleet, output
        self.reports = fleet.folder / "reports"

    def environment(self) -> dict[str, str]:
        environment = self.fleet.environment()
        environment.pop("FIELDOPS_REPORT_DIR")
        return {**environment, "FIELDOPS_REPORT": str(self.reports / "{timestamp}.json")}

    @contextmanager
    def running(self, **variables: Any) -> Iterator[Rulebook]:
        inventory, given = self.fleet.folder / "inventory", self.fleet.folder / "variables.json"
        (inventory / "host_vars").mkdir(parents=True)
        (inventory / "hosts.yml").write_text(json.dumps({"fits_servers": {"hosts": dict.fromkeys(self.fleet.hosts)}}), encoding="utf-8")
        for name, host in self.fleet.hosts.items():
            (inventory / f"host_vars/{name}.yml").write_text(json.dumps(host), encoding="utf-8")
        given.write_text(json.dumps({"fieldops_reports": [str(self.reports)], "fieldops_delay": 0.2, "fieldops_inventory": str(inventory), **variables}))
        self.reports.mkdir()
        command = [str(BIN / "ansible-rulebook"), "-i", str(inventory), "-r", "fieldops.runbooks.mend", "-e", str(given), "--print-events"]
        with self.output.open("wb") as file:
            process = subprocess.Popen(
                command, env=self.environment(), cwd=self.fleet.folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
        try:
            self.process = process
            yield self
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(60)
            print(self.text())

    def text(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def told(self, word: str) -> list[str]:
        return re.findall(rf"^{word} .*", self.text(), re.MULTILINE)

    def hosts(self) -> list[list[str]]:
        """The hosts of each remediation, in their order."""
        reports = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(self.reports.glob("2*.json"))]
        return [[host["name"] for host in report["hosts"]] for report in reports]

    def wait(self, what: str, holds: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (found := holds()):
            assert self.process.poll() is None, f"ansible-rulebook ended before {what}:\n{self.text()}"
            assert time.monotonic() < deadline, f"{what} did not happen:\n{self.text()}"
            time.sleep(0.1)
        return found

    def saw(self, word: str, host: str, code: str = "") -> None:
        self.wait(f"{word} {host} {code}", lambda: [line for line in self.told(word) if re.search(rf"\b{host} {re.escape(code)}", line)])


def runs(fleet: Fleet, host: str) -> int:
    return len(list((fleet.folder / host / "journal" / "runs").glob("*.jsonl")))


def put_marker(rulebook: Rulebook, code: str) -> None:
    """A finding that nothing mends. Events are told in their order: when it was told, so were those before it."""
    document = json.loads(max(rulebook.reports.glob("2*.json")).read_text(encoding="utf-8"))
    (group,) = [group for group in document["findings"] if not group["cleared"] and group["severity"] == "warning"][:1]
    marker = {**group, "code": code, "remedies": [], "hosts": [{**group["hosts"][0], "host": "fits-a", "remedy": None, "before_change": False}]}
    document.update(findings=[marker], checks=[], refusals=[])
    document["run"]["ended"] = marker["hosts"][0]["last_seen"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    (rulebook.reports / f"{code}.json").write_text(json.dumps(document), encoding="utf-8")


def test_what_is_found_is_mended_once_within_the_guards_and_seen_to_be_mended(server: Postgres, tmp_path: Path) -> None:
    install({"java": "default-jre-headless"})
    with fleet_of(server, tmp_path, {"fits-a": 1, "fits-b": 3}, 3000) as fleet:
        fleet.hosts["fits-b"]["fits_max_changes"] = 1
        rulebook = Rulebook(fleet, tmp_path / "rulebook.out")
        with rulebook.running(fieldops_look_every=86400, fieldops_mend=["fits.ingest.failed"]):
            # Found by the source's own triage. Each of them is mended on its host alone.
            rulebook.saw("MENDING", "fits-a", "fits.ingest.failed")
            rulebook.saw("MENDING", "fits-b", "fits.ingest.failed")
            rulebook.saw("CLEARED", "fits-a", "fits.ingest.failed")
            rulebook.saw("REFUSED", "fits-b", "fits_queue_reset by max_changes")
            assert fleet.wrong() == {"fits-a": 0, "fits-b": 3}
            assert (runs(fleet, "fits-a"), runs(fleet, "fits-b")) == (1, 0)
            assert rulebook.told("CLEARED fits-b") == []
            assert rulebook.hosts() == [["fits-a"], ["fits-b"]], "a remediation went beyond the host of its event"
            # Nobody has said that anything else may be mended.
            assert any(" fits-a " in line and "may be mended without a person" in line for line in rulebook.told("LEFT"))
            # It comes back before the throttle has ended: it is seen, and left alone.
            fleet.sites["fits-a"].faults.failed("ingest", "a9.fits")
            again = fleet.play("triage", "--limit", "fits-a", "--tags", "fits")
            assert "fits.ingest.failed" in again.standing
            (rulebook.reports / "2again.json").write_text(json.dumps(again.report), encoding="utf-8")
            put_marker(rulebook, "fits.test.marker")
            rulebook.saw("LEFT", "fits-a", "fits.test.marker")
            assert re.search(r"'code': 'fits.ingest.failed',[^}]*'host': 'fits-a'.*?2again\.json", rulebook.text(), re.DOTALL)
            assert len(rulebook.told("MENDING fits-a")) == 1
            assert fleet.wrong() == {"fits-a": 1, "fits-b": 3}
            assert runs(fleet, "fits-a") == 1
