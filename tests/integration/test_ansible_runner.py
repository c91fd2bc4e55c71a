# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every shipped playbook as a job of AWX: by ansible-runner, its engine, in check mode, and for real on what the laboratory has cheaply.

Return code, events and artifacts are asserted, and that no secret is in anything that a job leaves: output, events, facts, command line, reports.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from awx import Controller, Job
from lab.consul import Consul, fid
from lab.fits.site import Site
from lab.pg import Postgres
from lab.sesam import samples
from lab.sesam.plain import PlainSesam
from lab.systemd_standin.units import Units
from play import NAMED, ROOT
from removing import WORKSPACE, Folders
from sesaming import params

NOWHERE = "unix:///nowhere.sock"
CONSUL = "7d1c0f2e-0000-4000-8000-4d61726b6572"
SECRETS: dict[str, Any] = {
    "fits_login_password": "Mark3r-fits-login",
    "jobrunner_mssql_password": "Mark3r-mssql",
    "jobrunner_database_url": "mssql://jobrunner:Mark3r-url@127.0.0.1:1/db",
    "jobrunner_secret_settings": {"STATA_LICENSE": "Mark3r-licence"},
    "motr_hare_consul_token": CONSUL,
    "talus_login_password": "Mark3r-talus-login",
    "talus_amqp_management_password": "Mark3r-talus-amqp",
}
"""Every variable that is a secret, but the token of Sesam, which a node has to have given."""
LYING_ABOUT = {"header": "Mark3r-header", "file": "Mark3r-in-a-file"}
MARKER = re.compile(rf"Mark3r[\w-]+|{CONSUL}|(?<=\.)[^.]+$")
"""Of a secret the part that would give it away: of a URL the password, of a token the signature."""
NO_ENGINE = f"no engine answers at {NOWHERE}"
PROCESS = fid("r", 0x13)
FAILED = {"motr_hare_object": PROCESS, "motr_hare_state": "failed", "motr_hare_expected": "online"}
OBJECT = {"motr_repair_object": "1234567:89abcdef", "motr_repair_layout_id": 9, "motr_repair_offset": 0, "motr_node": "<6e00000000000001:2>"}
SUM = ("fieldops_status", "fieldops_plan")
HOSTS = "fits-a,backend-a,motr-a,node-a"
"""Of Talus nothing is there, which only one playbook takes well."""


@dataclass
class Case:
    """What is to come of a playbook: words of an answer, or the code of a finding; and what it is given beside what its hosts have."""

    said: str
    limit: str = ""
    variables: dict[str, Any] = field(default_factory=dict)
    rc: int = 2


