# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the shipped playbooks as jobs, by ansible-runner, which is what AWX runs them by.

AWX has one playbook in a job. Several that are to succeed may be had in one here, which saves the start of Ansible, and are told apart by their events.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ansible_runner.interface import init_runner  # type: ignore[import-untyped]
from play import BIN, NAMED, ROOT


@dataclass
class Job:
    """What one job came to, as AWX takes it from the events."""

    rc: int
    status: str
    folder: Path
    events: list[dict[str, Any]]

    @property
    def results(self) -> list[dict[str, Any]]:
        """Of all tasks on all hosts."""
        kinds = ("runner_on_ok", "runner_on_failed", "runner_item_on_ok", "runner_item_on_failed")
        return [event["event_data"].get("res") or {} for event in self.events if event["event"] in kinds]

    @property
    def said(self) -> str:
        """All that tasks returned."""
        return json.dumps(self.results)

    @property
    def handed_on(self) -> dict[str, Any]:
        """The artifacts of the job: extra variables of the next one of a workflow."""
        (stats,) = [event["event_data"] for event in self.events if event["event"] == "playbook_on_stats"]
        return dict(stats.get("artifact_data") or {})

    @property
    def codes(self) -> set[str]:
        """Of all findings."""
        return {finding["code"] for result in self.results for finding in result.get("findings") or []}

    @property
    def changes(self) -> list[tuple[str, str]]:
        """What was changed or would be: action and subject. A task with a loop has a result of its own for each turn."""
        return [(change["action"], change["subject"]) for result in self.results for change in result.get("changes") or []]

    @property
    def changed(self) -> int:
        """Tasks that say that they have changed something."""
        return sum(event["event"] == "runner_on_ok" and bool((event["event_data"].get("res") or {}).get("changed")) for event in self.events)

    @property
    def failures(self) -> list[str]:
        """Why it failed."""
        return [str((event["event_data"].get("res") or {}).get("msg")) for event in self.events if event["event"] == "runner_on_failed"]

    def parts(self) -> list[Job]:
        """One for each playbook."""
        starts = [number for number, event in enumerate(self.events) if event["event"] == "playbook_on_start"]
        return [Job(self.rc, self.status, self.folder, self.events[start:end]) for start, end in pairwise([*starts, len(self.events)])]

    def holes(self) -> list[str]:
        """What AWX could not show: events that are missing, and those without what it sorts and joins them by."""
        counters = [event["counter"] for event in self.events]
        wrong = [] if counters == list(range(1, len(counters) + 1)) else [f"counters: {counters}"]
        for part in self.parts():
            kinds = [event["event"] for event in part.events]
            wrong += [] if kinds.count("playbook_on_stats") == 1 else [f"{kinds.count('playbook_on_stats')} ends of a playbook"]
        known = {event["uuid"] for event in self.events}
        return wrong + [f"{event['event']} has no parent" for event in self.events if event.get("parent_uuid") and event["parent_uuid"] not in known]


class Controller:
    """Starts jobs, each with a private folder, as AWX does; whatever they write is below one folder."""

    def __init__(self, folder: Path, groups: dict[str, dict[str, Any]], credentials: dict[str, Any], path: str = "") -> None:
        self.folder, self.groups, self.credentials, self.path = folder, groups, credentials, path
        self.number = 0

    def job(self, *playbooks: str, check: bool = False, limit: str = "", **variables: Any) -> Job:
        """Run it to its end. Credentials come as extra variables, as a credential type injects them."""
        self.number += 1
        first, *others = [f"{NAMED}{playbook}" for playbook in playbooks]
        private = self.folder / f"awx_{self.number}"
        for name in ("inventory", "project", "env"):
            (private / name).mkdir(parents=True)
        inventory = {group: {"hosts": members} for group, members in self.groups.items()}
        (private / "inventory" / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")
        (private / "ansible.cfg").touch()
        run = init_runner(
            private_data_dir=str(private),
            playbook=first,
            ident=str(self.number),
            limit=limit or None,
            cmdline="--check" if check else None,
            extravars={**self.credentials, "awx_job_id": self.number, "awx_user_name": "night.shift", **variables},
            envvars=self._environment(private),
            verbosity=3,
            timeout=300,
            quiet=True,
            cancel_callback=lambda: False,  # its own would take this process's signals
        )
        run.config.command += others
        run.run()
        return Job(run.rc, run.status, Path(run.config.artifact_dir), sorted(run.events, key=lambda event: int(event["counter"])))

    def _environment(self, private: Path) -> dict[str, str]:
        """Nothing of the checkout's ansible.cfg: AWX has none of it."""
        return {
            "ANSIBLE_CALLBACKS_ENABLED": f"{NAMED}summary",
            "ANSIBLE_COLLECTIONS_PATH": os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(ROOT / ".cache" / "tree")),
            "ANSIBLE_CONFIG": str(private / "ansible.cfg"),
            "ANSIBLE_HOME": str(private / "home"),
            "ANSIBLE_LOCAL_TEMP": str(private / "tmp"),
            "AWX_PRIVATE_DATA_DIR": str(private),
            "FIELDOPS_REPORT_DIR": str(private / "reports"),
            "PATH": os.pathsep.join(filter(None, [self.path, str(BIN), os.environ["PATH"]])),
            "TMPDIR": str(private),
        }

    def written(self) -> Iterator[tuple[Path, bytes]]:
        """Everything that is left of the jobs, without what they were given."""
        for path in self.folder.rglob("*"):
            given = path.parent.name in ("inventory", "env") and path.parent.parent.parent == self.folder
            if path.is_file() and not given:
                yield path, path.read_bytes()
            if path.name.endswith(".tar.gz"):
                with gzip.open(path) as packed:
                    yield path, packed.read()
