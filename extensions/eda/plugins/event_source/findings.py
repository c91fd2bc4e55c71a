# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What triages find, as events for ansible-rulebook. It runs this file by its path, so everything it needs is in here."""

from __future__ import annotations

import asyncio
import contextlib
import glob
import itertools
import json
import logging
import os
import re
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

DOCUMENTATION = r"""
---
short_description: Findings of fieldops.runbooks as events
description:
  - Reads the JSON reports that the callback P(fieldops.runbooks.summary#callback) writes, or runs the triage itself, or both.
  - Tells each finding once when it begins to stand, once when its severity becomes another one, and once when it is cleared.
    After a start of ansible-rulebook, what stands is told once more.
  - A finding is cleared by a report that says so, and by a report of the same check on the same host that no longer has it. A report that is deleted,
    that is of other hosts, or whose check failed or found the host unreachable, clears nothing.
  - A report that is half written or no report at all is read again until it is one; it is complained of once in the log. Reports that are older than
    what is already known of a check on a host, those of C(diagnose), which tell of another day, and those older than O(max_age) tell nothing.
  - Every event has C(meta.hosts), so that an action is limited to the host that was found at fault. Hosts whose names are patterns or groups to C(--limit)
    get no event.
version_added: 1.0.0
options:
  reports:
    description:
      - Files, directories or glob patterns. Of a directory, its files C(*.json).
      - Required without O(look_every).
    type: list
    elements: path
  delay:
    description: Seconds between two looks at O(reports).
    type: float
    default: 5
  look_every:
    description:
      - Run the playbook C(fieldops.runbooks.triage) when the plugin starts, and again so many seconds after each run has ended. At least 10.
      - Required without O(reports).
    type: float
  look_timeout:
    description: Seconds after which such a run is ended.
    type: float
    default: 3600
  inventory:
    description: The inventories of these runs. Required with O(look_every).
    type: list
    elements: path
  limit:
    description: Hosts of these runs, as C(ansible-playbook --limit) takes them.
    type: str
  severity:
    description: Findings that are less bad than this are no events.
    type: str
    choices: [critical, warning, info]
    default: warning
  mend:
    description:
      - Codes of findings that may be mended without a person. Exact ones, no patterns, as some remedies are only run for whoever asks for them by code.
      - Nothing is mended by this plugin. It says C(mend) of a finding, which a rulebook may go by.
    type: list
    elements: str
    default: []
  repeat_after:
    description:
      - Tell a finding again when a report says that it still stands, and it was told so many seconds ago. V(0) never does.
      - Make it longer than the throttle of the rulebook. What a guard has refused is tried again so.
    type: float
    default: 0
  max_age:
    description: Leave out reports of runs that ended so many seconds ago. V(0) takes any.
    type: float
    default: 86400
notes:
  - ansible-rulebook copies an inventory that is a file, and loses the C(group_vars) and C(host_vars) beside it, with the guards that are set there. With
    O(mend), this plugin refuses to start then. Give a directory that has them all.
  - "C(finding) has C(state) (standing or cleared), C(host), C(check), C(code), C(severity), C(subject), C(summary), C(remedy) (playbook, vars, text),
    C(runbook), C(mend), C(left) (why it is not to be mended), C(codes) (all that may be mended of this check on this host), C(told) (how often it was
    told) and C(report)."
  - "C(refusal) has C(host), C(fix), C(guards), C(why), C(allow), C(plan_sha256) and C(report): a plan that guards have refused."
"""

EXAMPLES = r"""
- name: Mend what may be mended
  hosts: all
  sources:
    - fieldops.runbooks.findings:
        reports: [/var/lib/fieldops/reports]
        look_every: 900
        inventory: /etc/fieldops/inventory
        mend: [fits.ingest.failed]
  rules:
    - name: Tell a person
      condition: event.finding.state == "standing" and event.finding.severity == "critical"
      action:
        debug:
          msg: "{{ event.finding.host }}: {{ event.finding.summary }}"
"""

LOGGER = logging.getLogger("fieldops.runbooks.findings")
SEVERITIES = ("ok", "info", "warning", "critical")
NAMESPACE = "fieldops.runbooks."
SCHEMA = 2
TIME = "%Y-%m-%dT%H:%M:%SZ"
LARGEST = 256 * 1024 * 1024
AHEAD = 300
"""Seconds that another controller's clock may be ahead."""
CODE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
HOST = CODE
"""What --limit and templates take for nothing but a name."""