LOOKS = {
    "fits_export": "fits.export.workers.missing",
    "fits_notifications": "fits.notification.cron_missing",
    "jobrunner_after_restart": "jobrunner.docker.away",
    "jobrunner_triage": "jobrunner.docker.away",
    "motr_inspect": "hare.cluster.ok",
    "preflight": "node.preflight.complete",
    "sesam_profile": "sesam.profile.",
    "sesam_triage": "sesam.scheduler",
}
"""Those that only look. Like those below they succeed here, and are had in one job."""
MENDS = {
    "fits_ingest": "fits.ingest.failed",
    "fits_ingest_queue": "fits.ingest.failed",
    "fits_export_queue": "fits.export.ok",
    "jobrunner_level4_remove": "jobrunner.output.present",
    "jobrunner_setting": "jobrunner.setting",
    "jobrunner_pause": "jobrunner.flag.clear",
    "motr_hare": "hare.state.differs",
    "sesam_config": "sesam.config.differs",
    "sesam_scheduler": "sesam.scheduler.enabled",
    "sesam_frozen": "sesam.scheduler",
    "talus_stack_restart": "talus.none",
    "pause": "limits.not_paused",
}
"""Those that mend something where there is something to mend; a pause comes last."""
REPAIR = {f"{system}_repair": True for system in ("fits", "jobrunner", "motr", "sesam", "talus")}
LOOKED_AT: dict[str, Any] = {"sesam_profile_path": "pipes"}
WANTED: dict[str, Any] = {
    **REPAIR,
    **FAILED,
    "jobrunner_workspace": WORKSPACE,
    "jobrunner_output_files": ["output/table.csv"],
    "sesam_frozen_restart": "never",
    "sesam_scheduler_state": "disabled",
    "runbooks_pause_hosts": "motr-a",
    "runbooks_pause_reason": "storage moves",
}
WITH_ARTIFACTS = {"collect": ("fieldops_bundle",), "triage": SUM, "remediate": (*SUM, "fieldops_remediation")}
"""What the next jobs of a workflow get from them."""
REFUSED: dict[str, Case] = {
    "archive_ot": Case("fits.ot.archive_down", "archive-a", {"archive_url": "http://127.0.0.1:1", "archive_filename": ["N20200804S0091.fits"]}, rc=0),
    "awx_configure": Case("The collection awx.awx is not installed here", ""),
    "diagnose": Case("/nowhere.tar.gz", "", {"diagnose_bundle": "/nowhere.tar.gz"}),
    "fits_website": Case("unknown_service", "fits-a", {"fits_repair": True}),
    "jobrunner_deploy": Case("there is no checkout", "backend-a"),
    "jobrunner_planned_maintenance": Case(NO_ENGINE, "backend-a", {"jobrunner_maintenance_in": "4h"}),
    "jobrunner_prepare_for_reboot": Case(NO_ENGINE, "backend-a", {"jobrunner_repair": True}),
    "jobrunner_update_backend": Case("there is no checkout", "backend-a"),
    "motr_connection_reset": Case(
        "these options are required here: endpoint", "motr-a", {"motr_reset_client_endpoint": "inet:tcp:127.0.0.1@22501", "motr_reset_server_process": PROCESS}
    ),
    "motr_metadata": Case(
        "these options are required here: endpoint", "motr-a", {"motr_record_index": "7800000000000001:1", "motr_record_key": "a", "motr_record_value": "b"}
    ),
    "motr_repair_block": Case("cannot read the configuration /nowhere/confd.xc", "motr-a", OBJECT),
    "motr_requests": Case("no m0d runs on this node", "motr-a", {"motr_requests_state": "stopped"}),
    "talus_amqp": Case(NO_ENGINE, "master-a", {"talus_repair": True}),
    "talus_daemon_restart": Case("talus.amqp.unreachable", "master-a", {"talus_repair": True, "talus_daemons": ["master"]}),
    "talus_domains": Case("python3-libvirt", "master-a", {"talus_domain_kinds": ["job"], "talus_repair": True}),
    "talus_images": Case("MongoDB at localhost:1 cannot be reached", "master-a"),
    "talus_libvirt": Case("python3-libvirt", "slave-a", {"talus_repair": True}),
    "talus_replica_set": Case("mongodb.replica_set.unreachable", "master-a", {"talus_repair": True}),
    "talus_triage": Case(NO_ENGINE, "master-a"),
    "talus_web_dev": Case("there is no manage.py in /nowhere", "master-a", {"talus_web_source": "/nowhere"}),
}
"""Those that need what is not there, and say so. That they do what they are for is tested where it is: with an engine, a broker, a Motr."""


