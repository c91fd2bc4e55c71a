# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A FITS Storage installation below a directory of its own, so that several can live on one machine.

    root = install(tmp_path, "C", server.dsn("fitsdata", user="fitsdata"))

Below the root everything is where upstream has it: opt/FitsStorage/fits_storage/scripts, data/logs, data/locks (C),
sci/dataflow, etc/fitsstorage.conf (A, B) or opt/FitsStorageConfigurations/fits_storage.conf (C). With root `/` (in a
container) that is exactly upstream's layout.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

HERE = Path(__file__).parent
IGNORED = shutil.ignore_patterns("__pycache__")

# The first line that upstream's scripts have: argv must be what it is in production.
SHEBANG = "#!/usr/bin/env python3\n"

# Scripts that a generation does not have.
_OLD = frozenset({"YouGotDataEmail.py", "api_backend.py"})
_NEW = frozenset({"queue_monitor.py", "send_new_data_notification_emails.py", "service_fileops_queue.py"})
NOT_IN = {"A": _NEW, "B": _NEW, "C": _OLD}


@dataclass(frozen=True)
class Root:
    """Where things are."""

    path: Path

    @property
    def generation(self) -> str:
        """A, B or C."""
        return str(self.marker()["generation"])

    @property
    def python_path(self) -> Path:
        """What PYTHONPATH must hold; without it every script ends in ModuleNotFoundError, as upstream's do."""
        return self.path / "opt" / "FitsStorage"

    @property
    def scripts(self) -> Path:
        """The directory of the scripts."""
        return self.python_path / "fits_storage" / "scripts"

    @property
    def log_dir(self) -> Path:
        """Log files; for A and B the lock files too."""
        return self.path / "data" / "logs"

    @property
    def lock_dir(self) -> Path:
        """Lock files."""
        return self.path / "data" / ("locks" if self.generation == "C" else "logs")

    @property
    def dataflow(self) -> Path:
        """The storage root with the FITS files."""
        return self.path / "sci" / "dataflow"

    @property
    def workers_json(self) -> Path:
        """The worker processes that belong to this root."""
        return self.path / "workers.json"

    @property
    def _fail_file(self) -> Path:
        return self.path / "data" / "fail"

    @property
    def _marker_file(self) -> Path:
        return self.python_path / "lab.json"

    def marker(self) -> dict[str, Any]:
        """Generation, python, environment and behaviour of the stand-ins."""
        loaded: dict[str, Any] = json.loads(self._marker_file.read_text(encoding="utf-8"))
        return loaded

    def configure(self, **behaviour: Any) -> None:
        """Change work, idle, error_sleep, strict or fail for processes that start from now on."""
        marker = self.marker()
        marker["behaviour"].update(behaviour)
        self._marker_file.write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")

    def fail(self, pattern: str, kind: str = "error", text: str = "") -> None:
        """From now on, files whose name matches fail; see `standin.failures` for the kinds."""
        with open(self._fail_file, "a", encoding="utf-8") as handle:
            handle.write(f"{pattern} {kind} {text}".rstrip() + "\n")

    def heal(self) -> None:
        """No file fails any more."""
        self._fail_file.unlink(missing_ok=True)

    def environment(self) -> dict[str, str]:
        """The environment in which upstream's units and runbook run a script."""
        marker = self.marker()
        python = Path(marker["python"])
        base = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "FITS_", "LAB_"))}
        base.update(marker["environment"])
        base["PYTHONPATH"] = str(self.python_path)
        base["PATH"] = f"{python.parent}:{base.get('PATH', '/usr/bin:/bin')}"
        base["PYTHONDONTWRITEBYTECODE"] = "1"
        return base

    def command(self, script: str, *arguments: str) -> list[str]:
        """The argument list that runs a script, as the units have it: through python3 (A, B) or directly (C)."""
        path = str(self.scripts / script)
        return [path, *arguments] if self.generation == "C" else [self.marker()["python"], path, *arguments]

    def write_file(self, name: str, content: bytes = b"SIMPLE  =                    T", path: str = "") -> Path:
        """A file in dataflow, padded to FITS blocks and old enough not to be deferred."""
        target = self.dataflow / path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.ljust(2880))
        os.utime(target, (1_600_000_000, 1_600_000_000))
        return target


