# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the configuration of job-runner: files, lines, values, secrets, rights, drift. Pure; no finding holds a secret."""

from __future__ import annotations

import os
from typing import List, Optional

from ..procedure.envelope import Finding, Remedy
from .config import Config, Facts
from .config_drift import Source, Surroundings, difference
from .config_rules import contradictions, wanting, wrong_value

RUNBOOK = ("opensafely-jobrunner.md", "Configuring the job-runner")
_PREFIX = "jobrunner.config."
_MINOR = ("old_escape", "comment_continues")
_LOCAL = "04_local.env"


def config_findings(config: Config, around: Optional[Surroundings] = None) -> List[Finding]:
    """All of them; one that says so where there is nothing to be said."""
    around = around or Surroundings()
    found = [*_problems(config), *_values(config), *_secrets(config), *_rights(config, around), *_drift(config, around), *_beside(config, around)]
    found += _overrides(config)
    if not [finding for finding in found if finding.severity in ("warning", "critical")]:
        found.append(_finding("ok", "ok", "configuration", "the configuration is read by the service and by shells alike, and nothing in it is missing"))
    return found


def _finding(code: str, severity: str, subject: str, summary: str, remedy: Optional[Remedy] = None, **detail: object) -> Finding:
    return Finding(_PREFIX + code, severity, subject, summary, detail, remedy, RUNBOOK)


def _problems(config: Config) -> List[Finding]:
    """Files that are not there, and lines that are not what they seem."""
    remedy = Remedy("mend the file; 01 and 03 are generated, so theirs is mended in backend-server")
    return [
        _finding(each.code, "critical" if each.fatal else ("info" if each.code in _MINOR else "warning"), each.path, each.text, remedy, line=each.line)
        for each in config.problems
    ]


def _values(config: Config) -> List[Finding]:
    """With these job-runner ends at its start."""
    found = []
    for name, entry in sorted(config.effective().items()):
        accepted = wrong_value(name, entry.value)
        if accepted:
            summary = "job-runner does not start with the value of %s in %s line %d: it takes %s" % (name, entry.path, entry.line, accepted)
            found.append(_finding("invalid", "critical", name, summary, _set(name), path=entry.path, line=entry.line))
    if not any(problem.fatal for problem in config.problems):
        for names, why in contradictions(config.environment()):
            found.append(_finding("contradiction", "critical", names, "%s: %s" % (names, why), Remedy("set both, or neither")))
    return found


def _set(name: str) -> Remedy:
    return Remedy("set %s" % name, "fieldops.runbooks.jobrunner_setting", {"jobrunner_settings": [{"name": name, "value": "..."}]})


def _secrets(config: Config) -> List[Finding]:
    """Those that are missing, and those that lie where others may read them."""
    found = []
    if not any(problem.fatal for problem in config.problems):  # what a file sets that could not be read is not missing
        for name, severity, why in wanting(config.environment()):
            summary = "%s is not set: %s" % (name, why)
            found.append(_finding("unset", severity, name, summary, Remedy("set it in 02_secrets.env: module jobrunner_setting with secret_value")))
    for entry in config.entries:
        if entry.secret and entry.value and "secret" not in os.path.basename(entry.path):
            summary = "%s is a secret and is set in %s line %d, which is not the file for secrets" % (entry.name, entry.path, entry.line)
            remedy = Remedy("move it to 02_secrets.env")
            found.append(_finding("secret_elsewhere", "warning", entry.name, summary, remedy, path=entry.path, line=entry.line))
    return found


def _rights(config: Config, around: Surroundings) -> List[Finding]:
    found = []
    for facts in config.files:
        if not facts.mode:
            continue
        secret = any(entry.path == facts.path and entry.secret and entry.value for entry in config.entries)
        too_much = facts.mode & (0o077 if secret else 0o027)
        if too_much:
            severity = "critical" if secret and facts.mode & 0o007 else "warning"
            wanted = "0600" if secret else "0640"
            summary = "%s has mode %04o, and %s wanted%s" % (facts.path, facts.mode, wanted + " is", ": it holds secrets" if secret else "")
            remedy = Remedy("chmod %s %s" % (wanted, facts.path))
            found.append(_finding("mode", severity, facts.path, summary, remedy, mode="%04o" % facts.mode))
        if around.owner and facts.user != around.owner and not facts.mode & 0o004:
            summary = "%s belongs to %s:%s, and shells of %s cannot read it" % (facts.path, facts.user, facts.group, around.owner)
            remedy = Remedy("chown %s: %s" % (around.owner, facts.path))
            found.append(_finding("owner", "warning", facts.path, summary, remedy, user=facts.user, group=facts.group))
    return found


def _drift(config: Config, around: Surroundings) -> List[Finding]:
    files = {facts.path: facts for facts in config.files}
    found = [finding for source in around.sources for finding in _of_source(files[source.path], source)]
    mine = config.get("BACKEND")
    if around.backend and mine and around.backend != mine:
        summary = "the service is of backend %s, and backend-server would install %s" % (mine, around.backend)
        found.append(
            _finding("backend", "critical", "BACKEND", summary, Remedy("correct BACKEND in .env of backend-server"), present=mine, wanted=around.backend)
        )
    return found


def _of_source(facts: Facts, source: Source) -> List[Finding]:
    if source.wanted is None:
        return [_finding("not_compared", "info", facts.path, "%s was not compared with what it is generated from: %s" % (facts.path, source.why))]
    if facts.data is None or facts.data == source.wanted:
        return []
    differs = difference(facts.data, source.wanted)
    if not differs.any:
        summary = "%s differs from %s in comments only" % (facts.path, source.source)
        return [_finding("drift_text", "info", facts.path, summary, None, source=source.source)]
    summary = "%s is not what %s makes of it: it %s. The next update of the backend writes it anew" % (facts.path, source.source, differs.told())
    remedy = Remedy("put what is to stay into 04_local.env, then update the backend", "fieldops.runbooks.jobrunner_update_backend")
    detail = {"added": list(differs.added), "missing": list(differs.missing), "changed": list(differs.changed), "source": source.source}
    return [_finding("drift", "warning", facts.path, summary, remedy, **detail)]


def _beside(config: Config, around: Surroundings) -> List[Finding]:
    found = []
    files = {facts.path: facts for facts in config.files}
    for backup in around.backups:
        now = files[backup.path[: -len(".bak")]]
        if backup.data is None or now.data is None:
            continue
        differs = difference(backup.data, now.data)
        if differs.any:
            summary = "the last update of the backend changed what %s sets: before, it %s" % (now.path, differs.told())
            remedy = Remedy("if that was set by hand and is still wanted, set it in 04_local.env")
            detail = {"added": list(differs.added), "missing": list(differs.missing), "changed": list(differs.changed)}
            found.append(_finding("overwritten", "info", now.path, summary, remedy, **detail))
    for path in around.others:
        summary = "shells read %s, and the service does not: no unit names it" % path
        found.append(_finding("unused", "warning", path, summary, Remedy("move what it sets into 04_local.env")))
    return found


def _overrides(config: Config) -> List[Finding]:
    """What is overridden for the time being, which tends to become for ever."""
    names = sorted({entry.name for entry in config.entries if entry.shadowed and os.path.basename(config.origin(entry.name) or "") == _LOCAL})
    if not names:
        return []
    return [_finding("overridden", "info", _LOCAL, "%s overrides %s" % (_LOCAL, ", ".join(names)), None, names=names)]
