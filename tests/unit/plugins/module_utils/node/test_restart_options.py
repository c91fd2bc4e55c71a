# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of service_restart, and the evidence that it keeps."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import Pattern, read_process
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.service import Service, ServiceError
from ansible_collections.fieldops.runbooks.plugins.module_utils.node import restart_evidence
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.restart import Seen
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.restart_options import OPTIONS, SERVICE, Spec, Wish, read_wish, secrets, spec_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.restart_probe import UnixSocket, ask, parse
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure import evidence
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import JournalError, RunbookError
from ansible_collections.fieldops.runbooks.plugins.modules import service_restart

DEFAULTS = {name: rules.get("default") for name, rules in OPTIONS.options.items()}
HTTP = {"url": "http://localhost/", "secret_headers": {"Authorization": "Bearer swordfish"}}


def wish(*services: Any, **options: Any) -> Wish:
    return read_wish(dict(DEFAULTS, services=list(services), **options))


def test_names_and_dictionaries() -> None:
    pattern = {"program": "w.py", "args": ["--name=1"], "owner": "fitsdata"}
    made = wish("a", {"name": "b", "settle": 3, "processes": [pattern], "log_files": ["/l"]}, settle=1, stop_timeout=2, manager="systemd")
    assert made.specs == (
        Spec("a", stop_timeout=2, settle=1),
        Spec("b", (Pattern("w.py", ("--name=1",), None, "fitsdata"),), stop_timeout=2, settle=3, log_files=("/l",)),
    )
    assert (made.manager, wish("a").manager) == ("systemd", None)


@pytest.mark.parametrize(
    ("service", "words"),
    [
        (3, "services[0] must be the name of a service or a dictionary with its name, not int"),
        ({}, "services[0]: missing required arguments: name"),
        ({"name": "a", "Processes": []}, "services[0]: unknown option Processes. Supported parameters include: log_files, name"),
        ({"name": "fits-*"}, "patterns are not accepted"),
        ({"name": "-a"}, "not '-a'"),
        ({"name": "../a"}, "not '../a'"),
        ({"name": "a", "processes": [{"owner": "fitsdata"}]}, "an owner alone would mean all processes of that user"),
        ({"name": "a", "processes": [{"title": "("}]}, "services[0].processes.title must be a regular expression"),
        ({"name": "a", "probe": {}}, "one of the following is required: http, tcp, unix"),
        ({"name": "a", "probe": {"unix": "/s", "tcp": {"port": 1}}}, "mutually exclusive: http|tcp|unix"),
        ({"name": "a", "probe": {"unix": "s"}}, "services[0].probe.unix must be an absolute path"),
        ({"name": "a", "probe": {"tcp": {"port": 0}}}, "services[0].probe.tcp.port must be a port"),
        ({"name": "a", "probe": {"tcp": {"port": 1, "timeout": 0}}}, "services[0].probe.tcp.timeout must be more than 0"),
        ({"name": "a", "probe": {"http": {"url": "localhost"}}}, "services[0].probe.http.url must be a URL"),
        ({"name": "a", "stop_timeout": -1}, "services[0]: stop_timeout must be 0 to 86400 seconds, not -1"),
        ({"name": "a", "settle": "inf"}, "settle must be 0 to 86400 seconds, not inf"),
        ({"name": "a", "log_files": ["l"]}, "services[0]: log_files must be an absolute path, not 'l'"),
    ],
)
def test_what_cannot_be_meant(service: Any, words: str) -> None:
    with pytest.raises((ServiceError, RunbookError)) as raised:
        wish(service)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"services": []}, "services is empty"),
        ({"policy": "unhealthy", "state": "stopped"}, "goes with state: restarted"),
        ({"start_timeout": 1e9}, "start_timeout"),
    ],
)
def test_what_does_not_go_together(options: Any, words: str) -> None:
    with pytest.raises(ServiceError, match=words):
        read_wish({**DEFAULTS, "services": ["a"], **options})