def install(
    path: str | os.PathLike[str],
    generation: str,
    dsn: str,
    *,
    destinations: tuple[str, ...] = (),
    defer: float = 0,
    timezone: str | None = None,
    python: str | None = None,
    config: Mapping[str, object] | None = None,
    **behaviour: Any,
) -> Root:
    """Install scripts, configuration and directories below `path`; installing again replaces them.

    `dsn` is a URL as `Postgres.dsn()` gives it, `config` are further lines of the configuration file. `behaviour`: work,
    idle, error_sleep, strict, fail ... (see `standin.settings`). `timezone` is that of the service processes, which upstream's naive local times depend on.
    """
    root = Root(Path(path).absolute())
    package = root.python_path / "fits_storage"
    for directory in ("data/logs", "data/locks", "sci/dataflow", "etc", "opt/FitsStorageConfigurations"):
        (root.path / directory).mkdir(parents=True, exist_ok=True)
    shutil.copytree(HERE / "opt" / "FitsStorage", root.python_path, dirs_exist_ok=True, ignore=IGNORED)
    shutil.copytree(HERE / "standin", package / "standin", dirs_exist_ok=True, ignore=IGNORED)
    (package / "__init__.py").touch()
    for script in root.scripts.glob("*.py"):
        if script.name in NOT_IN[generation]:
            script.unlink()
            continue
        script.write_text(SHEBANG + script.read_text(encoding="utf-8"), encoding="utf-8")
        script.chmod(0o755)
    environment = {"TZ": timezone} if timezone else {}
    if generation == "C":
        _write_new_configuration(root, dsn, destinations, defer, config or {})
    else:
        environment |= _write_old_configuration(root, dsn, destinations, defer, config or {})
    marker = {
        "generation": generation,
        "python": python or _python3(),
        "environment": environment,
        "behaviour": behaviour,
    }
    root._marker_file.write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
    return root


def _python3() -> str:
    named = Path(sys.executable).with_name("python3")
    return str(named if named.exists() else sys.executable)


def _lines(config: Mapping[str, object]) -> str:
    return "".join(f"{name} = {value}\n" for name, value in config.items())


def _write_new_configuration(root: Root, dsn: str, destinations: tuple[str, ...], defer: float, config: Mapping[str, object]) -> None:
    text = f"""[DEFAULT]
database_url = {dsn}
storage_root = {root.dataflow}
log_dir = {root.log_dir}
lockfile_dir = {root.path / "data" / "locks"}
export_destinations = {list(destinations)!r}
defer_threshold = {defer}
is_server = True
""" + _lines(config)
    target = root.path / "opt" / "FitsStorageConfigurations" / "fits_storage.conf"
    target.write_text(text, encoding="utf-8")


def _write_old_configuration(root: Root, dsn: str, destinations: tuple[str, ...], defer: float, config: Mapping[str, object]) -> dict[str, str]:
    """A and B know a server and a database only; the rest is libpq's environment."""
    parts = urlsplit(dsn)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    text = f"""[FitsStorage]
fits_db_name = {parts.path.lstrip("/")}
fits_db_server = {parts.hostname or ""}
storage_root = {root.dataflow}
fits_log_dir = {root.log_dir}
fits_lockfile_dir = {root.log_dir}
export_destinations = {",".join(destinations)}
defer_seconds = {defer}
""" + _lines(config)
    (root.path / "etc" / "fitsstorage.conf").write_text(text, encoding="utf-8")
    port = str(parts.port or query.get("port", ""))
    wanted = {"PGHOST": query.get("host"), "PGPORT": port, "PGUSER": parts.username, "PGPASSWORD": parts.password}
    return {name: unquote(value) for name, value in wanted.items() if value}
