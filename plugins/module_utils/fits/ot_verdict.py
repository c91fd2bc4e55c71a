# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why the OT says that observations are not in the public archive: one verdict on what the archive showed. Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..connect.certificate import Certificate
from ..procedure.envelope import Finding, Remedy

RUNBOOK = ("fits.rst", 'OT Shows Observations "Not in Public Archive"')
DAY = 86400.0


@dataclass(frozen=True)
class Search:
    """What the archive has of one file or program. ``count`` and ``visible`` are None where an ``error`` hid them."""

    kind: str
    name: str
    url: str
    count: Optional[int] = None
    at_least: bool = False
    visible: Optional[int] = None
    pending: Optional[bool] = None
    error: str = ""

    def to_dict(self) -> Dict[str, Any]:
        found = None if self.count is None else self.count > 0
        return {
            "name": self.name,
            "kind": self.kind,
            "found": found,
            "count": self.count,
            "at_least": self.at_least,
            "visible": None if self.visible is None or not found else self.visible > 0,
            "pending_ingest": self.pending,
            "url": self.url,
            "error": self.error,
        }


@dataclass(frozen=True)
class OtState:
    """One look at the archive. ``reason`` is why this node does not trust the certificate; ``trouble`` why there is none to be seen."""

    host: str
    searches: Tuple[Search, ...]
    page_status: Optional[int]
    page_error: str
    certificate: Optional[Certificate]
    reason: str
    trouble: str
    now: float
    since: Optional[float]
    window: float
    min_days: float


def verdict(state: OtState) -> str:
    """What explains the complaint, the most direct first."""
    if state.page_error or any(search.error for search in state.searches):
        return "archive_down"
    if any(search.count == 0 for search in state.searches):
        return "missing"
    if any(search.visible == 0 for search in state.searches):
        return "engineering_only"
    if state.trouble or state.reason:
        return "certificate_bad"
    return "certificate_renewed" if renewed(state) else "nothing_wrong"


def renewed(state: OtState) -> Optional[bool]:
    """Whether the certificate became valid about when the trouble began; None where there is nothing to compare."""
    if state.certificate is None or state.since is None:
        return None
    return abs(state.certificate.not_before - state.since) <= state.window


def diagnose(state: OtState) -> List[Finding]:
    """The verdict, and then what else is wrong with the certificate."""
    told = verdict(state)
    found = [_VERDICTS[told](state)]
    if told in ("archive_down", "missing", "engineering_only"):
        if state.reason or state.trouble:
            found.append(_certificate_bad(state))
        elif renewed(state):
            found.append(_certificate_renewed(state))
    certificate = state.certificate
    if certificate is not None and 0 < certificate.not_after - state.now < state.min_days * DAY:
        left = (certificate.not_after - state.now) / DAY
        summary = "the certificate of %s is valid for %.1f more days (until %s), less than %g" % (state.host, left, utc(certificate.not_after), state.min_days)
        remedy = Remedy("renew it now, and have the OT's host take the new one; automatic renewal should have done so by now")
        found.append(_finding(state, "certificate_expiring", "warning", summary, {"not_after": utc(certificate.not_after)}, remedy))
    return found


def _finding(state: OtState, what: str, severity: str, summary: str, detail: Mapping[str, Any], remedy: Optional[Remedy]) -> Finding:
    return Finding("fits.ot." + what, severity, state.host, summary, detail, remedy, RUNBOOK)


def _archive_down(state: OtState) -> Finding:
    errors = [search.error for search in state.searches if search.error] + ([state.page_error] if state.page_error else [])
    summary = "the archive's search at %s does not answer as it should: %s" % (state.host, errors[0])
    remedy = Remedy("look at the archive's web server; its certificate can wait", "fieldops.runbooks.fits_website")
    return _finding(state, "archive_down", "critical", summary, {"errors": list(dict.fromkeys(errors))[:20]}, remedy)


def _missing(state: OtState) -> Finding:
    names = [search.name for search in state.searches if search.count == 0]
    files = [search.name for search in state.searches if search.count == 0 and search.kind == "filename"]
    summary = "%d of %d are not in the archive, so the OT is right: %s" % (len(names), len(state.searches), some(names))
    text = "follow them from the FITS server on: everything is ingested there before it is exported to the archive"
    remedy = Remedy(text, "fieldops.runbooks.fits_export", {"fits_filename": files}, hosts="fits_servers,archive_servers") if files else Remedy(text)
    return _finding(state, "missing", "critical", summary, {"names": names[:20]}, remedy)


def _engineering_only(state: OtState) -> Finding:
    names = [search.name for search in state.searches if search.count and search.visible == 0]
    summary = "%d of %d are in the archive as engineering data only, which a search hides: %s" % (len(names), len(state.searches), some(names))
    remedy = Remedy("check the program id in the headers of these files: something keeps the archive from recognising them as science data")
    return _finding(state, "engineering_only", "critical", summary, {"names": names[:20]}, remedy)


