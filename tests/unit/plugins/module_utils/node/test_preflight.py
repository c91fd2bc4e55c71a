# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import sys
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.node import preflight
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.preflight import Preflight, distribution, version_key
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.check import inspect
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import RunbookError


def thing(name: str, **more: Any) -> dict[str, Any]:
    return dict({"name": name, "reason": None, "packages": {}, "min_version": None}, **more)


def look(**params: Any) -> Any:
    return inspect(Preflight(dict({"python_min": "3.8", "libraries": [], "programs": []}, **params)))


@pytest.fixture
def debian(tmp_path, monkeypatch):
    path = tmp_path / "os-release"
    path.write_text('NAME="Elive"\nID=elive\nID_LIKE="ubuntu debian"\nVERSION_ID="12"\n')
    monkeypatch.setattr(preflight, "distribution", lambda: distribution([str(path)]))


@pytest.fixture
def library(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, text: str) -> None:
        (tmp_path / (name + ".py")).write_text(text)
        sys.modules.pop(name, None)

    return make


def test_all_is_there():
    result = look(libraries=[thing("json")], programs=[thing("sh")])
    assert [finding.severity for finding in result.findings] == ["ok"]
    assert result.facts["missing"] == []
    assert result.facts["packages"] == []
    assert [each["name"] for each in result.facts["found"]] == ["python", "json", "sh"]
    assert os.access(result.facts["found"][2]["where"], os.X_OK)


def test_what_is_missing_is_named_with_its_package(debian):
    packages = {"debian": "python3-nowhere", "redhat": "nowhere-py"}
    result = look(libraries=[thing("fieldops_nowhere", packages=packages, reason="to see")], programs=[thing("fieldops-nowhere", packages=packages)])
    assert [finding.code for finding in result.findings] == ["node.preflight.library_missing", "node.preflight.program_missing"]
    assert "to see" in result.findings[0].summary
    assert result.findings[0].remedy.vars == {"preflight_install": True}
    assert result.facts["packages"] == ["python3-nowhere"]  # each once
    assert result.facts["missing"][0]["package"] == "python3-nowhere"


def test_no_package_is_known(debian):
    result = look(programs=[thing("fieldops-nowhere", packages={"redhat": "x"})])
    assert result.findings[0].remedy.playbook is None
    assert result.facts["packages"] == []


@pytest.mark.parametrize(
    "text, version, problem",
    [
        ("__version__ = '2.9.9 (dt dec pq3 ext)'", "2.9", ""),
        ("__version__ = '2.10'", "2.9", ""),  # not by letters
        ("__version__ = '2.6.2'", "2.7", "2.6.2; 2.7 or later"),
        ("", "1", "cannot be told"),
        ("raise OSError('libpq.so.5: cannot open\\nshared object')", None, "libpq.so.5: cannot open shared object"),
        ("import fieldops_not_there_either", None, "No module named"),
    ],
)
def test_a_library_is_imported(library, text, version, problem):
    library("fieldops_library", text)
    result = look(libraries=[thing("fieldops_library", min_version=version)])
    found = [each["problem"] for each in result.facts["missing"]]
    assert (found == []) if not problem else (problem in found[0])


def test_python_itself():
    result = look(python_min="99.1")
    assert result.findings[0].code == "node.preflight.python_missing"
    assert "99.1 or later" in result.findings[0].summary


@pytest.mark.parametrize(
    "params, words",
    [
        ({"python_min": "new"}, "'new' is no version"),
        ({"libraries": [thing("json", min_version="x")]}, "'x' is no version"),
        ({"libraries": [thing("os; import sys")]}, "not a name that Python can import"),
        ({"programs": [thing("/bin/sh")]}, "without a directory"),
        ({"programs": [thing("")]}, "without a directory"),
    ],
)
def test_bad_input(params, words):
    with pytest.raises(RunbookError, match=words):
        look(**params)


def test_distributions(tmp_path):
    path = tmp_path / "os-release"
    path.write_text('ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.3"\n')
    assert distribution([str(tmp_path / "none"), str(path)]) == {"id": "rocky", "version": "9.3", "family": "redhat"}
    assert distribution([str(tmp_path / "none")])["family"] == ""


def test_versions():
    assert version_key("3.10.1rc1") == (3, 10, 1)