class ArgumentError(ValueError):
    """An argument of the source is wrong; the message says what would be right."""


class Unreadable(Exception):
    """Not a report, or not yet."""


# -- arguments ----------------------------------------------------------------------------------------------------------------------------


class Settings(NamedTuple):
    """The arguments, checked."""

    reports: tuple[str, ...]
    delay: float
    look_every: float
    look_timeout: float
    inventory: tuple[str, ...]
    limit: str
    severity: str
    mend: frozenset[str]
    repeat_after: float
    max_age: float

    @classmethod
    def of(cls, args: Mapping[str, Any]) -> Settings:
        given = {name: value for name, value in args.items() if name != "eda_feedback_queue" and value not in (None, "", [])}
        odd = sorted(set(given) - set(cls._fields))
        if odd:
            raise ArgumentError(f"there is no argument {', '.join(odd)}; there are {', '.join(cls._fields)}")
        settings = cls(
            reports=_texts(given, "reports"),
            delay=_seconds(given, "delay", 5, 0.05),
            look_every=_seconds(given, "look_every", 0, 10) if "look_every" in given else 0,
            look_timeout=_seconds(given, "look_timeout", 3600, 1),
            inventory=_texts(given, "inventory"),
            limit=_text(given, "limit"),
            severity=_text(given, "severity") or "warning",
            mend=frozenset(_texts(given, "mend")),
            repeat_after=_seconds(given, "repeat_after", 0, 0),
            max_age=_seconds(given, "max_age", 86400, 0),
        )
        settings.check()
        return settings

    def check(self) -> None:
        """What holds between them, and what the files must be."""
        if not self.reports and not self.look_every:
            raise ArgumentError("give reports (files, directories or patterns), or look_every (seconds) and inventory")
        if self.look_every and not self.inventory:
            raise ArgumentError("look_every runs a triage, and needs an inventory")
        if self.severity not in SEVERITIES[1:]:
            raise ArgumentError(f"severity is critical, warning or info, not {self.severity!r}")
        for code in sorted(self.mend):
            if not CODE.fullmatch(code):
                raise ArgumentError(f"mend takes exact codes such as fits.ingest.failed, not {code!r}")
        for path in self.inventory:
            if not path.endswith(",") and not os.path.exists(path):
                raise ArgumentError(f"there is no inventory {path}")
        lost = [path for path in (*self.inventory, *_inventories_of_rulebook()) if self.mend and _loses_variables(path)]
        if lost:
            raise ArgumentError(
                f"ansible-rulebook copies the inventory {lost[0]} without the group_vars and host_vars beside it, so that what is limited there would be "
                "mended without a limit: give the directory that has them all"
            )


def _inventories_of_rulebook() -> list[str]:
    """Those of the process that runs this plugin, which hands none of its options to it."""
    words = [*sys.argv[1:], ""]
    named = [following for word, following in itertools.pairwise(words) if word in ("-i", "--inventory")]
    named += [word.partition("=")[2] for word in words if word.startswith("--inventory=")]
    return named or list(filter(None, [os.environ.get("ANSIBLE_INVENTORY", "")]))


def _loses_variables(inventory: str) -> bool:
    beside = os.path.dirname(os.path.abspath(inventory))
    return os.path.isfile(inventory) and any(os.path.isdir(os.path.join(beside, name)) for name in ("group_vars", "host_vars"))


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name, "")
    if not isinstance(value, str):
        raise ArgumentError(f"{name} is a text, not {value!r}")
    return value


def _texts(given: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = given.get(name, [])
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) and text for text in texts):
        raise ArgumentError(f"{name} is a text or a list of texts, not {value!r}")
    return tuple(texts)


def _seconds(given: Mapping[str, Any], name: str, default: float, least: float) -> float:
    value = given.get(name, default)
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not least <= number < float("inf"):  # what is no number is neither
        raise ArgumentError(f"{name} is a number of seconds, {least:g} or more, not {value!r}")
    return number


# -- reports into events: no I/O ------------------------------------------------------------------------------------------------------------

Key = tuple[str, str, str]


class Found(NamedTuple):
    """One finding on one host."""

    host: str
    check: str
    ids: frozenset[str]
    code: str
    severity: str
    subject: str
    summary: str
    remedy: Mapping[str, Any] | None
    runbook: Mapping[str, Any] | None
    gone: bool
    doubtful: bool
    """Something was changed after it was seen."""
    at: str
    """When it was seen, or seen to be gone; such times can be compared as texts."""

    @property
    def key(self) -> Key:
        return self.host, self.code, self.subject


