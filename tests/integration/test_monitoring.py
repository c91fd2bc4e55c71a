# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alert rules and dashboard on what the report's textfile really holds: Prometheus' own tool checks the rules, and tries them on the textfile of a real run."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.fieldops.runbooks.plugins.plugin_utils import report_metrics
from lab.hosts.common import install

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "report"
MONITORING = ROOT / "extensions" / "monitoring"
RULES = MONITORING / "fieldops.rules.yml"
DASHBOARD = MONITORING / "fieldops.dashboard.json"
METRIC = re.compile(r"\bfieldops_[a-z_]+")


@pytest.fixture(scope="module")
def promtool() -> str:
    install({"promtool": "prometheus"})
    return str(shutil.which("promtool"))


def textfile(name: str) -> str:
    document = json.loads(gzip.decompress((FIXTURES / f"{name}.json.gz").read_bytes()))
    return report_metrics.render(document)


def told(*command: str, given: str = "") -> str:
    done = subprocess.run(command, input=given, text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_textfile_is_one(promtool: str) -> None:
    for name in ("triage", "remediation"):
        told(promtool, "check", "metrics", given=textfile(name))


@pytest.mark.parametrize("path", [RULES, DASHBOARD], ids=["rules", "dashboard"])
def test_only_metrics_that_there_are(path: Path) -> None:
    named = set(METRIC.findall(path.read_text(encoding="utf-8")))
    assert named
    assert named <= set(report_metrics.HELP)


def test_every_panel_asks_something() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    assert dashboard["uid"] == "fieldops-runbooks"
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(asked) >= len(dashboard["panels"]) > 5
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_what_a_run_has_found_is_told_and_nothing_else(promtool: str, tmp_path: Path) -> None:
    """The series of a real triage of five broken hosts, as Prometheus would have them for two hours, and every alert that comes of them."""
    samples = [line.rpartition(" ") for line in textfile("triage").splitlines() if line and not line.startswith("#")]
    broken = sorted({name for name, _space, value in samples if name.startswith("fieldops_finding{") and 'severity="critical"' in name and float(value) > 0})
    assert len(broken) >= 5
    expected = []
    for name in broken:
        labels = dict(re.findall(r'(\w+)="([^"]*)"', name))
        words = {"summary": f"{labels['host']}: {labels['code']}"}
        words["description"] = f"The last run of {labels['playbook']} has found it. Its report says what to do."
        expected.append({"exp_labels": labels, "exp_annotations": words})
    case: dict[str, Any] = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": f"{float(value):.3f}x120"} for name, _space, value in samples],
                "alert_rule_test": [
                    {"eval_time": "4m", "alertname": "FieldopsCritical", "exp_alerts": []},
                    {"eval_time": "10m", "alertname": "FieldopsCritical", "exp_alerts": expected},
                    {"eval_time": "10m", "alertname": "FieldopsFixDoesNotHold", "exp_alerts": []},
                    {"eval_time": "10m", "alertname": "FieldopsPlanRefused", "exp_alerts": []},
                ],
            }
        ],
    }
    file = tmp_path / "case.yml"
    file.write_text(yaml.safe_dump(case), encoding="utf-8")
    told(promtool, "check", "rules", str(RULES))
    told(promtool, "test", "rules", str(file))
