# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test does on a FITS host: files, rows, scripts, logs, and faults that are real there.

    fits = FitsHost(host("fits-c"))
    fits.dhs(*named("plain", "N20260101S0001"))           # DHS leaves a file
    row = fits.orphan("ingest", "N20260101S0002.fits")    # a worker is killed in the middle of a file
    fits.sql("SELECT * FROM ingestqueue")                 # rows as dicts, as the database's owner
    fits.rows("failed", "ingest", "N20260101S0003.fits")  # any method of lab.fits.faults.Faults
    fits.mend()                                           # no fault is left; rows and files stay

Faults say what they left: a name, a row's id, a pid.
"""

from __future__ import annotations

import json
import re
import textwrap
import time
from typing import Any

from lab.hosts.common import LabError
from lab.hosts.fits_sites import ARCHIVE, CA_CERT, code
from lab.hosts.host import Host

SCRIPTS = "/opt/FitsStorage/fits_storage/scripts"
DATAFLOW = "/sci/dataflow"
DHS = "/sci/dhs"
NET = {"alopeke": "/net/mkovisdata/home/alopeke", "zorro": "/net/cpostonfs-nv1/tier2/ins/sto/zorro"}
WEB_LOGS = ("/opt/uwsgi/fits.log", "/opt/modwsgi-default/error_log", "/var/log/nginx/error.log")
OLD = 3600.0  # seconds; neither the DHS copy job nor ingest waits for a file of that age
HOLDERS = ("lab-holder", "lab-clients", "lab-sleeper", "lab-mail")


class FitsHost:
    """`host` with what is particular to FITS Storage."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.generation = str(json.loads(host.read("/opt/FitsStorage/lab.json"))["generation"])
        self.new = self.generation == "C"

    # -- names --------------------------------------------------------------------------------------------------------

    def unit(self, queue: str, number: int = 1) -> str:
        """The unit of a queue's worker."""
        return f"fits-service_{queue}_queue{number}.service"

    def worker_name(self, queue: str, number: int = 1) -> str:
        """What the worker is called with --name."""
        return str(number) if self.new else {"ingest": "siq", "export": "seq"}[queue] + str(number)

    def lock_file(self, queue: str, number: int = 1) -> str:
        """The worker's lock file."""
        name = self.worker_name(queue, number)
        return f"/data/locks/service_{queue}_queue.py-{name}.lock" if self.new else f"/data/logs/{name}.lock"

    def log_file(self, queue: str, number: int = 1) -> str:
        """The worker's log."""
        return f"/data/logs/service_{queue}_queue.py-{self.worker_name(queue, number)}.log"

    @property
    def web_unit(self) -> str:
        """The unit whose processes run the web application."""
        return "fits-uwsgi.service" if self.new else "fits-httpd.service"

    @property
    def api_unit(self) -> str:
        """The unit that does what the web server may not."""
        return "fits-service_fileops_queue1.service" if self.new else "fits-api-backend.service"

    @property
    def mail_script(self) -> str:
        """The script that tells people about new data."""
        return "send_new_data_notification_emails.py" if self.new else "YouGotDataEmail.py"

    @property
    def url(self) -> str:
        """The web site, seen from the host itself."""
        return "https://localhost" if self.new else "http://localhost"

    # -- looking ------------------------------------------------------------------------------------------------------

    def sql(self, statement: str) -> list[dict[str, Any]]:
        """Run a statement as the database's owner; the rows, if it gives rows."""
        text = statement.strip().rstrip(";")
        if not re.match(r"(?i)select|with|table", text):
            self._psql(text)
            return []
        found = self._psql(f"SELECT coalesce(json_agg(t), '[]') FROM ({text}) t")
        rows: list[dict[str, Any]] = json.loads(found)
        return rows

    def _psql(self, text: str) -> str:
        return self.host.run(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "fitsdata"], user="fitsdata", input=text).stdout

    def row(self, queue: str, filename: str) -> dict[str, Any] | None:
        """The queue's newest row of a file."""
        rows = self.sql(f"SELECT * FROM {queue}queue WHERE filename = {_quoted(filename)} ORDER BY id DESC LIMIT 1")
        return rows[0] if rows else None

    def diskfile(self, filename: str) -> dict[str, Any] | None:
        """The file's newest diskfile row."""
        rows = self.sql(f"SELECT * FROM diskfile WHERE filename = {_quoted(filename)} ORDER BY id DESC LIMIT 1")
        return rows[0] if rows else None

    def log(self, path: str, lines: int = 200) -> str:
        """The end of a log."""
        return self.host.run(["tail", "-n", str(lines), "--", path]).stdout

    def pids(self, unit: str) -> list[int]:
        """All processes of a unit."""
        group = self.host.run(["systemctl", "show", "--property=ControlGroup", "--value", unit]).stdout.strip()
        if not group:
            return []
        found = self.host.run(["sh", "-c", f"find /sys/fs/cgroup -path '*{group}/*' -name cgroup.procs -exec cat {{}} +"], check=False).stdout
        return sorted({int(pid) for pid in found.split()})

    def ask(self, path: str, timeout: float = 10.0, url: str | None = None) -> tuple[int, str]:
        """Ask a web site from this host: status (0 when none came) and text."""
        argv = ["curl", "--silent", "--max-time", str(timeout), "--write-out", "\n%{http_code}", f"{url or self.url}/{path.lstrip('/')}"]
        text, _newline, status = self.host.run(argv, check=False).stdout.rpartition("\n")
        return int(status or 0), text

    def jsonfilelist(self, filename: str, url: str | None = None) -> list[dict[str, Any]]:
        """What a web site knows of a file."""
        status, text = self.ask(f"jsonfilelist/present/filename={filename}", url=url)
        if status != 200:
            raise LabError(f"{self.host.name}: jsonfilelist answered {status}")
        found: list[dict[str, Any]] = json.loads(text)
        return found

    # -- doing --------------------------------------------------------------------------------------------------------

    def file(self, name: str, content: bytes, path: str = "", age: float = OLD, owner: str = "fitsdata:geminidata", mode: int = 0o664) -> str:
        """A file in dataflow; `path` is a directory below it, or a whole one."""
        full = f"{path if path.startswith('/') else f'{DATAFLOW}/{path}'.rstrip('/')}/{name}"
        staged = f"{full.rpartition('/')[0]}/.tmp-lab"  # a copy job must not see half a file, nor a young one
        self.host.put(content, staged, owner=owner, mode=mode)
        self.host.run(["touch", "--no-create", f"--date=@{time.time() - age:.3f}", staged])
        self.host.run(["mv", "--no-target-directory", "--", staged, full])
        return full

    def dhs(self, name: str, content: bytes, age: float = OLD) -> str:
        """A file that the DHS leaves."""
        return self.file(name, content, DHS, age)

    def visitor(self, instrument: str, date: str, name: str, content: bytes, age: float = OLD) -> str:
        """A file that a visiting instrument leaves."""
        directory = f"{NET[instrument]}/{date}"
        self.host.run(["install", "-d", "-o", "observer", "-g", "geminidata", directory])
        return self.file(name, content, directory, age, owner="observer:geminidata", mode=0o644)

    def script(self, name: str, *arguments: str, check: bool = True, timeout: float = 60.0) -> str:
        """Run one of upstream's scripts as cron does; what it printed."""
        argv = ["env", "PYTHONPATH=/opt/FitsStorage:/opt/DRAGONS", "python3", f"{SCRIPTS}/{name}", *arguments]
        done = self.host.run(argv, user="fitsdata", check=check, timeout=timeout)
        return done.stdout + done.stderr

    def rows(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A method of `lab.fits.faults.Faults`, on the host; what it returned."""
        return json.loads(code(self.host, "host_rows", user="fitsdata", stdin=json.dumps([method, arguments, options])))

    def systemctl(self, *arguments: str) -> str:
        """systemctl on the host."""
        return self.host.run(["systemctl", *arguments]).stdout

    def wait_row(self, queue: str, filename: str, timeout: float = 30.0, **columns: Any) -> dict[str, Any]:
        """Wait until the queue has a row of this file with these values."""

        def there() -> dict[str, Any]:
            row = self.row(queue, filename) or {}
            return row if all(row.get(name) == value for name, value in columns.items()) else {}

        return self.host.wait_for(there, f"{queue}queue has {filename} with {columns}", timeout)

    def wait_gone(self, queue: str, filename: str, timeout: float = 30.0) -> None:
        """Wait until the queue has no row of this file."""
        self.host.wait_for(lambda: self.row(queue, filename) is None, f"{filename} leaves the {queue} queue", timeout)

    def wait_log(self, path: str, text: str, timeout: float = 30.0) -> str:
        """Wait until a log says something; the line."""

        def said() -> str:
            return next((line for line in reversed(self.log(path).splitlines()) if text in line), "") if self.host.exists(path) else ""

        return self.host.wait_for(said, f"{path} says {text!r}", timeout)

    # -- faults: queues -------------------------------------------------------------------------------------------------

    def fail(self, pattern: str, kind: str = "error", text: str = "") -> None:
        """From now on files of this name fail; the kinds are those of `lab.fits.standin.failures`."""
        self.host.run(["tee", "-a", "/data/fail"], input=f"{pattern} {kind} {text}".rstrip() + "\n")

    def heal(self) -> None:
        """No file fails any more."""
        self.host.run(["rm", "-f", "/data/fail"])

    def orphan(self, queue: str, filename: str, content: bytes = b"", path: str = "") -> int:
        """A worker is killed with this file in its hands, and comes back ten seconds later; the id of the row."""
        self.fail(re.escape(filename), "slow", "600")
        if queue == "ingest":
            self.file(filename, content, path)
        else:
            self.fail(re.escape(filename), "http500")  # so that the destination is not even asked
            if self.diskfile(filename) is None:
                self.rows("diskfile", filename, path)
        row = int(self.rows("pending", queue, filename, path=path))
        self.host.wait_for(lambda: self.sql(f"SELECT 1 FROM {queue}queue WHERE id = {row} AND inprogress"), "a worker takes the row")
        self.host.wait_for(lambda: filename in self.log(self.log_file(queue)) or filename in self._other_log(queue), "a worker logs the file")
        self.systemctl("kill", "--signal=KILL", f"fits-service_{queue}_queue*")
        self.heal()
        return row

    def _other_log(self, queue: str) -> str:
        path = self.log_file(queue, 2)
        return self.log(path) if self.host.exists(path) else ""

    def failed(self, queue: str, filename: str, content: bytes, text: str = "no end card found") -> dict[str, Any]:
        """A worker fails at this file, and says why; the row that is left."""
        self.file(filename, content)
        self.fail(re.escape(filename), "error" if queue == "ingest" else "url", text)
        if queue == "export":
            self.rows("diskfile", filename)
        row = int(self.rows("pending", queue, filename))
        failed = "fail_dt < '9999-01-01'" if self.new else "failed"
        return self.host.wait_for(lambda: self.sql(f"SELECT * FROM {queue}queue WHERE id = {row} AND {failed}"), "the row fails")[0]

    def stale_lock(self, queue: str = "ingest") -> int:
        """The lock file names a living process of the same user that is no worker: the unit ends well, again and again. The pid."""
        unit, lock = self.unit(queue), self.lock_file(queue)
        self.systemctl("stop", unit)
        self._holder("lab-sleeper", ["sleep", "infinity"])
        pid = int(self.systemctl("show", "--property=MainPID", "--value", "lab-sleeper.service"))
        self.host.put(f"{pid}\n".encode(), lock, owner="fitsdata")
        self.systemctl("start", unit)
        self.wait_log(self.log_file(queue), f"refers to PID {pid} which appears to be valid")
        restarts = ("show", "--property=NRestarts", "--value", unit)
        self.host.wait_for(lambda: int(self.systemctl(*restarts)) > 0, "systemd starts it again", timeout=60)
        return pid

    def _holder(self, name: str, argv: list[str], user: str = "fitsdata") -> None:
        """A process in the background, as a unit that `mend` knows."""
        self.host.run(["systemctl", "stop", f"{name}.service"], check=False)
        self.host.run(["systemd-run", "--quiet", f"--unit={name}", f"--uid={user}", "--collect", *argv])

    # -- faults: disks and permissions ------------------------------------------------------------------------------------

    def fill(self, left: str = "1M", size: str = "96M", path: str = "/data") -> None:
        """`path` becomes a small file system with what it held, full but for `left`."""
        self._script(
            f"""
            systemctl stop 'fits-service_*' 'fits-copy_*' fits-queue_monitor.service fits-api-backend.service 2>/dev/null || true
            if ! mountpoint -q {path}; then
                cp -a {path} /var/tmp/lab-kept
                mount -t tmpfs -o size={size},mode=0755 lab-small {path}
                cp -a /var/tmp/lab-kept/. {path}/
                rm -rf /var/tmp/lab-kept
            fi
            systemctl start $(systemctl list-unit-files --state=enabled --no-legend 'fits-*' | cut -d' ' -f1)
            free=$(($(stat -f -c '%a * %S' {path}) - $(numfmt --from=iec {left})))
            fallocate -l $free {path}/lab-ballast
            """
        )

    def delete_but_hold(self, size: int = 2**24, path: str = "/data/backups/fitsdata.dump") -> int:
        """A file is deleted, and a process keeps it open; its pid."""
        held = f"import os, time; f = open({path!r}, 'wb'); f.write(b'x' * {size}); f.flush(); os.unlink({path!r}); time.sleep(1e6)"
        self._holder("lab-holder", ["python3", "-c", held])
        pid = int(self.systemctl("show", "--property=MainPID", "--value", "lab-holder.service"))
        self.host.wait_for(lambda: "(deleted)" in self.host.run(["ls", "-l", f"/proc/{pid}/fd"], check=False).stdout, "the file is deleted")
        return pid

    def unreadable(self, name: str, content: bytes, path: str = "graces") -> str:
        """An observer copied a file that nobody else may read."""
        return self.file(name, content, path, owner="observer:observer", mode=0o600)

    # -- faults: copy jobs --------------------------------------------------------------------------------------------------

    def hang(self, unit: str) -> list[int]:
        """Every process of a unit stops where it is: alive, and deaf. `fits-copy_from_dhs`, `api_unit` and so on; the pids."""
        self.systemctl("kill", "--signal=STOP", unit)
        return self.pids(unit)

    # -- faults: web ----------------------------------------------------------------------------------------------------------

    def web(self, mode: str, pattern: str = "") -> None:
        """Mislead the web site; the modes are those of `lab.fits.standin.web`, `pattern` is searched in the path."""
        self.host.put(f"{mode} {pattern}\n".encode(), "/data/web")

    def exhaust_web(self, clients: int = 20) -> None:
        """Every thread of the web application waits; new requests get no answer."""
        self.web("hang", "^/searchform/")
        argv = ["curl", "--silent", "--insecure", "--parallel", "--parallel-immediate", "--parallel-max", str(clients), "--output", "/dev/null"]
        self._holder("lab-clients", [*argv, f"{self.url}/searchform/GN-2026A-Q-[1-{clients}]"], user="nobody")
        self.host.wait_for(lambda: self.ask("", timeout=1.0)[0] == 0, "the web site answers no more")

    def web_error(self) -> None:
        """One request ends in an exception, with its traceback in the log."""
        self.web("500", "^/jsonfilelist/boom")
        self.ask("jsonfilelist/boom")
        self.web("ok")

    def benign_noise(self, times: int = 3) -> None:
        """Requests that make astropy complain in the error log, as it always does."""
        for _time in range(times):
            self.ask("searchform/GN-2026A-Q-1")

    def certificate(self, start: float = -1, end: float = 89, names: tuple[str, ...] = ()) -> None:
        """A new certificate, valid between two days from now, which the web server reads: expired, nearly, not yet, renewed just now."""
        wanted = names or (self.host.name, f"{self.host.name}.example.org", "localhost")
        code(self.host, "host_tls", "renew", *wanted, f"--from={start}", f"--to={end}")
        self.systemctl("reload", "fits-nginx.service")

    # -- faults: mail -------------------------------------------------------------------------------------------------------------

    def notification(self, program: str, piemail: str | None = "pi@example.org", ngoemail: str | None = None, csemail: str | None = "cs@example.org") -> int:
        """A program whose people want to know; the id of the row."""
        values = ", ".join(_quoted(text) for text in (f"Auto - {program}", f"{program}/science", piemail, ngoemail, csemail))
        self._psql(f"INSERT INTO notification (label, selection, piemail, ngoemail, csemail, internal) VALUES ({values}, false)")
        return int(self.sql("SELECT max(id) AS id FROM notification")[0]["id"])

    def smtp(self, mode: str) -> None:
        """The mail server takes mail (`ok`), refuses it (`refuse`), or says nothing (`hang`)."""
        self.host.put(mode.encode(), "/var/lib/lab-smtp/mode")

    def mails(self) -> list[dict[str, Any]]:
        """What the mail server took."""
        path = "/var/lib/lab-smtp/messages.jsonl"
        return [json.loads(line) for line in self.host.read(path).splitlines()] if self.host.exists(path) else []

    def mail_log(self) -> str:
        """The log of the mail script."""
        return f"/data/logs/{self.mail_script}.log"

    def hung_mail(self, date: str = "today") -> int:
        """The mail script waits for a mail server that says nothing. Needs a notification whose data the archive has; the script's pid."""
        self.smtp("hang")
        argv = ["env", "PYTHONPATH=/opt/FitsStorage:/opt/DRAGONS", "python3", f"{SCRIPTS}/{self.mail_script}", "--demon", f"--date={date}"]
        self._holder("lab-mail", argv)
        self.host.wait_for(lambda: "Sending Email-" in self.log(self.mail_log(), 1), "the mail script is about to send")
        return int(self.systemctl("show", "--property=MainPID", "--value", "lab-mail.service"))

    # -- the end ------------------------------------------------------------------------------------------------------------------

    def mend(self) -> None:
        """Undo every fault of this file: control files, stopped processes and units, holders, small file systems, lock files."""
        holders = " ".join(f"{name}.service" for name in HOLDERS)
        self._script(
            f"""
            rm -f /data/fail /data/web /var/lib/lab-smtp/mode
            systemctl kill --signal=CONT 'fits-*' 2>/dev/null || true
            systemctl stop {holders} 2>/dev/null || true
            if mountpoint -q /data; then
                rm -f /data/lab-ballast
                systemctl stop 'fits-*'
                cp -a /data /var/tmp/lab-kept
                umount /data
                cp -a /var/tmp/lab-kept/. /data/
                rm -rf /var/tmp/lab-kept
            fi
            for lock in /data/locks/*.lock /data/logs/*.lock; do
                if [ -e "$lock" ] && ! tr '\\0' ' ' <"/proc/$(cat "$lock")/cmdline" 2>/dev/null | grep -q service_; then rm -f "$lock"; fi
            done
            waiting=$(systemctl list-units --state=auto-restart --plain --no-legend 'fits-*' | cut -d' ' -f1)
            [ -z "$waiting" ] || systemctl stop $waiting
            systemctl reset-failed 'fits-*' 2>/dev/null || true
            systemctl start $(systemctl list-unit-files --state=enabled --no-legend 'fits-*' | cut -d' ' -f1)
            """
        )

    def clear(self) -> None:
        """Empty queues, tables and logs of the day, and take away the files that were dropped: for tests that share a host."""
        tables = ["ingestqueue", "exportqueue", "previewqueue", "calcachequeue", "notification", "header", "diskfile", "file", "lab_processed"]
        tables += ["fileopsqueue", "reducequeue"] if self.new else ["queue_error"]
        self._script(
            f"""
            runuser -u fitsdata -- psql -qX -v ON_ERROR_STOP=1 -c 'TRUNCATE {", ".join(tables)} CASCADE' fitsdata
            find {DATAFLOW} {DHS} {" ".join(NET.values())} -type f -delete
            rm -f /var/lib/lab-smtp/messages.jsonl
            truncate --no-create --size=0 {" ".join(WEB_LOGS)} {self.mail_log()}
            """
        )

    def _script(self, text: str) -> None:
        self.host.run(["sh", "-e", "-c", textwrap.dedent(text)], timeout=300.0)


def _quoted(text: str | None) -> str:
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


__all__ = ["ARCHIVE", "CA_CERT", "FitsHost"]
