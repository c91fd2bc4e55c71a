# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker: one client per module run, answers as plain values, errors that a person can act on.

The library ``docker`` is looked for when it is needed, so that the modules can be imported and documented without it. What is not there is
no error but an answer; an engine that is away is one, since nothing is known then.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

DEFAULT_HOST = "unix:///var/run/docker.sock"
_NOT_RUNNING = 409


class DockerError(Exception):
    """The engine refused, or could not be asked."""


class EngineAway(DockerError):
    """No engine answers: nothing is known of any container."""


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
        found: Optional[Dict[str, Any]] = self._maybe("inspect container %s" % name, lambda: self.api.inspect_container(name))
        return found

    def volumes(self, filters: Optional[Mapping[str, Any]] = None) -> List[Dict[str, Any]]:
        with self.errors("list volumes"):
            found: List[Dict[str, Any]] = self.api.volumes(filters=dict(filters or {}))["Volumes"] or []
            return found

    def volume(self, name: str) -> Optional[Dict[str, Any]]:
        found: Optional[Dict[str, Any]] = self._maybe("inspect volume %s" % name, lambda: self.api.inspect_volume(name))
        return found

    def kill(self, name: str) -> bool:
        """Whether a running container was killed; False when it had ended or is not there."""
        with self.errors("kill container %s" % name):
            return self._told(lambda: self.api.kill(name), (404, _NOT_RUNNING))

    def remove(self, name: str) -> bool:
        """Remove a container, running or not; False when there was none."""
        with self.errors("remove container %s" % name):
            return self._told(lambda: self.api.remove_container(name, force=True), (404,))

    def remove_volume(self, name: str) -> bool:
        """Remove a volume that no container uses; False when there was none."""
        with self.errors("remove volume %s" % name):
            return self._told(lambda: self.api.remove_volume(name), (404,))

    def logs(self, name: str, tail: int = 1000, since: Optional[float] = None, timestamps: bool = True) -> bytes:
        """Both streams of a container, from the end."""
        with self.errors("read the log of container %s" % name):
            text: bytes = self.api.logs(name, stdout=True, stderr=True, timestamps=timestamps, tail=tail, since=since)
            return text

    def version(self) -> Dict[str, Any]:
        with self.errors("ask for its version"):
            found: Dict[str, Any] = self.api.version()
            return found

    def _connect(self) -> Any:
        docker, _errors = _library()
        with self.errors("connect"):
            return docker.APIClient(base_url=self.docker_host, version="auto", timeout=self.timeout)

    def _maybe(self, what: str, ask: Any) -> Any:
        _docker, errors = _library()
        with self.errors(what):
            try:
                return ask()
            except errors.NotFound:
                return None

    @staticmethod
    def _told(do: Any, fine: Sequence[int]) -> bool:
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
