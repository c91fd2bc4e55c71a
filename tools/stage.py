# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demonstrations share: Ansible is run as a person would, and its summary is shown."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


class Stage:
    """Runs Ansible with one inventory, and reads its reports. `work` is a folder of its own; `environment` is added to every command's."""

    def __init__(self, work: Path, inventory: Mapping[str, Any], **environment: str) -> None:
        self.work = work
        self.inventory = work / "inventory.json"
        self.inventory.write_text(json.dumps(inventory, indent=2))
        self.environment = environment
        self.reports = 0

    def run(self, command: Sequence[str], shown: Sequence[str], **environment: str) -> dict[str, Any]:
        """The report of one command, with its `returncode` and `output`. What is shown of its words is what a reader would type."""
        self.reports += 1
        report = self.work / f"report{self.reports}.json"
        print(f"$ {command[0]} {' '.join(shown)}\n", flush=True)
        env = dict(os.environ, FIELDOPS_REPORT=str(report), ANSIBLE_CALLBACKS_ENABLED="fieldops.runbooks.summary", ANSIBLE_CALLBACK_RESULT_FORMAT="json")
        env.update(
            ANSIBLE_DISPLAY_SKIPPED_HOSTS="false", ANSIBLE_LOAD_CALLBACK_PLUGINS="true", ANSIBLE_LOCALHOST_WARNING="false", **self.environment, **environment
        )
        quiet = subprocess.run(command, env=env, cwd=self.work, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        print(textwrap.indent(only_summary(quiet.stdout), "  "), flush=True)
        if not report.exists():
            raise RuntimeError(f"{command[0]} wrote no report:\n{quiet.stdout}")
        return dict(json.loads(report.read_text()), returncode=quiet.returncode, output=quiet.stdout)


def only_summary(output: str) -> str:
    """What the callback prints at the end; everything when it printed nothing."""
    start = output.rfind("RUNBOOK SUMMARY")
    return output[start:].rstrip() + "\n" if start >= 0 else output


def bad(report: Mapping[str, Any]) -> list[str]:
    """Codes of what a person would have to see to."""
    return sorted(f["code"] for f in report["findings"] if f["severity"] in ("warning", "critical") and not f.get("cleared"))


def say(text: str) -> None:
    print("\n" + textwrap.fill(text, 110) + "\n", flush=True)


def expect(holds: bool, what: str) -> None:
    if not holds:
        raise SystemExit(f"the demonstration did not go as it should: {what}")


@contextlib.contextmanager
def work_directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="fieldops-demo-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
