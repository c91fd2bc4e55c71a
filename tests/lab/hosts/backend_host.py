# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test does on a backend: jobs whose containers are real, job-runner's own ways, and faults.

backend = BackendHost(host("backend"))
job = backend.job_running()                  # the service runs, and looks after it
backend.row(job), backend.objects(job)
backend.engine_down()                        # and so on: the faults say what they left
backend.mend()                               # no fault is left; jobs and files stay
backend.clear()                              # no jobs and files either, for tests that share a host
"""

from __future__ import annotations

import json
import textwrap
from typing import Any

from lab.hosts.backend_sites import code
from lab.hosts.host import Host
from lab.jobrunner.lab_secrets import SECRETS

HOME = "/home/opensafely"
CONFIG = f"{HOME}/config"
CHECKOUTS = {"code": f"{HOME}/jobrunner/code", "lib": f"{HOME}/jobrunner/lib", "backend-server": "/srv/backend-server"}
ORIGINS = {"code": "/srv/git/job-runner.git", "lib": "/srv/git/job-runner-dependencies.git", "backend-server": "/srv/git-of-root/backend-server.git"}
DATABASE = f"{HOME}/jobrunner/workdir/db.sqlite"
HIGH, MEDIUM = "/srv/high_privacy", "/srv/medium_privacy"
LEVEL3 = "/e/FILESFORL4/workspaces"
JOB_SERVER = "/var/lib/lab-jobserver"
BLOCKED = "blocked"  # the workspace in whose place of level 4 a file lies
SYNC_LOOP = "while true; do rsync --archive --update /e/FILESFORL4/workspaces/ /srv/medium_privacy/workspaces/; sleep 120; done"


class BackendHost:
    """`host` with what is particular to a backend."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.secrets = SECRETS

    # -- jobs -----------------------------------------------------------------------------------------------------------

    def jobs(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A method of `lab.jobrunner.jobs.Jobs`, on the host, as opensafely; what it returned."""
        return json.loads(code(self.host, "host_jobs", user="opensafely", stdin=json.dumps([method, arguments, options])))

    def add_job(self, state: str, status_code: str, **options: Any) -> str:
        """A job as a row and in Docker; the options are those of `Jobs.add_job`. Its id."""
        return str(self.jobs("add_job", state, status_code, **options))

    def row(self, job: str) -> dict[str, Any]:
        """Every column of a job."""
        found: dict[str, Any] = self.jobs("row", job)
        return found

    def rows(self) -> dict[str, dict[str, Any]]:
        """All jobs."""
        found: dict[str, dict[str, Any]] = self.jobs("rows")
        return found

    def objects(self, job: str) -> dict[str, str | None]:
        """What there is of a job in Docker."""
        found: dict[str, str | None] = self.jobs("objects", job)
        return found

    def code(self, job: str) -> str:
        """The status code of a job."""
        return str(self.row(job)["status_code"])

    def wait_code(self, job: str, wanted: str, timeout: float = 60.0) -> dict[str, Any]:
        """Wait until job-runner has brought a job so far; its row."""
        self.host.wait_for(lambda: self.code(job) == wanted, f"job {job} is {wanted}", timeout)
        return self.row(job)

    def job_running(self, **options: Any) -> str:
        """A job whose container runs until somebody ends it."""
        return self.add_job("running", "executing", **{"container": "running", **options})

    def job_executed(self, **options: Any) -> str:
        """A job whose container has ended, and whose results nobody has filed away: the service is stopped for that."""
        self.stop()
        return self.add_job("running", "executed", **{"container": "exited", **options})

    def job_internal_error(self) -> str:
        """A job whose results could not be filed away, which ended the main loop; systemd waits a minute. `unblock()`, and it can be retried."""
        self.host.run(["touch", f"{MEDIUM}/workspaces/{BLOCKED}"], user="opensafely")
        job = self.add_job("running", "executing", container="exited", workspace=BLOCKED)
        self.wait_code(job, "internal_error")
        self.wait_unit("auto-restart")
        return job

    def unblock(self) -> None:
        """Results can be filed away again."""
        self.host.run(["sh", "-c", f"test ! -f {MEDIUM}/workspaces/{BLOCKED} || rm {MEDIUM}/workspaces/{BLOCKED}"])

    # -- the service ------------------------------------------------------------------------------------------------------

    def unit(self, *properties: str) -> dict[str, str]:
        """Properties of the service's unit."""
        text = self.host.run(["systemctl", "show", f"--property={','.join(properties)}", "jobrunner.service"]).stdout
        return dict(line.split("=", 1) for line in text.splitlines())

    def wait_unit(self, substate: str, timeout: float = 120.0) -> None:
        """Wait for `running`, `dead`, `auto-restart` ..."""
        self.host.wait_for(lambda: self.unit("SubState")["SubState"] == substate, f"jobrunner is {substate}", timeout)

    def stop(self) -> None:
        """Stop the service."""
        self.host.run(["systemctl", "stop", "jobrunner.service"])

    def start(self) -> None:
        """Start the service, at once: `systemctl start` of a unit that waits for its restart would wait for that minute, too."""
        waiting = self.unit("SubState")["SubState"] == "auto-restart"
        self.host.run(["systemctl", "restart" if waiting else "start", "jobrunner.service"])

    def log(self, lines: int = 500) -> str:
        """What the service said last."""
        return self.host.run(["journalctl", "--unit=jobrunner", f"--lines={lines}", "--output=cat"]).stdout

    def shell(self, script: str, answer: str = "", check: bool = True) -> Any:
        """Run a script as opensafely with the environment of its interactive logins; the ended process."""
        full = f". {CONFIG}/load-env; export HOME={HOME}; cd {HOME}/jobrunner; {script}"
        return self.host.run(["bash", "-c", full], user="opensafely", input=answer, check=check)

    def posts(self) -> list[dict[str, Any]]:
        """What job-server was told."""
        if not self.host.exists(f"{JOB_SERVER}/posts.jsonl"):
            return []
        return [entry for line in self.host.read(f"{JOB_SERVER}/posts.jsonl").splitlines() if (entry := json.loads(line))["method"] == "POST"]

    def job_server(self, mode: str) -> None:
        """Job-server answers (`ok`), refuses with a status (`500`), or says nothing (`hang`)."""
        self.host.put(mode.encode(), f"{JOB_SERVER}/mode")

    def request(self, identifier: str, actions: dict[str, Any], workspace: str = "ws") -> None:
        """Somebody asks for jobs: `{"action": {"run": "python:v2 true", "outputs": {...}, "needs": [...]}}`."""
        asked = {
            "identifier": identifier,
            "workspace": {"name": workspace, "repo": "https://git.example.org/opensafely/study"},
            "sha": "0" * 40,
            "requested_actions": list(actions),
            "lab_actions": actions,
        }
        self.host.put(json.dumps([asked]).encode(), f"{JOB_SERVER}/requests.json")

    # -- faults: engine, service, database ----------------------------------------------------------------------------------

    def engine_down(self, kill: bool = False) -> None:
        """Nobody answers for Docker: stopped, which stops containers too, or (`kill`) dead, while they run on."""
        if kill:
            self.host.run(["sh", "-c", "systemctl mask --quiet --runtime docker.service docker.socket && systemctl kill --signal=KILL docker.service"])
        self.host.run(["systemctl", "stop", "docker.socket", "docker.service"])

    def engine_up(self) -> None:
        """Docker is back."""
        self.host.run(["systemctl", "unmask", "--quiet", "--runtime", "docker.service", "docker.socket"])
        self.host.run(["systemctl", "start", "docker.socket", "docker.service"])

    def unknown_code(self, value: str = "waiting_for_godot") -> str:
        """A row has a word that job-runner does not know; the job's id."""
        return self.add_job("pending", value, volume=False)

    def restart_loop(self) -> str:
        """The main loop dies whenever it is started, and systemd starts it every minute; the id of the job that it is about."""
        job = self.unknown_code()
        self.wait_unit("auto-restart")
        return job

    def paused(self, value: str | None = "true") -> None:
        """The backend is paused; or not, though it looks so (`1`, `yes`)."""
        self.jobs("set_flag", "paused", value)

    def text_timestamp(self) -> None:
        """A flag that was set by a careless INSERT: the thread that speaks to job-server stops."""
        self.jobs("set_flag", "paused", "true", "now")

    def wal(self) -> None:
        """The database is in the mode of later releases."""
        self._journal_mode("wal")

    def _journal_mode(self, mode: str) -> None:
        self.stop()
        self.host.run(["sqlite3", DATABASE, f"PRAGMA journal_mode = {mode}"], user="opensafely")
        self.start()

    def leftovers(self) -> dict[str, str]:
        """What an interrupted preparation for a reboot leaves, and others; the service is stopped. Ids by what they are.

        `reset`: pending for a reboot, with a live container. `ended`: failed long ago, its container and volume are still there. `unknown`: a
        container and a volume of a job that the database has not.
        """
        self.stop()
        found = {
            "reset": self.add_job("pending", "waiting_on_reboot", container="running", action="reset"),
            "ended": self.add_job("failed", "killed_by_admin", container="exited", action="ended"),
            "unknown": self.add_job("failed", "internal_error", container="exited", action="unknown"),
        }
        self.host.run(["sqlite3", DATABASE, f"DELETE FROM job WHERE id = '{found['unknown']}'"], user="opensafely")
        return found

    # -- faults: checkouts and configuration ------------------------------------------------------------------------------------

    def git(self, checkout: str, *arguments: str) -> str:
        """git in a checkout (`code`, `lib`, `backend-server`), as its owner."""
        user = "root" if checkout == "backend-server" else "opensafely"
        return self.host.run(["git", "-C", CHECKOUTS[checkout], *arguments], user=user, env={"HOME": "/root" if user == "root" else HOME}).stdout.strip()

    def behind(self, *checkouts: str) -> None:
        """A new release is on main of the origins (of both, without names)."""
        for name in checkouts or ("code", "lib"):
            self.host.run(["git", "-C", ORIGINS[name], "branch", "--force", "main", "next"], user="opensafely")

    def dirty_checkout(self, checkout: str = "code") -> str:
        """Somebody changed a file of a checkout, and did not commit it; the file."""
        file = {"code": "jobrunner/release.py", "lib": "standin_dependencies.py", "backend-server": "playbook.md"}[checkout]
        self.host.run(["sh", "-c", f"echo '# changed in haste' >>{CHECKOUTS[checkout]}/{file}"])
        return file

    def ctime_dirty(self, checkout: str = "code") -> None:
        """Nothing was changed but ctimes, as management does: git takes that for changes until it looks closer."""
        owner = "root:root" if checkout == "backend-server" else "opensafely:opensafely"
        self.host.run(["sh", "-c", f"sleep 1.1; chown --recursive {owner} {CHECKOUTS[checkout]}"])

    def detached_head(self, checkout: str = "code") -> None:
        """A commit is checked out, and no branch."""
        self.git(checkout, "checkout", "--quiet", "--detach", "HEAD")

    def drift(self) -> None:
        """Somebody edited a file that management writes."""
        self.host.run(["sh", "-c", f"echo POLL_INTERVAL=99 >>{CONFIG}/01_defaults.env"])

    def missing_secret(self, name: str = "JOB_SERVER_TOKEN") -> None:
        """A secret is not set."""
        self.host.run(["sed", "-i", f"/^{name}=/d", f"{CONFIG}/02_secrets.env"])

    # -- faults: files ---------------------------------------------------------------------------------------------------------------

    def unmount(self) -> None:
        """Level 3's files are not there: the place is an empty folder."""
        self.host.run(["systemctl", "stop", "e.mount"])

    def mount(self) -> None:
        """They are."""
        self.host.run(["systemctl", "start", "e.mount"])

    def sync_loop(self) -> None:
        """The loop that copies level 3's files for ever, as somebody once started it in a terminal."""
        options = ["--quiet", "--unit=lab-sync-loop", "--uid=opensafely", "--collect"]
        self.host.run(["systemd-run", *options, "bash", "-c", SYNC_LOOP])

    def level3_file(self, path: str, content: bytes = b"a,b\n1,2\n") -> str:
        """A file that level 3 sends, below its workspaces; the whole path."""
        return self._file(LEVEL3, path, content, "opensafely:opensafely")

    def output(self, workspace: str, name: str, content: bytes = b"a,b\n1,2\n") -> str:
        """An output of level 4, with its original and the manifest; the path of the copy that can be looked at."""
        self._file(f"{HIGH}/workspaces", f"{workspace}/{name}", content, "opensafely:opensafely")
        manifest = json.dumps({"repo": None, "workspace": workspace}).encode()
        self._file(f"{MEDIUM}/workspaces", f"{workspace}/metadata/manifest.json", manifest, "opensafely:reviewers")
        return self._file(f"{MEDIUM}/workspaces", f"{workspace}/{name}", content, "opensafely:reviewers")

    def _file(self, base: str, path: str, content: bytes, owner: str) -> str:
        """A file and the folders above it, all of one owner; the whole path."""
        user, group = owner.split(":")
        above = path.split("/")[:-1]
        folders = [f"{base}/{'/'.join(above[: depth + 1])}" for depth in range(len(above))]
        self.host.run(["install", "-d", f"--owner={user}", f"--group={group}", "--mode=750", "--", *folders])
        self.host.put(content, f"{base}/{path}", owner=owner, mode=0o640)
        return f"{base}/{path}"

    # -- the end ------------------------------------------------------------------------------------------------------------------------

    def mend(self) -> None:
        """Undo every fault of this file: engine, mounts, checkouts, configuration, words in rows, flags."""
        self._script(
            f"""
            systemctl stop jobrunner.service lab-sync-loop.service 2>/dev/null || true
            systemctl unmask --quiet --runtime docker.service docker.socket
            systemctl start docker.socket docker.service e.mount lab-jobserver.service
            rm -f {JOB_SERVER}/mode
            test ! -f {MEDIUM}/workspaces/{BLOCKED} || rm {MEDIUM}/workspaces/{BLOCKED}
            sh /var/lib/lab-backend/restore.sh
            systemctl daemon-reload
            if [ "$(sqlite3 {DATABASE} 'PRAGMA user_version')" != 2 ]; then
                rm {DATABASE}*
                runuser -u opensafely -- bash -c '. {CONFIG}/load-env; cd {CHECKOUTS["code"]}; python3 -m jobrunner.cli.migrate'
            fi
            runuser -u opensafely -- sqlite3 {DATABASE} "PRAGMA journal_mode = delete; DELETE FROM flags;
                DELETE FROM job WHERE status_code = 'waiting_for_godot' OR (state = 'pending' AND run_command LIKE 'jupyter%')" >/dev/null
            systemctl reset-failed jobrunner.service 2>/dev/null || true
            systemctl start jobrunner.service
            """
        )

    def clear(self) -> None:
        """No jobs, no files, nothing that job-server was told or asks for."""
        self._script(
            f"""
            systemctl stop jobrunner.service
            docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes >/dev/null
            docker volume ls --quiet | xargs --no-run-if-empty docker volume rm --force >/dev/null
            runuser -u opensafely -- sqlite3 {DATABASE} 'DELETE FROM job; DELETE FROM job_request; DELETE FROM flags'
            rm -rf {HIGH}/logs {HIGH}/volumes {HIGH}/workspaces/* {MEDIUM}/workspaces/* /srv/lab-e/FILESFORL4/workspaces/* {JOB_SERVER}/*
            systemctl start jobrunner.service
            """
        )

    def _script(self, text: str) -> None:
        self.host.run(["sh", "-e", "-c", textwrap.dedent(text)], timeout=300.0)


__all__ = ["CHECKOUTS", "CONFIG", "DATABASE", "HIGH", "LEVEL3", "MEDIUM", "ORIGINS", "BackendHost"]
