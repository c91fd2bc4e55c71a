# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: one host of each of the five systems, every one broken in two ways, mended by approving the plan that is shown, and one mend taken back.

The hosts are containers with systemd in which the real things run: PostgreSQL, nginx and uWSGI, MongoDB, RabbitMQ, Docker, Consul, gdb. What is
closed or needs hardware (Sesam's node, Motr's server) is a stand-in. All of it is taken down at the end; the report stays.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import project
from stage import Stage, bad, expect, say, work_directory

sys.path.insert(0, str(project.ROOT / "tests"))

from lab.hosts.fleet import QUICK, REMEDIES, SAID, Fleet
from lab.hosts.laboratory import Lab

REPORTS = project.ROOT / ".cache" / "demo"


class Operator(Stage):
    """Somebody who is responsible for all five."""

    def __init__(self, work: Path, lab: Lab) -> None:
        inventory = lab.inventory()
        inventory["all"]["vars"] = {**QUICK, "sesam_fetch_dir": str(work / "sesam-evidence")}
        super().__init__(work, inventory, FIELDOPS_HISTORY_DIR=str(REPORTS / "history"))

    def play(self, name: str, *options: str, **variables: Any) -> dict[str, Any]:
        words = [f"fieldops.runbooks.{name}", *(["-e", json.dumps(variables)] if variables else []), *options]
        kept = str(REPORTS / f"{self.reports + 1}-{name}")
        return self.run(["ansible-playbook", "-i", str(self.inventory), *words], [shlex.join(words)], FIELDOPS_REPORT_DIR=kept)

    def undo(self, command: str) -> dict[str, Any]:
        words = shlex.split(command)
        words[words.index("-i") + 1] = str(self.inventory)
        return self.run(words, [command.partition(" ")[2]])


def show(operator: Operator, fleet: Fleet) -> None:
    say("1. One sweep over all five. It reads, and changes nothing: what is wrong, and what would mend it?")
    swept = operator.play("triage")
    expect(set(REMEDIES) <= set(bad(swept)), f"the sweep found only {bad(swept)}")

    say("2. The plan. Check mode goes the same way and stops before each first change.")
    planned = operator.play("remediate", "--check", **SAID)
    plan = shown_plan(planned["output"])
    expect(planned["returncode"] == 0 and len(plan) > len(REMEDIES), "no plan was shown")
    print(textwrap.indent("\n".join(textwrap.fill(line, 100, subsequent_indent="    ") for line in plan), "  "), flush=True)

    say("3. That plan is approved. Everything is mended in the order in which the systems and their parts need each other, and looked at again.")
    mended = operator.play("remediate", **SAID, remediate_approved_plan=plan[0].split()[1].rstrip(":"))
    expect(mended["returncode"] == 0, "a step failed")
    expect(fleet.broken() == [], f"still broken: {', '.join(fleet.broken())}")

    say("4. Another sweep.")
    expect(not set(bad(operator.play("triage"))) & set(REMEDIES), "the second sweep is not green")

    say("5. One of them is taken back, by the command that the report shows: job-runner was paused by somebody, who may have had a reason.")
    command = next(each["command"] for each in mended["undo"] if each["host"] == "backend" and "jobrunner_flag" in each["undo_id"])
    expect(operator.undo(command)["returncode"] == 0 and fleet.broken() == ["new jobs are started"], "it was not taken back")


def shown_plan(output: str) -> list[str]:
    """Its lines, as the playbook says them; the first has its hash."""
    found = re.search(r'"msg": (\[\s*"Plan .*?\])\n', output, re.DOTALL)
    return list(json.loads(found.group(1))) if found else []


def main() -> None:
    started = time.monotonic()
    shutil.rmtree(REPORTS, ignore_errors=True)
    say("Bringing up five hosts, and breaking each of them in two ways. The first time on a machine their images are built, which takes some minutes ...")
    with work_directory() as work, Lab() as lab:
        fleet = Fleet.up(lab)
        fleet.break_everything()
        show(Operator(work, lab), fleet)
    say(f"Done in {time.monotonic() - started:.0f} s. The hosts are gone.")
    print(f"The reports of all steps are in {REPORTS}; how everything was mended, for a browser:\n{REPORTS / '3-remediate' / 'report.html'}\n")


if __name__ == "__main__":
    main()