class Report(NamedTuple):
    """What counts of a report."""

    path: str
    ended: datetime
    live: bool
    found: tuple[Found, ...]
    looked: Mapping[tuple[str, str], str]
    """When a check, by host and id, looked and saw all."""
    refused: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, document: Any, path: str) -> Report:
        try:
            if document["schema_version"] != SCHEMA:
                raise Unreadable(f"it has the form {document['schema_version']} of a report, and this plugin reads {SCHEMA}")
            ended = datetime.strptime(document["run"]["ended"], TIME).replace(tzinfo=UTC)
            return cls(
                path,
                ended,
                "diagnose.yml" not in document["run"]["playbooks"],
                tuple(_found(group, entry) for group in document["findings"] for entry in group["hosts"]),
                {(str(check["host"]), str(check["id"])): _time(check["at"]) for check in document["checks"] if check["outcome"] == "looked"},
                tuple(_refusal(refused, path) for refused in document["refusals"] if not refused["resolved"] and not refused["check_mode"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as exc:
            raise Unreadable(f"it is no report of fieldops.runbooks.summary ({type(exc).__name__}: {exc})") from exc


def _found(group: Mapping[str, Any], entry: Mapping[str, Any]) -> Found:
    if group["severity"] not in SEVERITIES or not CODE.fullmatch(group["code"]) or not CODE.fullmatch(entry["action"]):
        raise ValueError(f"{group['severity']!r}, {group['code']!r}, {entry['action']!r} is no severity, code and module")
    return Found(
        str(entry["host"]),
        entry["action"].rpartition(".")[2],
        frozenset(map(str, entry["checks"])),
        group["code"],
        group["severity"],
        str(group["subject"]),
        str(group["summary"]),
        entry["remedy"],
        entry["runbook"],
        bool(group["cleared"]),
        bool(entry["before_change"]),
        _time((entry["cleared_at"] if group["cleared"] else None) or entry["last_seen"]),
    )


def _time(text: str) -> str:
    datetime.strptime(text, TIME)
    return text


def _refusal(refused: Mapping[str, Any], path: str) -> dict[str, Any]:
    return {
        "host": str(refused["host"]),
        "fix": str(refused["action"]).rpartition(".")[2],
        "guards": [str(each["guard"]) for each in refused["refusals"]],
        "why": "; ".join(str(each["reason"]) for each in refused["refusals"]),
        "allow": "; ".join(filter(None, (str(each["allow"]) for each in refused["refusals"]))),
        "plan_sha256": refused["plan_sha256"],
        "at": str(refused["at"]),
        "report": path,
    }


class Ledger:
    """What stands, and what was told of it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.standing: dict[Key, Found] = {}
        self.told: dict[Key, tuple[float, int]] = {}
        self.newest: dict[tuple[str, str], str] = {}
        self.refused: set[tuple[str, str, str]] = set()

    def events(self, report: Report, now: datetime, clock: float) -> list[dict[str, Any]]:
        """What is to be told after a report. ``now`` is the time of day; ``clock`` goes on evenly."""
        age = (now - report.ended).total_seconds()
        if not report.live or (self.settings.max_age and age > self.settings.max_age):
            return []
        if age < -AHEAD:
            raise Unreadable(f"its run ended at {report.ended:{TIME}}, which is still to come: set the clocks")
        found = [each for each in report.found if _plain_host(each.host) and each.at >= self._known(each)]
        events = [self._cleared(key, report) for key in self._gone(found, report)]
        for each in self._worst(found):
            events += self._stands(each, found, report, clock)
        for check, at in report.looked.items():
            self.newest[check] = max(at, self.newest.get(check, ""))
        return events + [_event("refusal", refusal) for refusal in report.refused if self._first(refusal)]

    def _known(self, found: Found) -> str:
        """When the checks that report it have last looked: of runs side by side, the one that ends later may have looked earlier."""
        return max((self.newest.get((found.host, check), "") for check in found.ids), default="")

    def _bad(self, found: Found) -> bool:
        return not found.gone and SEVERITIES.index(found.severity) >= SEVERITIES.index(self.settings.severity)

    def _gone(self, found: Sequence[Found], report: Report) -> list[Key]:
        bad = {each.key for each in found if self._bad(each)}
        named = {each.key for each in found if not self._bad(each) and not (each.doubtful and not each.gone)}
        for key, each in self.standing.items():
            known = max(each.at, self._known(each))
            if any(report.looked.get((each.host, check), "") >= known for check in each.ids):
                named.add(key)
        return sorted(key for key in named - bad if key in self.standing)

    def _worst(self, found: Sequence[Found]) -> list[Found]:
        """What surely stands; of what two checks report, the worse."""
        sure: dict[Key, Found] = {}
        for each in sorted(found, key=lambda each: SEVERITIES.index(each.severity)):
            if self._bad(each) and not each.doubtful:
                sure[each.key] = each
        return list(sure.values())

    def _stands(self, found: Found, others: Sequence[Found], report: Report, clock: float) -> Iterator[dict[str, Any]]:
        before = self.standing.get(found.key)
        self.standing[found.key] = found
        last, times = self.told.get(found.key, (clock, 0))
        repeat = self.settings.repeat_after and clock - last >= self.settings.repeat_after
        if before is not None and before.severity == found.severity and not repeat:
            return
        self.told[found.key] = (clock, times + 1)
        codes = {each.code for each in self._worst(others) if (each.host, each.check) == (found.host, found.check) and not self._left(each)}
        left = self._left(found)
        yield _event("finding", {**_told(found, "standing", report), "told": times + 1, "mend": not left, "left": left, "codes": sorted(codes)})

    def _left(self, found: Found) -> str:
        """Why nothing is to be mended by itself; nothing when it is."""
        if found.code not in self.settings.mend:
            return f"{found.code} is not among the codes that may be mended without a person"
        if not found.remedy or not str(found.remedy.get("playbook") or "").startswith(NAMESPACE):
            return "no playbook mends it"
        if found.remedy.get("hosts", found.host) != found.host:
            return f"what mends it runs on {found.remedy['hosts']}"
        return ""

    def _cleared(self, key: Key, report: Report) -> dict[str, Any]:
        found = self.standing.pop(key)
        _last, times = self.told.pop(key)
        return _event("finding", {**_told(found, "cleared", report), "told": times, "mend": False, "left": "it is cleared", "codes": []})

    def _first(self, refusal: Mapping[str, Any]) -> bool:
        key = (refusal["host"], refusal["fix"], refusal["at"])
        if key in self.refused or not _plain_host(refusal["host"]):
            return False
        self.refused.add(key)
        return True


def _plain_host(name: str) -> bool:
    return bool(HOST.fullmatch(name)) and name not in ("all", "ungrouped")


def _told(found: Found, state: str, report: Report) -> dict[str, Any]:
    shown = ("host", "check", "code", "severity", "subject", "summary", "remedy", "runbook")
    return {"state": state, **{name: getattr(found, name) for name in shown}, "report": report.path}


def _event(kind: str, what: Mapping[str, Any]) -> dict[str, Any]:
    return {kind: _harmless(what), "meta": {"hosts": what["host"]}}


def _harmless(value: Any) -> Any:
    """Events become variables of a playbook, where text from a report must be no template."""
    if isinstance(value, str):
        return re.sub(r"\{(?=[{%#])", "{ ", value)
    if isinstance(value, Mapping):
        return {_harmless(name): _harmless(each) for name, each in value.items()}
    return [_harmless(each) for each in value] if isinstance(value, (list, tuple)) else value


# -- files --------------------------------------------------------------------------------------------------------------------------------

Stamp = tuple[int, int, int]


class Shelf:
    """The files that may be reports."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = patterns
        self.read: dict[str, Stamp] = {}
        self.unread: dict[str, Stamp] = {}
        self.complained: set[str] = set()

    def news(self) -> list[Report]:
        """What has come since the last time, oldest run first."""
        present = self._present()
        for gone in (set(self.read) | set(self.unread) | self.complained) - set(present):
            self.read.pop(gone, None)
            self.unread.pop(gone, None)
            self.complained.discard(gone)
        reports = []
        for path, stamp in present.items():
            if self.read.get(path) == stamp:
                continue
            try:
                reports.append(read(path))
            except FileNotFoundError:
                continue
            except (OSError, Unreadable) as exc:
                self._complain(path, stamp, exc)
                continue
            self.read[path] = stamp
            self.unread.pop(path, None)
            self.complained.discard(path)
        return sorted(reports, key=lambda report: report.ended)

    def _present(self) -> dict[str, Stamp]:
        present = {}
        for pattern in self.patterns:
            for path in sorted(glob.glob(os.path.join(glob.escape(pattern), "*.json") if os.path.isdir(pattern) else pattern)):
                with contextlib.suppress(FileNotFoundError):
                    status = os.stat(path)
                    present[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
        return present

    def _complain(self, path: str, stamp: Stamp, exc: Exception) -> None:
        """Of what has not changed since it was last tried; what is being written has."""
        if self.unread.get(path) == stamp and path not in self.complained:
            self.complained.add(path)
            LOGGER.warning("%s is left out until it is a report: %s", path, exc)
        self.unread[path] = stamp


def read(path: str) -> Report:
    """A report from a file. What blocks or is endless is not opened."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("it is no ordinary file")
    if status.st_size > LARGEST:
        raise Unreadable(f"it has {status.st_size} bytes, more than {LARGEST}")
    with open(path, encoding="utf-8") as file:
        try:
            document = json.load(file)
        except (ValueError, RecursionError) as exc:
            raise Unreadable(f"it is not JSON, or not all of it ({exc})") from exc
    return Report.of(document, path)


# -- looking ------------------------------------------------------------------------------------------------------------------------------


async def look(settings: Settings) -> Report | None:
    """Run a triage; nothing when it came to no report, which is said in the log."""
    with tempfile.TemporaryDirectory(prefix="fieldops-look-") as folder:
        path, output = os.path.join(folder, "report.json"), os.path.join(folder, "output")
        callbacks = dict.fromkeys([*filter(None, os.environ.get("ANSIBLE_CALLBACKS_ENABLED", "").split(",")), NAMESPACE + "summary"])
        environment = {**os.environ, "FIELDOPS_REPORT": path, "ANSIBLE_CALLBACKS_ENABLED": ",".join(callbacks)}
        with open(output, "wb") as file:
            process = await asyncio.create_subprocess_exec(
                *_command(settings), stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file, env=environment, start_new_session=True
            )
            try:
                await asyncio.wait_for(process.wait(), settings.look_timeout)
            except TimeoutError:
                LOGGER.warning("the triage was ended after %g seconds (look_timeout)", settings.look_timeout)
            finally:
                await _end(process)
        try:
            return read(path)
        except (OSError, Unreadable):
            with open(output, encoding="utf-8", errors="replace") as said:
                LOGGER.warning("the triage has left no report, and ended with %s: %s", process.returncode, "".join(said.readlines()[-15:]).strip())
            return None


def _command(settings: Settings) -> list[str]:
    inventories = [word for path in settings.inventory for word in ("-i", path)]
    limit = ["--limit", settings.limit] if settings.limit else []
    return ["ansible-playbook", *inventories, *limit, "-e", "triage_fail_on=never", NAMESPACE + "triage"]


async def _end(process: asyncio.subprocess.Process) -> None:
    """Nothing that was started is left running, whatever ended the wait for it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), 10)


# -- the plugin ---------------------------------------------------------------------------------------------------------------------------


class Source:
    """Both ways to come by reports feed one ledger."""

    def __init__(self, queue: asyncio.Queue[Any], settings: Settings) -> None:
        self.queue, self.settings = queue, settings
        self.ledger = Ledger(settings)
        self.telling = asyncio.Lock()

    async def tell(self, report: Report) -> None:
        """The report's news, in one piece and in their order."""
        async with self.telling:
            try:
                events = self.ledger.events(report, datetime.now(UTC), time.monotonic())
            except Unreadable as exc:
                LOGGER.warning("%s is left out: %s", report.path, exc)
                return
            for event in events:
                await self.queue.put(event)
                await asyncio.sleep(0)

    async def watch(self) -> None:
        shelf = Shelf(self.settings.reports)
        while True:
            for report in await asyncio.get_running_loop().run_in_executor(None, shelf.news):
                await self.tell(report)
            await asyncio.sleep(self.settings.delay)

    async def look(self) -> None:
        while True:
            report = await look(self.settings)
            if report is not None:
                await self.tell(report)
            await asyncio.sleep(self.settings.look_every)


async def main(queue: asyncio.Queue[Any], args: dict[str, Any]) -> None:
    """Entry point of ansible-rulebook. Ends only when it is cancelled, or by an error."""
    settings = Settings.of(args)
    source = Source(queue, settings)
    ways = [way for way, wanted in ((source.watch, settings.reports), (source.look, settings.look_every)) if wanted]
    tasks = [asyncio.ensure_future(way()) for way in ways]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":

    class Printer:
        """Shows what a rulebook would get: findings.py REPORTS..."""

        async def put(self, event: dict[str, Any]) -> None:
            print(json.dumps(event))

    asyncio.run(main(Printer(), {"reports": sys.argv[1:]}))  # type: ignore[arg-type]
