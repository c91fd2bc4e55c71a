# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test asks a node by its API, in the place of curl."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from lab.sesam.standin import auth

PATIENCE = 60.0
Found = TypeVar("Found")
Self = TypeVar("Self", bound="Client")


class Client:
    """One node's."""

    settings: dict[str, Any]

    def runs(self, pipe: str) -> int:
        """How often a pump has run to its end, as the node keeps it (a second late at most)."""
        raise NotImplementedError

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        return int(self.settings["port"])

    @property
    def url(self) -> str:
        """As a module wants it."""
        return f"{'https' if self.settings['certificate'] else 'http'}://127.0.0.1:{self.port}/api"

    def token(self, *roles: str, lifetime: float = 3600.0) -> str:
        """A token of an administrator, or with these roles; a negative lifetime: one that has expired."""
        return auth.issue(str(self.settings["jwt_key"]), str(self.settings["subscription"]), list(roles or [auth.ADMIN]), lifetime)

    def ask(self, method: str, path: str, body: Any = None, form: Mapping[str, str] | None = None, **options: Any) -> tuple[int, Any]:
        """Status and body (JSON if it is that) of a call to a path below /api, in the place of curl. `roles`, `headers`, `timeout`."""
        headers = {"Accept": "application/json", "Authorization": f"Bearer {self.token(*options.get('roles', ()))}", **options.get("headers", {})}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if form is not None:
            data, headers["Content-Type"] = urlencode(form).encode(), "application/x-www-form-urlencoded"
        status, text = self.send(method, f"/api{path}", data, headers, float(options.get("timeout", PATIENCE)))
        with contextlib.suppress(ValueError):
            return status, json.loads(text)
        return status, text

    def send(self, method: str, path: str, data: bytes | None, headers: Mapping[str, str], timeout: float) -> tuple[int, bytes]:
        """A request as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            connection.request(method, path, data, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()

    def get(self, path: str) -> Any:
        """The body of an answer that must be a good one."""
        status, found = self.ask("GET", path)
        assert status == 200, (path, status, found)
        return found

    def status(self) -> Any:
        """What it says of itself; None while it does not."""
        try:
            status, found = self.ask("GET", "/status", timeout=5)
        except (OSError, http.client.HTTPException):
            return None
        return found if status == 200 else None

    def pipes(self) -> dict[str, Any]:
        """All pipes by id."""
        return {pipe["_id"]: pipe for pipe in self.get("/pipes")}

    def runtime(self, pipe: str) -> Any:
        """What a pump does."""
        return self.get(f"/pipes/{quote(pipe, safe='')}")["runtime"]

    def operate(self, pipe: str, operation: str, **fields: str) -> tuple[int, Any]:
        """An operation on a pump."""
        return self.ask("POST", f"/pipes/{quote(pipe, safe='')}/pump", form={"operation": operation, **fields})

    def config(self, group: str | None = None) -> dict[str, Any]:
        """The entities of a group by id, without what differs in each answer; all groups with "*"."""
        path = "/config-all" if group == "*" else f"/config/{group}" if group else "/config"
        return {entity["_id"]: {key: value for key, value in entity.items() if key != "$audit"} for entity in self.get(path)}

    def metadata(self) -> Any:
        """The node's own entity."""
        return {key: value for key, value in self.get("/metadata").items() if key != "$audit"}

    # -- waiting --------------------------------------------------------------------------------------------------------------

    def wait_for(self, condition: Callable[[], Found], what: str, timeout: float = PATIENCE) -> Found:
        """Wait until a condition gives something true; errors of the connection count as not yet."""
        limit = time.monotonic() + timeout
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                found = condition()
                if found:
                    return found
            if time.monotonic() > limit:
                raise AssertionError(f"waited {timeout:g} s in vain: {what}")
            time.sleep(0.05)

    def wait_up(self: Self, former: str | None = None, timeout: float = PATIENCE) -> Self:
        """Wait until it answers, as another than the one that started at `former`."""

        def up() -> bool:
            found = self.ask("GET", "/status", timeout=5)[1] if not self.settings["certificate"] else {"node_start_time": "?"}
            return isinstance(found, dict) and found.get("node_start_time", former) != former

        self.wait_for(up, "the node answers", timeout)
        return self

    def wait_deployed(self) -> None:
        """Wait until no pipe is being deployed or removed."""
        self.wait_for(lambda: not {pipe["runtime"]["state"] for pipe in self.get("/pipes")} & {"Deploying", "Removing"}, "everything is deployed")

    def wait_runs(self, pipe: str, more: int = 1) -> int:
        """Wait until a pump has run so often again."""
        before = self.runs(pipe)
        return self.wait_for(lambda: self.runs(pipe) if self.runs(pipe) >= before + more else 0, f"{pipe} runs")
