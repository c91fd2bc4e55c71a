# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of jobs, kept out of whatever is shown of them: metadata, environment, log lines, command lines.

Upstream hides the environment when it files a job away, but not when a job is killed: the metadata of a killed database job holds
``DATABASE_URL`` in clear (job-runner ``cli/kill_job.py``). So nothing is shown that was not looked through here.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, List, Mapping, Set, Tuple
from urllib.parse import unquote

SAFE_VARIABLES = frozenset(
    (
        *("PATH", "PYTHON_VERSION", "DEBIAN_FRONTEND", "DEBCONF_NONINTERACTIVE_SEEN", "UBUNTU_VERSION", "PYENV_SHELL", "PYENV_VERSION"),
        *("PYTHONUNBUFFERED", "OPENSAFELY_BACKEND", "TZ", "TEMP_DATABASE_NAME", "PYTHONPATH", "container", "LANG", "LC_ALL"),
    )
)
"""Variables of a job's container that may be shown, as upstream has them (``executors/local.py``)."""
HIDDEN = "********"
SHORTEST = 6
"""Shorter values are no secrets; to hide them would garble ordinary words."""
_URL = re.compile(r"\b(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30}://)(?P<user>[^\s/@:]*)(?P<rest>:[^\s@]*(?:@[^\s@/]*(?=@))*|)@")
_NAMES = r"(?:TOKEN|PASSWORD|PASSWD|SECRET|DATABASE_URL|API_KEY|PRIVATE_KEY|LICENSE|CREDENTIALS?)"
_ASSIGNED = re.compile(r"(?P<name>\b[A-Z0-9_]{0,40}" + _NAMES + r"[A-Z0-9_]{0,40})(?P<sign>=|: ?)(?P<value>[^\s'\",}]+)")
_SAID = re.compile(r"(?i)(?P<name>\b(?:password|passwd|pwd|token|secret|api[_-]?key)\s*=\s*['\"]?)(?P<value>[^\s'\",}&]+)")
_AUTHORIZATION = re.compile(r"(?i)(?P<name>\bauthorization['\"]?\s*[:=]\s*['\"]?(?:(?:bearer|basic|token)\s+)?)(?P<value>[^\s'\",}]+)")
_PATH = re.compile(r"(?:/[A-Za-z0-9._-]{0,20})+")
_REDACTED = "REDACTED"
_TOKEN = re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})")


class Scrubber:
    """Takes secrets out of text: values that are known, passwords in URLs, what follows names of secrets, tokens by their look."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.known: Tuple[str, ...] = ()
        self._seen: Set[str] = set()
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """More values, with the passwords in those that are URLs, as they are written and as they are meant."""
        for secret in secrets:
            for part in (secret, *_parts(secret)):
                if len(part.strip()) >= SHORTEST:
                    self._seen.add(part)
        self.known = tuple(sorted(self._seen, key=lambda each: (-len(each), each)))

    def text(self, text: str) -> str:
        for secret in self.known:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        text = _URL.sub(r"\g<scheme>%s@" % HIDDEN, text)
        text = _ASSIGNED.sub(r"\g<name>\g<sign>%s" % HIDDEN, text)
        text = _SAID.sub(r"\g<name>%s" % HIDDEN, text)
        text = _AUTHORIZATION.sub(r"\g<name>%s" % HIDDEN, text)
        return _TOKEN.sub(HIDDEN, text)

    def value(self, value: Any) -> Any:
        """The same in every text of a value as JSON has it."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(each) for each in value]
        return value


def environment_secrets(environment: Iterable[str]) -> List[str]:
    """Values of a container's environment that may not be shown; a plain path is none, or every line of a log would be garbled."""
    pairs = (line.partition("=") for line in environment)
    return [value for name, _sign, value in pairs if name not in SAFE_VARIABLES and not _PATH.fullmatch(value) and _REDACTED not in value]


def redacted_environment(environment: Iterable[str], scrubber: Scrubber) -> List[str]:
    """Names all, values only of those that upstream shows as well."""
    pairs = (line.partition("=") for line in environment)
    return ["%s=%s" % (name, scrubber.text(value) if name in SAFE_VARIABLES else HIDDEN) for name, _sign, value in pairs]


def redacted_container(inspected: Mapping[str, Any], scrubber: Scrubber) -> Dict[str, Any]:
    """What the engine tells of a container, without secrets; the scrubber learns them for what follows."""
    config = inspected.get("Config")
    environment = [str(line) for line in ((config.get("Env") if isinstance(config, Mapping) else None) or ())]
    scrubber.learn(environment_secrets(environment))
    shown: Dict[str, Any] = scrubber.value({key: value for key, value in inspected.items() if key != "Config"})
    if isinstance(config, Mapping):
        rest = scrubber.value({key: value for key, value in config.items() if key != "Env"})
        shown["Config"] = dict(rest, Env=redacted_environment(environment, scrubber))
    return shown


def redacted_metadata(metadata: Mapping[str, Any], scrubber: Scrubber) -> Dict[str, Any]:
    """A job's ``metadata.json`` without secrets, whoever wrote it."""
    container = metadata.get("container_metadata")
    shown = redacted_container(container, scrubber) if isinstance(container, Mapping) else None
    rest: Dict[str, Any] = scrubber.value({key: value for key, value in metadata.items() if key != "container_metadata"})
    return dict(rest, container_metadata=shown) if "container_metadata" in metadata else rest


def leaked(metadata: Mapping[str, Any]) -> List[str]:
    """Names of variables whose values lie in a ``metadata.json`` in clear."""
    container = metadata.get("container_metadata")
    config = container.get("Config") if isinstance(container, Mapping) else None
    environment = (config.get("Env") if isinstance(config, Mapping) else None) or ()
    pairs = (str(line).partition("=") for line in environment)
    return sorted(name for name, _sign, value in pairs if name not in SAFE_VARIABLES and value and value != HIDDEN and _REDACTED not in value)


def _parts(secret: str) -> List[str]:
    """The password in a URL, as it is written and as it is meant."""
    scheme, sign, rest = secret.partition("://")
    authority, at, _host = rest.rpartition("@")
    if not sign or not at or not scheme:
        return []
    password = authority.partition(":")[2] or authority
    return [password, unquote(password)]
