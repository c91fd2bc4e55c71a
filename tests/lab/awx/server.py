# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API over HTTP. `Awx.objects` is what it has; `Awx.changes` tells every request that was to change something."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from lab.awx import rules
from lab.awx.kinds import KINDS, UNIFIED, Kind
from lab.awx.rules import Refused

API = "/api/v2/"
PAGE = 2
HIDDEN = "$encrypted$"


class Awx:
    """A context: serves from entry to exit. ``playbooks`` are the files that a sync of a project finds."""

    def __init__(self, playbooks: list[str], token: str) -> None:
        self.playbooks, self.token = playbooks, token
        self.objects: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in KINDS}
        self.surveys: dict[int, dict[str, Any]] = {}
        self.links: dict[tuple[int, str], list[int]] = {}
        self.synced: set[int] = set()
        self.changes: list[str] = []
        self.last = 0
        self.lock = threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"awx": self}))
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self) -> Awx:
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.http.shutdown()
        self.http.server_close()

    def named(self, kind: str, name: str) -> dict[str, Any]:
        """The one object of that name (of a node: its identifier)."""
        (found,) = [one for one in self.objects[kind].values() if name in (one.get("name"), one.get("identifier"))]
        return found

    # -- requests ------------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        """Status and body."""
        if method != "GET":
            self.changes.append(f"{method} {path}")
        parts = path.removeprefix(API).strip("/").split("/")
        kind, number, below = parts[0], int(parts[1]) if len(parts) > 1 else None, parts[2] if len(parts) > 2 else None
        if kind == "project_updates":
            self.synced.add(number or 0)
            return 200, {"id": number, "status": "successful", "finished": "now", "failed": False}
        if kind not in KINDS and kind != "unified_job_templates":
            return 404, {"detail": "Not found."}
        if number is None:
            return (200, self.listed(kind, query, path)) if method == "GET" else (201, self.shown(kind, self.create(kind, body)))
        if number not in self.objects.get(kind, {}):
            return 404, {"detail": "Not found."}
        if below:
            return self.below(method, kind, number, below, body, path, query)
        if method == "PATCH":
            self.check(kind, {**self.objects[kind][number], **body}, body, number)
            self.objects[kind][number].update(self.stored(kind, body))
        return (200, self.shown(kind, self.objects[kind][number])) if method in ("GET", "PATCH") else (405, {"detail": "Method not allowed."})

    def listed(self, kind: str, query: Mapping[str, str], path: str) -> dict[str, Any]:
        """One page, as small as can be, so that whoever does not turn pages is found out."""
        kinds = UNIFIED if kind == "unified_job_templates" else (kind,)
        shown = [self.shown(each, one) for each in kinds for one in self.objects[each].values()]
        words = {name: value for name, value in query.items() if name != "page"}
        for name in words:
            if kind in KINDS and name.removeprefix("or__") not in {"id", "type", *KINDS[kind].fields}:
                raise Refused({"detail": f"{KINDS[kind].type} has no field named '{name}'"})
        found = [one for one in shown if all(str(one.get(name)) == value for name, value in words.items() if not name.startswith("or__"))]
        return self.page(found, int(query.get("page", 1)), path, words)

    def page(self, found: list[Any], number: int, path: str, words: Mapping[str, str]) -> dict[str, Any]:
        more = number * PAGE < len(found)
        following = f"{path}?{urlencode({**words, 'page': number + 1})}" if more else None
        return {"count": len(found), "next": following, "previous": None, "results": found[(number - 1) * PAGE : number * PAGE]}

    def below(self, method: str, kind: str, number: int, name: str, body: Any, path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        """A survey, an approval, or an association."""
        if name == "survey_spec" and kind.endswith("job_templates"):
            if method == "POST":
                rules.survey(body)
                self.surveys[number] = body
            return 200, self.surveys.get(number, {})
        if name == "create_approval_template" and method == "POST":
            made = self.create("workflow_approval_templates", body)
            self.objects[kind][number]["unified_job_template"] = made["id"]
            return 201, self.shown("workflow_approval_templates", made)
        if name not in KINDS[kind].links:
            return 404, {"detail": "Not found."}
        members = self.links.setdefault((number, name), [])
        of = KINDS[kind].links[name]
        if method == "GET":
            return 200, self.page([self.shown(of, self.objects[of][member]) for member in members], int(query.get("page", 1)), path, {})
        if body["id"] not in self.objects[of]:
            raise Refused({"detail": f"{of} {body['id']} does not exist."})
        if body.get("disassociate"):
            members.remove(body["id"])
        elif body["id"] not in members:
            members.append(body["id"])
        return 204, None

    # -- objects -------------------------------------------------------------------------------------------------------

    def create(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self.check(kind, {**_defaults(KINDS[kind]), **body}, body, 0)
        self.last += 1
        made = {"id": self.last, **json.loads(json.dumps(_defaults(KINDS[kind]))), **self.stored(kind, body)}
        self.objects[kind][self.last] = made
        return made

    def stored(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in body.items() if name not in KINDS[kind].ignored}

    def check(self, kind: str, whole: Mapping[str, Any], given: Mapping[str, Any], number: int) -> None:
        """Whether AWX would take it."""
        has = KINDS[kind]
        if odd := set(given) - set(has.fields) - set(has.ignored):
            raise Refused({name: ["There is no such field."] for name in odd})
        if missing := [name for name in has.needed if whole.get(name) in (None, "", 0)]:
            raise Refused({name: ["This field is required."] for name in missing})
        for name, value in given.items():
            if name in has.fields and not _typed(has.fields[name], value):
                raise Refused({name: [f"Not a valid value: {value!r}."]})
        for name, of in has.refers.items():
            if whole.get(name) and not self.exists(of, whole[name]):
                raise Refused({name: [f'Invalid pk "{whole[name]}" - object does not exist.']})
        same = [one for one in self.objects[kind].values() if one["id"] != number and all(one.get(name) == whole.get(name) for name in has.unique)]
        if same and "organization" not in has.ignored:
            raise Refused({"__all__": [f"{has.type} with this {' and '.join(has.unique)} already exists."]})
        more: Callable[[Mapping[str, Any]], None] | None = getattr(self, f"_check_{kind}", None)
        if more:
            more(whole)

    def exists(self, of: str, number: Any) -> bool:
        return any(number in self.objects[kind] for kind in ((*UNIFIED, "workflow_approval_templates") if of == "unified_job_templates" else (of,)))

    def shown(self, kind: str, one: Mapping[str, Any]) -> dict[str, Any]:
        """As the API tells it: with links, and without secrets."""
        url = f"{API}{kind}/{one['id']}/"
        told = {**one, "type": KINDS[kind].type, "url": url, "summary_fields": {}, "related": {"survey_spec": f"{url}survey_spec/"}}
        if kind == "job_templates":
            told["organization"] = self.objects["projects"][one["project"]]["organization"]
        if kind == "projects":
            told.update(scm_revision="", summary_fields={"current_update": {"id": one["id"]}})
        if kind == "workflow_job_template_nodes" and one["unified_job_template"] in self.objects["workflow_approval_templates"]:
            told["related"] = {"unified_job_template": f"{API}workflow_approval_templates/{one['unified_job_template']}/"}
        if one.get("notification_configuration", {}).get("password"):
            told["notification_configuration"] = {**one["notification_configuration"], "password": HIDDEN}
        return told

    # -- rules that need other objects ---------------------------------------------------------------------------------

    def _check_credential_types(self, whole: Mapping[str, Any]) -> None:
        rules.credential_type(whole)

    def _check_notification_templates(self, whole: Mapping[str, Any]) -> None:
        rules.notification(whole)

    def _check_job_templates(self, whole: Mapping[str, Any]) -> None:
        if whole["project"] not in self.synced or whole["playbook"] not in self.playbooks:
            raise Refused({"playbook": ["Playbook not found for project."]})
        if whole["inventory"] is None and not whole["ask_inventory_on_launch"]:
            raise Refused({"inventory": ["Job Template must provide 'inventory' or allow prompting for it."]})

    def _check_workflow_job_template_nodes(self, whole: Mapping[str, Any]) -> None:
        self._launch(whole, required=False)

    def _check_schedules(self, whole: Mapping[str, Any]) -> None:
        rules.rrule(whole["rrule"])
        self._launch(whole, required=True)

    def _launch(self, whole: Mapping[str, Any], required: bool) -> None:
        """What is handed to a template must be asked for by it."""
        number = whole["unified_job_template"]
        template = next((self.objects[kind][number] for kind in UNIFIED if number in self.objects[kind]), {})
        spec = self.surveys.get(number, {}).get("spec", []) if template.get("survey_enabled") else []
        rules.answers(spec, whole["extra_data"], required)
        if not template.get("ask_variables_on_launch") and (odd := set(whole["extra_data"]) - {item["variable"] for item in spec}):
            raise Refused({"extra_data": [f"Variables {', '.join(sorted(odd))} are not allowed on launch."]})
        for name in ("inventory", "limit", "job_type", "job_slice_count", "diff_mode"):
            if whole.get(name) is not None and not template.get(f"ask_{name}_on_launch"):
                raise Refused({name: ["Field is not configured to prompt on launch."]})


def _defaults(kind: Kind) -> dict[str, Any]:
    return {
        name: value or None if isinstance(value, int) and not isinstance(value, bool) and name in kind.refers else value for name, value in kind.fields.items()
    }


def _typed(default: Any, value: Any) -> bool:
    """As the default of the field; one that may be null may be anything."""
    return default is None or value is None or (isinstance(value, type(default)) and isinstance(value, bool) == isinstance(default, bool))


class Handler(BaseHTTPRequestHandler):
    """One request."""

    awx: Awx
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length) if length else b""
        url = urlsplit(self.path)
        if self.headers.get("Authorization") != f"Bearer {self.awx.token}":
            return self._reply(401, {"detail": "Authentication credentials were not provided."})
        if not re.match(API, url.path):
            return self._reply(404, {"detail": "Not found."})
        body = json.loads(raw) if raw and self.command != "GET" else {}
        try:
            with self.awx.lock:
                status, told = self.awx.answer(self.command, url.path, dict(parse_qsl(url.query)), body)
        except Refused as refused:
            status, told = 400, refused.body
        return self._reply(status, told)

    do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815  the names that the server looks for

    def _reply(self, status: int, told: Any) -> None:
        data = b"" if told is None else json.dumps(told).encode()
        self.send_response(status)
        for name, value in (
            ("Content-Type", "application/json"),
            ("Content-Length", len(data)),
            ("X-API-Product-Name", "AWX"),
            ("X-API-Product-Version", "24.6.1"),
        ):
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the name is the base class's
        pass