def _certificate_bad(state: OtState) -> Finding:
    what, summary = _what_is_bad(state)
    detail: Dict[str, Any] = {"what": what, "reason": state.reason or state.trouble}
    if state.certificate is not None:
        detail.update(_dates(state.certificate), names=list(state.certificate.names), issuer=state.certificate.issuer)
    remedy = Remedy(
        {
            "expired": "renew the archive's certificate and reload its web server; then have the OT's host take the new one",
            "not_yet_valid": "check the clocks of this node and of the archive, then the certificate",
            "wrong_name": "have a certificate issued for that name; or the name leads to another server: check DNS",
            "untrusted": "have the archive's web server send its whole chain; or give ca_cert, if the authority is one that this node need not know",
            "unreadable": "look at the TLS settings of the archive's web server",
        }[what]
    )
    return _finding(state, "certificate_bad", "critical", summary, detail, remedy)


def _what_is_bad(state: OtState) -> Tuple[str, str]:
    certificate = state.certificate
    if certificate is None:
        return "unreadable", "the certificate of %s cannot be had: %s" % (state.host, state.trouble)
    if certificate.not_after < state.now:
        return "expired", "the certificate of %s expired on %s" % (state.host, utc(certificate.not_after))
    if certificate.not_before > state.now:
        return "not_yet_valid", "the certificate of %s is valid only from %s on" % (state.host, utc(certificate.not_before))
    if state.trouble:
        return "unreadable", "whether the certificate of %s is trusted cannot be told: %s" % (state.host, state.trouble)
    if "mismatch" in state.reason:
        return "wrong_name", "the certificate of %s is for other names: %s" % (state.host, some(certificate.names) or certificate.subject)
    return "untrusted", "this node does not trust the certificate of %s: %s" % (state.host, state.reason)


def _certificate_renewed(state: OtState) -> Finding:
    certificate = state.certificate
    if certificate is None or state.since is None:
        raise ValueError("nothing was compared")
    hours = (state.since - certificate.not_before) / 3600
    when = "%.0f hours %s" % (abs(hours), "before" if hours >= 0 else "after")
    summary = "the archive's certificate was renewed on %s, %s the first complaint, and the data are there: the OT's host needs the new certificate" % (
        utc(certificate.not_before),
        when,
    )
    lifetime = (certificate.not_after - certificate.not_before) / DAY
    remedy = Remedy(
        "have the new certificate (sha256 %s) and its authority installed on the OT's host; it comes back with the next renewal, before %s (%.0f days)"
        % (certificate.sha256, utc(certificate.not_after), lifetime)
    )
    return _finding(state, "certificate_renewed", "critical", summary, dict(_dates(certificate), since=utc(state.since)), remedy)


def _nothing_wrong(state: OtState) -> Finding:
    summary = "the archive shows all %d to everybody, and nothing is wrong with it as seen from here" % len(state.searches)
    detail: Dict[str, Any] = {"count": len(state.searches)}
    if state.certificate is not None:
        detail.update(_dates(state.certificate))
        summary += "; its certificate became valid on %s" % utc(state.certificate.not_before)
    if state.certificate is not None and state.since is None:
        remedy = Remedy("compare that date with the time of the first complaint: pass since")
    else:
        remedy = Remedy("ask those who run the OT's host whether it reaches the archive, and which certificates it trusts")
    return _finding(state, "nothing_wrong", "ok", summary, detail, remedy)


_VERDICTS = {
    "archive_down": _archive_down,
    "missing": _missing,
    "engineering_only": _engineering_only,
    "certificate_bad": _certificate_bad,
    "certificate_renewed": _certificate_renewed,
    "nothing_wrong": _nothing_wrong,
}


def certificate_facts(state: OtState) -> Optional[Dict[str, Any]]:
    certificate = state.certificate
    if certificate is None:
        return None
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "names": list(certificate.names),
        **_dates(certificate),
        "days_left": round((certificate.not_after - state.now) / DAY, 1),
        "serial": certificate.serial,
        "sha256": certificate.sha256,
        "self_signed": certificate.self_signed,
        "trusted": not (state.reason or state.trouble),
        "reason": state.reason or state.trouble,
        "renewed": renewed(state),
    }


def _dates(certificate: Certificate) -> Dict[str, str]:
    return {"not_before": utc(certificate.not_before), "not_after": utc(certificate.not_after)}


def utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def some(names: Any) -> str:
    return ", ".join(list(names)[:2]) + (" and %d more" % (len(names) - 2) if len(names) > 2 else "")