def test_what_an_undo_needs_is_kept_without_secrets() -> None:
    (spec,) = wish({"name": "a", "probe": {"http": HTTP}, "processes": [{"program": "w.py"}], "log_files": ["/l"], "settle": 1}).specs
    kept = json.dumps(spec.kept())
    assert "swordfish" not in kept + repr(spec)
    assert spec_of(json.loads(kept)) == Spec("a", (Pattern("w.py"),), settle=1)


def test_secrets_are_found_wherever_they_may_be() -> None:
    assert secrets({"services": ["a", 3, {"probe": 3}, {"probe": {"http": []}}, {"probe": {"http": HTTP}}]}) == {"Bearer swordfish"}


def test_the_documentation_has_every_option_of_a_service() -> None:
    """Ansible compares the others by itself; these it does not know, because a plain name is accepted as well."""

    def same(documented: Any, options: Any) -> None:
        assert set(documented) == set(options)
        for name, rules in options.items():
            shown = documented[name]
            assert {key: shown.get(key) for key in ("type", "elements", "default", "required")} == {
                key: rules.get(key) for key in ("type", "elements", "default", "required")
            }, name
            same(shown.get("suboptions") or {}, rules.get("options") or {})

    same(yaml.safe_load(service_restart.DOCUMENTATION)["options"]["services"]["suboptions"], SERVICE)


def test_a_unix_socket_is_asked(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        assert "refused" in ask(UnixSocket(path), 1.0)
        server.listen()
        assert ask(UnixSocket(path), 1.0) == ""
    assert "No such file" in ask(UnixSocket(path + "x"), 1.0)
    assert ask(parse("probe", None), 1.0) == ""


# -- evidence ----------------------------------------------------------------------------------------------------------


def test_what_is_kept(tmp_path: Path) -> None:
    process = read_process(os.getpid())
    assert process is not None
    log = tmp_path / "service.log"
    log.write_text("".join("line %d password=hunter2\n" % n for n in range(1000)), encoding="utf-8")
    seen = Seen(Spec("../a", log_files=(str(log), "/dev/zero", "/nowhere")), Service("a", "sysv", True, id="../a"), (process,))
    directory = Path(restart_evidence.keep(str(tmp_path), [seen], [str(log)]))
    assert directory.parent == tmp_path / "evidence"
    assert sorted(path.name for path in directory.iterdir()) == ["_a.txt", "log-0-service.log.txt", "log-1-zero.txt", "log-2-nowhere.txt"]
    about = (directory / "_a.txt").read_text(encoding="utf-8")
    assert "--- process %d" % os.getpid() in about and "open files: " in about and "State:" in about
    lines = (directory / "log-0-service.log.txt").read_text(encoding="utf-8").splitlines()
    assert (lines[1], lines[-1]) == ("line 800 password=********", "line 999 password=********")
    assert "not a file" in (directory / "log-1-zero.txt").read_text(encoding="utf-8")
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600} and directory.stat().st_mode & 0o777 == 0o700


def test_the_oldest_go_first(tmp_path: Path) -> None:
    place, outside = tmp_path / "evidence", tmp_path / "outside"
    for directory in (place, outside):
        directory.mkdir(mode=0o700)
    (outside / "file").touch()
    for number in range(evidence.RUNS_KEPT + 5):
        (place / ("20260101T%06d-1" % number)).mkdir()
    (place / "20250101T000000-1").symlink_to(outside)
    (place / "mine").mkdir()
    restart_evidence.keep(str(tmp_path), [], [])
    assert len([path for path in place.iterdir() if path.name[0] == "2" and not path.is_symlink()]) == evidence.RUNS_KEPT
    assert (outside / "file").exists() and (place / "mine").exists()


def test_evidence_is_kept_nowhere_that_others_may_write(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence").chmod(0o777)
    with pytest.raises(JournalError, match=r"others may write to .*Nothing was changed"):
        restart_evidence.keep(str(tmp_path), [], [])