class World:
    """A controller, and what its hosts are: a FITS server, a node of Sesam, a cluster in Hare, the folders of a backend; of Talus nothing is there."""

    def __init__(self, stack: ExitStack, server: Postgres, folder: Path) -> None:
        self.folder = folder
        self.site = stack.enter_context(Site.build(server, folder, "C", database="under_runner", idle=0.5))
        self.node = stack.enter_context(PlainSesam(folder / "sesam", config=[samples.pipe("crm-0", "manual")]))
        self.consul = stack.enter_context(Consul(folder / "consul", CONSUL))
        self.consul.fill()
        self.backend = Folders(folder / "backend", str(folder / "journal"))
        self.units = Units(folder / "systemd").create()
        stack.callback(self.units.close)
        self.wanted = folder / "wanted.conf.json"
        self.wanted.write_text(json.dumps([samples.pipe("crm-0", "manual"), samples.pipe("crm-1", "manual")]), encoding="utf-8")
        self.secrets = {**SECRETS, "sesam_jwt": self.node.token()}
        self.markers = sorted({MARKER.search(text)[0] for text in self._texts({**self.secrets, **LYING_ABOUT})})  # type: ignore[index]
        groups = {
            "fits_servers": {"fits-a": {**self._common(), **self._fits()}},
            "archive_servers": {"archive-a": {**self._common(), **self._fits(), "fits_login_db": "nobodys"}},
            "sesam_nodes": {"node-a": {**self._common(), **self._sesam()}},
            "motr_servers": {
                "motr-a": {**self._common(), "motr_hare_consul_url": self.consul.url, "motr_inspect_process": False, "motr_conf": "/nowhere/confd.xc"}
            },
            "jobrunner_backends": {"backend-a": {**self._common(), **self._jobrunner()}},
            "talus_masters": {"master-a": {**self._common(), **self._talus()}},
            "talus_slaves": {"slave-a": {**self._common(), **self._talus()}},
        }
        self.site.faults.failed("ingest", "failed.fits")
        self.controller = Controller(folder / "jobs", groups, self.secrets, str(self.units.bin))

    @staticmethod
    def _texts(value: Any) -> Iterator[str]:
        for each in value.values() if isinstance(value, dict) else [value]:
            if isinstance(each, dict):
                yield from World._texts(each)
            else:
                yield str(each)

    def _common(self) -> dict[str, Any]:
        systems = ("fits", "sesam", "motr", "jobrunner", "talus", "runbooks")
        journals = {f"{system}_journal_dir": str(self.folder / "journals" / system) for system in systems}
        return {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            **journals,
            "runbooks_limits_dir": f"{self.folder}/limits-{{{{ inventory_hostname }}}}",
        }

    def _fits(self) -> dict[str, Any]:
        root, server = self.site.root, self.site.server
        here = {"fits_login_unix_socket": server.socket_dir, "fits_login_port": server.port, "fits_login_user": "fitsdata", "fits_login_db": self.site.database}
        there = {"fits_scripts_dir": str(root.scripts), "fits_log_dir": [str(root.log_dir)], "fits_lockfile_dir": [str(root.lock_dir)]}
        disks = {"fits_storage_root": str(root.dataflow), "fits_dhs_dir": "", "fits_disk": [{"path": str(root.path)}], "fits_reach_host": ""}
        header = {"name": "a site with a key", "url": "http://127.0.0.1:1/", "secret_headers": {"X-Key": LYING_ABOUT["header"]}}
        quick = {"fits_service_manager": "none", "fits_watch": 1, "fits_move_timeout": 1, "fits_state_dir": str(self.folder / "state")}
        return {**here, **there, **disks, **quick, "fits_health_extra": {"http": [header]}}

    def _sesam(self) -> dict[str, Any]:
        known = {f"sesam_{name}": value for name, value in params(self.node).items() if name != "jwt"}
        places = {"sesam_docker_host": NOWHERE, "sesam_log_folder": str(self.node.logs), "sesam_data_folder": str(self.node.data)}
        kept = {"sesam_fetch_dir": str(self.folder / "jobs" / "fetched"), "sesam_config_src": str(self.wanted)}
        return {**known, **places, **kept, "sesam_settle": 1, "sesam_stacktrace_interval": 0}

    def _jobrunner(self) -> dict[str, Any]:
        folders, files = self.backend, [self.folder / "config" / name for name in ("02_secrets.env", "04_local.env")]
        files[0].parent.mkdir()
        files[0].write_text(f"PRIVATE_REPO_ACCESS_TOKEN={LYING_ABOUT['file']}\n", encoding="utf-8")
        files[1].write_text(f"WORKDIR={folders.workdir}\nMAX_WORKERS=2\n", encoding="utf-8")
        folders.job("ab2cd3ef4gh5ij6k", "make_table", "succeeded", "succeeded")
        folders.put("output/table.csv")
        return {
            "jobrunner_config_files": [str(path) for path in files],
            "jobrunner_docker_host": NOWHERE,
            "jobrunner_secrets_file": str(files[0]),
            "jobrunner_settings": [{"name": "MAX_WORKERS", "value": "4", "file": str(files[1])}],
            "jobrunner_high_privacy_base": str(folders.high),
            "jobrunner_medium_privacy_base": str(folders.medium),
            "jobrunner_sync_sources": [str(folders.source)],
        }

    @staticmethod
    def _talus() -> dict[str, Any]:
        return {"talus_docker_host": NOWHERE, "talus_login_port": 1, "talus_login_user": "talus"}

    def job(self, *playbooks: str, check: bool = False, limit: str = HOSTS, **variables: Any) -> Job:
        """Run it. It must have told all that AWX shows, and nothing that nobody may see."""
        before = self.state() if check else {}
        job = self.controller.job(*playbooks, check=check, limit=limit, **variables)
        assert job.holes() == []
        assert job.status == ("successful" if job.rc == 0 else "failed")
        assert not check or self.state() == before, "check mode has changed something"
        given = b"".join(path.read_bytes() for path in (job.folder.parent.parent / "env").iterdir())
        assert all(marker.encode() in given for marker in self.markers if marker not in LYING_ABOUT.values()), "these were not even given"
        shown = {str(path.relative_to(self.folder)): marker for path, data in self.controller.written() for marker in self.markers if marker.encode() in data}
        assert shown == {}
        return job

    def chain(self, playbooks: dict[str, str], *, check: bool, **variables: Any) -> dict[str, Job]:
        """Those that succeed, by name, with what each said."""
        job = self.job(*playbooks, check=check, **variables)
        parts = dict(zip(playbooks, job.parts(), strict=False))
        assert (job.rc, list(parts)) == (0, list(playbooks)), (job.folder / "stdout").read_text(encoding="utf-8")
        return parts

    def state(self) -> dict[str, Any]:
        """All that the playbooks may change."""
        rows = self.site.faults.queues["ingest"].fetch("SELECT xmin::text AS version, * FROM {table} ORDER BY id")
        config = [path.read_text(encoding="utf-8") for path in sorted((self.folder / "config").iterdir())]
        left = sorted(path.name for pattern in ("limits-*", "journals", "state") for path in self.folder.glob(pattern))
        return {"rows": rows, "hare": self.consul.values(), "level 4": self.backend.tree(), "config": config, "sesam": self._sesam_state(), "left": left}

    def _sesam_state(self) -> dict[str, Any]:
        """Without what moves by itself."""
        config = {entity["_id"]: (entity["type"], entity.get("pump"), entity.get("source")) for entity in self.node.get("/config")}
        return {"config": config, "metadata": self.node.get("/metadata"), "started": self.node.get("/status")["node_start_time"]}


