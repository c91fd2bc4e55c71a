# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker: one client per module run, answers as plain values, errors that a person can act on.

The library ``docker`` is looked for when it is needed, so that the modules can be imported and documented without it. What is not there is
no error but an answer; an engine that is away is one, since nothing is known then.
"""

from __future__ import annotations

import calendar
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

DEFAULT_HOST = "unix:///var/run/docker.sock"
UNNAMED = ".new"
"""How the name of a container ends that was being started when something was cut off."""
_NOT_RUNNING = 409
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z")


class DockerError(Exception):
    """The engine refused, or could not be asked."""


class EngineAway(DockerError):
    """No engine answers: nothing is known of any container."""


@dataclass(frozen=True)
class Usage:
    """What one container uses. ``cpus`` is in processors: 1.5 is one and a half of them; memory in bytes, without what is only cache."""

    cpus: float
    memory: int
    limit: Optional[int]


class Docker:
    """The engine at ``docker_host``, asked through one connection. Time-outs are in seconds."""

    def __init__(self, docker_host: str = DEFAULT_HOST, timeout: float = 30.0) -> None:
        self.docker_host = docker_host
        self.timeout = timeout
        self._client: Any = None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def limit(self, seconds: float) -> None:
        """How long each further question may take; a stop or a restart takes its own time-out in addition."""
        self.timeout = seconds
        if self._client is not None:
            self._client.timeout = seconds

    @property
    def api(self) -> Any:
        """The library's own client, for what is not here; call it within ``errors()``."""
        if self._client is None:
            self._client = self._connect()
        return self._client

    def containers(self, filters: Optional[Mapping[str, Any]] = None) -> List[Dict[str, Any]]:
        """Running and ended ones, as ``GET /containers/json`` gives them."""
        with self.errors("list containers"):
            found: List[Dict[str, Any]] = self.api.containers(all=True, filters=dict(filters or {}))
            return found

    def inspect(self, name: str) -> Optional[Dict[str, Any]]:
        """One container by its whole name or id; None when there is none."""
        found: Optional[Dict[str, Any]] = self.maybe("inspect container %s" % name, lambda: self.api.inspect_container(name))
        return found

    def volumes(self, filters: Optional[Mapping[str, Any]] = None) -> List[Dict[str, Any]]:
        with self.errors("list volumes"):
            found: List[Dict[str, Any]] = self.api.volumes(filters=dict(filters or {}))["Volumes"] or []
            return found

    def volume(self, name: str) -> Optional[Dict[str, Any]]:
        found: Optional[Dict[str, Any]] = self.maybe("inspect volume %s" % name, lambda: self.api.inspect_volume(name))
        return found

    def kill(self, name: str, signum: Optional[int] = None) -> bool:
        """Whether a running container was killed, or its first process was sent another signal; False when it had ended or is not there."""
        with self.errors("kill container %s" % name):
            return self.told(lambda: self.api.kill(name, signal=signum), (404, _NOT_RUNNING))

    def restart(self, name: str, stop_timeout: int = 10) -> None:
        """Stop a container, kill what has not ended after ``stop_timeout`` seconds, and start it. Without one there is an error."""
        with self.errors("restart container %s" % name):
            self.api.restart(name, timeout=stop_timeout)

    def stop(self, name: str, stop_timeout: int = 10) -> bool:
        """Whether a running container was stopped, killed after ``stop_timeout`` seconds; False when it had ended or is not there."""
        with self.errors("stop container %s" % name):
            before = self.inspect(name)
            return self.told(lambda: self.api.stop(name, timeout=stop_timeout), (404,)) and bool(before and before["State"]["Running"])

    def start_again(self, name: str) -> None:
        """Start a container that is there and does not run; one that runs is left alone."""
        with self.errors("start container %s" % name):
            self.api.start(name)

    def create(self, name: str, config: Mapping[str, Any]) -> str:
        """The id of a new container that does not run yet, from the engine's own kind of configuration."""
        with self.errors("create container %s" % name):
            return str(self.api.create_container_from_config(dict(config), name)["Id"])

    def rename(self, name: str, new: str) -> None:
        with self.errors("rename container %s to %s" % (name, new)):
            self.api.rename(name, new)

    def remove(self, name: str) -> bool:
        """Remove a container, running or not; False when there was none."""
        with self.errors("remove container %s" % name):
            return self.told(lambda: self.api.remove_container(name, force=True), (404,))

    def remove_volume(self, name: str) -> bool:
        """Remove a volume that no container uses; False when there was none."""
        with self.errors("remove volume %s" % name):
            return self.told(lambda: self.api.remove_volume(name), (404,))

    def logs(self, name: str, tail: int = 1000, since: Optional[float] = None, timestamps: bool = True) -> bytes:
        """Both streams of a container, the last ``tail`` lines, in the order in which they came. ``since`` is cut to whole seconds."""
        with self.errors("read the log of container %s" % name):
            whole = int(since) if since else None  # older libraries take no fractions
            text: bytes = self.api.logs(name, stdout=True, stderr=True, timestamps=timestamps, tail=tail, since=whole)
            return text

    def usage(self, names: Sequence[str], interval: float = 1.0) -> Dict[str, Usage]:
        """Processor and memory of running containers; two short looks, ``interval`` seconds apart, for all of them together.

        One that ends meanwhile is left out.
        """
        first = {name: self._stats(name) for name in names}
        if any(first.values()):
            time.sleep(interval)
        pairs = ((name, seen, self._stats(name)) for name, seen in first.items() if seen)
        used = ((name, usage_between(seen, now)) for name, seen, now in pairs if now)
        return {name: usage for name, usage in used if usage is not None}

    def _stats(self, name: str) -> Optional[Mapping[str, Any]]:
        found: Optional[Mapping[str, Any]] = self.maybe("measure container %s" % name, lambda: self._one_shot(name))
        return found

    def _one_shot(self, name: str) -> Any:
        """Without waiting for a second measurement, where library (5) and engine (20.10) can do that."""
        _docker, errors = _library()
        try:
            return self.api.stats(name, stream=False, one_shot=True)
        except (TypeError, errors.InvalidVersion):
            return self.api.stats(name, stream=False)

    def start(self, name: str, config: Mapping[str, Any]) -> None:
        """Create a container from the engine's own kind of configuration (``POST /containers/create``) and start it.

        It gets its name when it runs: under the name there is a running container, or none, whenever this is cut off.
        """
        unnamed = name + UNNAMED
        self.remove(unnamed)
        with self.errors("create container %s" % name):
            created = self.api.create_container_from_config(dict(config), unnamed)["Id"]
            try:
                self.api.start(created)
                self.api.rename(created, name)
            except Exception:
                self.told(lambda: self.api.remove_container(created, force=True), (404, _NOT_RUNNING))
                raise

    def written(self, name: str) -> List[str]:
        """Paths that a container wrote outside its volumes."""
        with self.errors("see what container %s wrote" % name):
            return sorted(row["Path"] for row in self.api.diff(name) or [])

    def info(self) -> Dict[str, Any]:
        """The engine: version, root directory, storage driver, what it warns of."""
        with self.errors("describe itself"):
            found: Dict[str, Any] = self.api.info()
            return found

    def version(self) -> Dict[str, Any]:
        with self.errors("ask for its version"):
            found: Dict[str, Any] = self.api.version()
            return found

    def _connect(self) -> Any:
        docker, _errors = _library()
        with self.errors("connect"):
            return docker.APIClient(base_url=self.docker_host, version="auto", timeout=self.timeout)

    def maybe(self, what: str, ask: Any) -> Any:
        """An answer, or None where the engine says that there is no such thing."""
        _docker, errors = _library()
        with self.errors(what):
            try:
                return ask()
            except errors.NotFound:
                return None

    @staticmethod
    def told(do: Any, fine: Sequence[int]) -> bool:
        """Whether something was done; False where the engine refused with one of these codes, since there was nothing to do."""
        _docker, errors = _library()
        try:
            do()
        except errors.APIError as exc:
            if exc.status_code in fine and "in progress" not in str(exc.explanation):
                return False
            raise
        return True

    @contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Turn what the library raises into one sentence."""
        _docker, errors = _library()
        import requests  # noqa: PLC0415  it came with the library

        try:
            yield
        except errors.APIError as exc:
            raise DockerError("the engine at %s refused to %s: %s" % (self.docker_host, what, exc.explanation or exc)) from exc
        except (requests.exceptions.RequestException, errors.DockerException, OSError) as exc:
            raise EngineAway("no engine answers at %s (asked to %s): %s" % (self.docker_host, what, _reason(exc))) from exc


def usage_between(first: Mapping[str, Any], second: Mapping[str, Any]) -> Optional[Usage]:
    """From two answers of ``GET /containers/ID/stats``; None for a container that does not run."""
    memory = second.get("memory_stats") or {}
    used = [(stats.get("cpu_stats") or {}).get("cpu_usage", {}).get("total_usage") for stats in (first, second)]
    then, now = (timestamp(str(stats.get("read", ""))) for stats in (first, second))
    if "usage" not in memory or None in used or then is None or now is None or now <= then:
        return None
    parts = memory.get("stats") or {}
    cache = parts.get("inactive_file", parts.get("total_inactive_file", 0))  # control groups of version 2, and of 1
    cpus = max(0, used[1] - used[0]) / 1e9 / (now - then)
    return Usage(round(cpus, 3), max(0, memory["usage"] - cache), memory.get("limit"))


def timestamp(text: str) -> Optional[float]:
    """Seconds since the epoch from a time as Docker writes it, with nanoseconds and in UTC; None where it says never, or nothing."""
    match = _TIME.match(text)
    if match is None or text.startswith("0001-"):
        return None
    try:
        return calendar.timegm(time.strptime(match.group(1), "%Y-%m-%dT%H:%M:%S")) + float(match.group(2) or 0)
    except ValueError:  # the 99th of a month: a log may say anything
        return None


def _library() -> Tuple[Any, Any]:
    try:
        import docker  # noqa: PLC0415  slow to import, and not on every node
        import docker.errors  # noqa: PLC0415
    except ImportError as exc:
        raise DockerError("the Python library docker is missing on this node (Debian and Ubuntu: python3-docker): %s" % exc) from exc
    return docker, docker.errors


def _reason(exc: BaseException) -> str:
    """The innermost cause, in one line."""
    while exc.__context__ is not None or (exc.args and isinstance(exc.args[0], BaseException)):
        exc = exc.__context__ if exc.__context__ is not None else exc.args[0]
    return " ".join(str(exc).split()) or type(exc).__name__
