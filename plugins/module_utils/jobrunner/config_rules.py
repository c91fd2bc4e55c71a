# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What job-runner makes of its variables (``jobrunner/config.py`` of 2024-01 and 2024-02): which it reads, and which values keep it from starting. Pure."""

from __future__ import annotations

import difflib
import re
from typing import Callable, Dict, List, Mapping, Optional, Tuple

_BACKEND = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]*[A-Za-z0-9]")
_TRUE = ("true", "1", "yes")
_MEMORY = re.compile(r"\d+(\.\d+)?\s*[bkmgBKMG]?[bB]?")


def _whole(value: str) -> str:
    return "" if _parsed(int, value) else "a whole number"


def _whole_or_empty(value: str) -> str:
    return "" if not value or _parsed(int, value) else "a whole number, or nothing"


def _number(value: str) -> str:
    return "" if _parsed(float, value) else "a number"


def _backend(value: str) -> str:
    return "" if _BACKEND.fullmatch(value) else "at least two letters, digits, _ or -, with a letter or digit at either end"


def _memory(value: str) -> str:
    return "" if _MEMORY.fullmatch(value.strip()) else "an amount of memory as Docker writes it, for example 4G"


def _parsed(convert: Callable[[str], object], value: str) -> bool:
    try:
        convert(value)
    except ValueError:
        return False
    return True


RULES: Dict[str, Callable[[str], str]] = {
    "BACKEND": _backend,
    "DEFAULT_JOB_CPU_COUNT": _number,
    "DEFAULT_JOB_MEMORY_LIMIT": _memory,
    "JOB_LOOP_INTERVAL": _number,
    "LEVEL4_MAX_FILESIZE": _whole,
    "MAINTENANCE_POLL_INTERVAL": _number,
    "MAX_DB_WORKERS": _whole_or_empty,
    "MAX_RETRIES": _whole,
    "MAX_WORKERS": _whole_or_empty,
    "POLL_INTERVAL": _number,
    "STATS_POLL_INTERVAL": _number,
}
"""By variable, what job-runner accepts; anything else is a traceback at its start, or at the start of the first job."""

KNOWN = (
    *RULES,
    *("ALLOWED_GITHUB_ORGS DATABASE_ACCESS_NETWORK DATABASE_IP_LIST DEBUG_LOG_FILE DEFAULT_DATABASE_URL DOCKER_REGISTRY EMIS_ORGANISATION_HASH").split(),
    *("ENABLE_MAINTENANCE_MODE_THREAD EXECUTION_API EXECUTOR FUNTIMES GIT_SHA HIGH_PRIVACY_ARCHIVE_DIR HIGH_PRIVACY_STORAGE_BASE").split(),
    *("HIGH_PRIVACY_VOLUME_DIR INCLUDE_T1OO_DATABASE_URL JOB_SERVER_ENDPOINT JOB_SERVER_TOKEN LOCAL_VOLUME_API LOGLEVEL").split(),
    *("MEDIUM_PRIVACY_STORAGE_BASE OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS OTEL_SERVICE_NAME PRESTO_TLS_CERT_PATH").split(),
    *("PRESTO_TLS_KEY_PATH PRIVATE_REPO_ACCESS_TOKEN PYTHONPATH RELEASE_HOST STATA_LICENSE STATA_LICENSE_REPO TEMP_DATABASE_NAME").split(),
    *("TRACE_LOG_LEVEL USING_DUMMY_DATA_BACKEND VERSION WORKDIR WORKSPACES DOCKER_HOST DOCKER_HOST_VOLUME_DIR DOCKER_USER_ID DOCKER_GROUP_ID").split(),
)
"""Variables that job-runner, its unit or its neighbours on the backend read."""


def wrong_value(name: str, value: str) -> str:
    """What would have been accepted, if job-runner cannot take a value; empty if it can."""
    rule = RULES.get(name)
    return rule(value) if rule else ""


def likely(name: str) -> Optional[List[str]]:
    """None for a variable that something reads; else the names that were perhaps meant."""
    if name in KNOWN or name.startswith("OTEL_"):
        return None
    return difflib.get_close_matches(name.upper(), KNOWN, 3, 0.8)


def wanting(values: Mapping[str, str]) -> List[Tuple[str, str, str]]:
    """Variables that have no value and must have one: name, severity, and what does not work without it."""
    dummy = values.get("USING_DUMMY_DATA_BACKEND", "").lower().strip() in _TRUE
    backend = values.get("BACKEND", "")
    wanted = [
        ("JOB_SERVER_TOKEN", "critical", "job-server refuses every request, so no job arrives and no result is reported"),
        ("PRIVATE_REPO_ACCESS_TOKEN", "warning", "jobs of studies in private repositories fail"),
    ]
    if not dummy:
        wanted.append(("DEFAULT_DATABASE_URL", "critical", "every job that needs the database fails"))
        wanted.append(("DATABASE_IP_LIST", "critical", "no job reaches the database: the network of database jobs lets nothing through"))
    if backend == "tpp" and not dummy:
        wanted.append(("INCLUDE_T1OO_DATABASE_URL", "warning", "jobs that include patients of type one opt-out fail"))
    if backend == "emis":
        wanted.append(("EMIS_ORGANISATION_HASH", "warning", "database jobs on EMIS fail"))
    return [each for each in wanted if not values.get(each[0])]


def contradictions(values: Mapping[str, str]) -> List[Tuple[str, str]]:
    """Variables that keep job-runner from starting by what they are together: names, and why."""
    found = []
    if bool(values.get("PRESTO_TLS_KEY_PATH")) != bool(values.get("PRESTO_TLS_CERT_PATH")):
        found.append(("PRESTO_TLS_KEY_PATH, PRESTO_TLS_CERT_PATH", "only one of the two is set, and job-runner starts with both or neither"))
    if "OTEL_EXPORTER_OTLP_HEADERS" in values and "OTEL_SERVICE_NAME" not in values:
        found.append(("OTEL_SERVICE_NAME", "it is not set, although OTEL_EXPORTER_OTLP_HEADERS is, and job-runner ends at its start for that"))
    return found