@pytest.fixture(scope="module")
def world(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack, server, tmp_path_factory.mktemp("runner"))


def test_no_playbook_and_no_secret_was_forgotten() -> None:
    assert {*LOOKS, *MENDS, *WITH_ARTIFACTS, *REFUSED} == {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
    marked = set()
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            marked |= {name for name, option in (entry.get("options") or {}).items() if option.get("no_log")}
    assert marked == {*SECRETS, "sesam_jwt"}


def test_those_that_look_change_nothing_in_either_mode(world: World) -> None:
    before = world.state()
    for check in (True, False):
        # For real that one waits until job-runner works, which does not run here.
        chosen = {playbook: said for playbook, said in LOOKS.items() if check or playbook != "jobrunner_after_restart"}
        for playbook, job in world.chain(chosen, check=check, **LOOKED_AT).items():
            assert (LOOKS[playbook] in job.said, job.changes, job.changed) == (True, [], 0), (playbook, job.codes)
    # A profile is recorded under the node's lock, which lies beside its journal.
    assert {**world.state(), "left": before["left"]} == before


def test_those_that_mend_do_what_check_mode_has_told(world: World) -> None:
    """Of two that mend the same, the second finds it done."""
    told = world.chain(MENDS, check=True, limit=f"{HOSTS},master-a", **WANTED)
    assert {playbook: job.changes for playbook, job in told.items() if MENDS[playbook] not in job.said} == {}
    world.site.workers.define("ingest", 1)
    world.site.workers.start("ingest")  # that the queue moves is part of mending it
    done = world.chain(MENDS, check=False, limit=f"{HOSTS},master-a", **WANTED)
    made: list[tuple[str, str]] = []
    for playbook, job in done.items():
        # The upload of a configuration leaves the scheduler off, which is what that one was to do.
        expected = [change for change in told[playbook].changes if change not in made and playbook != "sesam_scheduler"]
        assert (playbook, job.changes, job.changed > 0) == (playbook, expected, expected != [])
        made += job.changes
    assert {playbook for playbook, job in done.items() if job.changes} >= {
        "fits_ingest",
        "jobrunner_level4_remove",
        "jobrunner_setting",
        "motr_hare",
        "pause",
        "sesam_config",
    }


@pytest.mark.parametrize("playbook", sorted(REFUSED))
def test_those_that_cannot_say_why(world: World, playbook: str) -> None:
    case = REFUSED[playbook]
    job = world.job(playbook, check=True, limit=case.limit, **case.variables)
    assert (job.rc, case.said in job.said, job.handed_on) == (case.rc, True, {}), (job.failures, job.codes)


def test_a_bundle_is_handed_on(world: World) -> None:
    place = world.folder / "jobs" / "bundles"
    for check in (True, False):
        job = world.job("collect", check=check, limit="motr-a", collect_seconds=60, collect_dest=str(place))
        assert (job.rc, tuple(job.handed_on)) == (0, WITH_ARTIFACTS["collect"])
        assert len(list(place.glob("*.tar.gz"))) == (0 if check else 1)


@pytest.mark.thorough
def test_a_workflow_looks_mends_what_was_approved_and_looks_again(world: World) -> None:
    """AWX gives the artifacts of a job to the next ones as extra variables."""
    world.site.faults.failed("ingest", "again.fits")
    looked = world.job("triage")
    plan = looked.handed_on["fieldops_plan"]
    (step,) = [step for step in plan["steps"] if "fits.ingest.failed" in step["codes"]]
    assert set(looked.handed_on) == set(WITH_ARTIFACTS["triage"])
    assert (looked.rc, looked.changed, step["playbook"], step["hosts"]) == (0, 0, f"{NAMED}fits_ingest_queue", ["fits-a"])
    only: dict[str, Any] = {"remediate_codes": ["fits.ingest.failed"]}
    chosen = world.job("remediate", check=True, **only).handed_on
    assert set(chosen) == set(WITH_ARTIFACTS["remediate"])
    other = world.job("remediate", **looked.handed_on, **only, remediate_approved_plan="0" * 64)
    assert other.rc == 2
    done = world.job("remediate", **chosen, **only, remediate_approved_plan="{{ fieldops_remediation.sha256 }}")
    assert done.rc == 0, done.failures
    assert done.handed_on["fieldops_remediation"] == {"sha256": chosen["fieldops_remediation"]["sha256"], "steps": 1, "failed": [], "standing": []}
