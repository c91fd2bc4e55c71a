# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of one FITS Storage root, read the way its generation reads it.

The marker `opt/FitsStorage/lab.json` tells the generation and how the stand-in shall behave; any of its `behaviour` may
be overridden by an environment variable LAB_<NAME>.
"""

from __future__ import annotations

import ast
import configparser
import json
import os
import time
from dataclasses import dataclass, field
from typing import Any

BEHAVIOUR: dict[str, Any] = {
    "work": 0.0,  # seconds per file
    "idle": 2.0,  # seconds between two looks at an empty queue
    "error_sleep": 5.0,  # A/B export: pause after an exception
    "strict": False,  # True: files must be on disk, and exported ones in diskfile
    "fail": "",  # rules as in the file `data/fail`, parted by semicolons
    "real": False,  # True: FITS headers are read, and exported files go over HTTP
    "scan": 5.0,  # seconds between two looks at the DHS directory
    "visitor_scan": 0.0,  # the same for visiting instruments; 0: as upstream, 300 (A, B) or 3600 (C)
    "archive_url": "https://archive.gemini.edu",  # written into upstream's mail script
}


@dataclass
class Settings:
    """What a script knows after start-up."""

    root: str
    generation: str
    database: str | None  # a libpq string; None: C's in-memory sqlite, that is: nothing at all
    storage_root: str
    log_dir: str
    lockfile_dir: str
    export_destinations: list[str]
    defer: float
    work: float = 0.0
    idle: float = 2.0
    error_sleep: float = 5.0
    strict: bool = False
    fail: str = ""
    real: bool = False
    scan: float = 5.0
    visitor_scan: float = 0.0
    archive_url: str = ""
    dhs_perm: str = "/sci/dhs"
    min_dhs_age: float = 5.0
    upload_staging: str = ""
    smtp_server: str = ""
    email_from: str = ""
    fits_server_name: str = ""
    config_files: list[str] = field(default_factory=list)

    @property
    def fail_file(self) -> str:
        """The control file that makes files fail; see `failures`."""
        return os.path.join(self.root, "data", "fail")


def root_of(script: str) -> str:
    """<root>/opt/FitsStorage/fits_storage/scripts/<script> -> <root>."""
    path = os.path.abspath(script)
    for _level in range(5):
        path = os.path.dirname(path)
    return path


def load(script: str) -> Settings:
    """Read marker, configuration files and environment."""
    root = root_of(script)
    with open(os.path.join(root, "opt", "FitsStorage", "lab.json"), encoding="utf-8") as handle:
        marker = json.load(handle)
    for name, value in marker.get("environment", {}).items():
        os.environ.setdefault(name, value)
    time.tzset()
    settings = _load_new(root) if marker["generation"] == "C" else _load_old(root, marker["generation"])
    for name, default in BEHAVIOUR.items():
        value = os.environ.get("LAB_" + name.upper(), marker.get("behaviour", {}).get(name, default))
        setattr(settings, name, _convert(value, default))
    return settings


def _convert(value: Any, like: Any) -> Any:
    if isinstance(like, bool):
        return str(value).lower() in ("1", "true", "yes")
    return type(like)(value)


def _load_old(root: str, generation: str) -> Settings:
    """A and B: environment, then /etc/fitsstorage.conf, then a default."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(os.path.join(root, "etc", "fitsstorage.conf"))
    section = parser["FitsStorage"] if parser.has_section("FitsStorage") else {}

    def look_up(name: str, default: str) -> str:
        return os.environ.get(name) or section.get(name.lower(), default)

    server, name = look_up("FITS_DB_SERVER", ""), look_up("FITS_DB_NAME", "fitsdata")
    destinations = look_up("EXPORT_DESTINATIONS", "").strip()
    return Settings(
        root=root,
        generation=generation,
        database=f"postgresql://{server}/{name}",
        storage_root=look_up("STORAGE_ROOT", "/sci/dataflow"),
        log_dir=look_up("FITS_LOG_DIR", "/data/logs/"),
        lockfile_dir=look_up("FITS_LOCKFILE_DIR", "/data/logs"),
        export_destinations=destinations.split(",") if destinations else [],
        defer=float(look_up("DEFER_SECONDS", "4")),
        dhs_perm=look_up("DHS_PERM", "/sci/dhs"),
        min_dhs_age=float(look_up("MIN_DHS_AGE_SECONDS", "15")),
        upload_staging=look_up("UPLOAD_STAGING_PATH", ""),
        smtp_server=look_up("SMTP_SERVER", ""),
        email_from="fitsdata@example.org",
        fits_server_name=look_up("FITS_SERVERNAME", ""),
    )


def _load_new(root: str) -> Settings:
    """C: ini files, later ones win, then two environment variables. A file that cannot be read is skipped silently."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_dict(
        {
            "DEFAULT": {
                "storage_root": ".",
                "database_url": "sqlite:///:memory:",
                "log_dir": "",
                "lockfile_dir": "",
                "export_destinations": "",
                "defer_threshold": "5",
                "dhs_perm": "",
                "min_dhs_age_seconds": "5",
                "upload_staging_dir": ".",
                "smtp_server": "",
                "email_from": "",
                "fits_server_name": "",
            }
        }
    )
    places = [
        os.path.join(root, "opt/FitsStorageConfigurations/fits_storage.conf"),
        os.path.join(root, "etc/fits_storage.conf"),
        os.path.expanduser("~/.fits_storage.conf"),
    ]
    used = parser.read(places)
    host = os.uname().nodename
    names = [name for name in (host, host.split(".")[0]) if parser.has_section(name)]
    section = parser[names[0]] if names else parser["DEFAULT"]
    database = os.environ.get("FITS_STORAGE_DB_URL", section["database_url"])
    destinations = section["export_destinations"].strip()
    return Settings(
        root=root,
        generation="C",
        database=None if database.startswith("sqlite:") else database,
        storage_root=os.environ.get("FITS_STORAGE_ROOT", section["storage_root"]),
        log_dir=section["log_dir"],
        lockfile_dir=section["lockfile_dir"],
        export_destinations=ast.literal_eval(destinations) if destinations else [],
        defer=float(section["defer_threshold"]),
        dhs_perm=section["dhs_perm"],
        min_dhs_age=float(section["min_dhs_age_seconds"]),
        upload_staging=section["upload_staging_dir"],
        smtp_server=section["smtp_server"],
        email_from=section["email_from"],
        fits_server_name=section["fits_server_name"],
        config_files=used,
    )
