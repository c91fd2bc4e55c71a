# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of servers and in files."""

from __future__ import annotations

import contextlib
import re
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Sequence, Union

from ..procedure.envelope import Finding
from .expect import Missed, Options, Said

if TYPE_CHECKING:
    from ..connect.certificate import Certificate

_DAY = 86400.0


class Wanted(NamedTuple):
    """One expectation: a server's, or one in a file."""

    said: Said
    host: Optional[str] = None
    port: int = 443
    server_name: Optional[str] = None
    file: Optional[str] = None
    min_days: float = 0.0
    names: Sequence[str] = ()
    trusted: bool = False
    ca_cert: Optional[str] = None
    since: Optional[float] = None
    timeout: Optional[float] = None


class Sight(NamedTuple):
    """The certificate; ``trust_error`` is why this node does not trust it, None where that was not asked."""

    certificate: Certificate
    now: float
    trust_error: Optional[str] = None


Seen = Union[Sight, Missed]


def parse(options: Options, runbook_file: Optional[str]) -> Wanted:
    host, file = options["host"], options["file"]
    if file is not None:
        options.absolute("file")
        if options["trusted"]:
            raise options.refuse("trusted", "left out for a file: only a server's certificate is verified")
    else:
        options.filled("host")
    name = file or "certificate of %s:%d" % (host, options.port("port"))
    return Wanted(
        options.said("certificate", name, runbook_file),
        host,
        options.port("port"),
        options["server_name"],
        file,
        options.number("min_days") or 0.0,
        tuple(options["names"]),
        options["trusted"],
        options["ca_cert"],
        _time(options),
        options.number("timeout"),
    )


def _time(options: Options) -> Optional[float]:
    """An ISO time; local unless it says otherwise."""
    text = options["since"]
    if text is None:
        return None
    # Python before 3.11 knows neither Z nor an offset without a colon.
    plain = re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", re.sub(r"[zZ]$", "+00:00", text.strip()))
    with contextlib.suppress(ValueError, OverflowError, OSError):
        return datetime.fromisoformat(plain).timestamp()
    raise options.refuse("since", "a time such as 2026-01-30 or 2026-01-30T08:00:00Z")


def look(wanted: Wanted, seconds: float) -> Seen:
    """Read it; ``seconds`` are those that are left for all probes."""
    from ..connect import certificate  # noqa: PLC0415 - it brings TLS, which costs more than most looks

    limit = min(seconds, wanted.timeout or seconds)
    started = time.monotonic()
    try:
        if wanted.file is not None:
            return Sight(certificate.of_file(wanted.file), time.time())
        host = str(wanted.host)
        seen = certificate.of_server(host, wanted.port, wanted.server_name, limit)
        trust_error = None
        if wanted.trusted:
            left = max(0.1, limit - (time.monotonic() - started))
            trust_error = certificate.trusted(host, wanted.port, wanted.server_name, wanted.ca_cert, left)
    except certificate.CertificateError as exc:
        return Missed(str(exc))
    return Sight(seen, time.time(), trust_error)


def judge(wanted: Wanted, seen: Seen) -> List[Finding]:
    said = wanted.said
    if isinstance(seen, Missed):
        return [said.unknown(seen.reason)]
    certificate, now = seen.certificate, seen.now
    detail = _detail(seen)
    found = []
    days = (certificate.not_after - now) / _DAY
    if certificate.not_before > now:
        found.append(
            said.bad("not_yet_valid", "critical", "it is valid only from %s on; is the clock of this node right?" % iso(certificate.not_before), **detail)
        )
    if days < 0:
        found.append(said.bad("expired", "critical", "it expired %.1f days ago, on %s" % (-days, iso(certificate.not_after)), **detail))
    elif days < wanted.min_days:
        found.append(said.bad("expires", "warning", "it expires in %.1f days, on %s" % (days, iso(certificate.not_after)), **detail))
    wrong = [name for name in wanted.names if not any(covers(pattern, name) for pattern in certificate.names)]
    if wrong:
        valid = ", ".join(certificate.names[:5]) or "no name at all"
        found.append(said.bad("wrong_name", "critical", "it is not valid for %s, but for %s" % (", ".join(wrong), valid), **detail))
    if seen.trust_error:
        found.append(said.bad("untrusted", "critical", "this node does not trust it: %s" % seen.trust_error, **detail))
    if wanted.since is not None and wanted.since - _DAY <= certificate.not_before <= now:
        text = "it was renewed on %s, just when the trouble began: whoever keeps a copy of it, or of its authority, must get the new one"
        found.append(said.bad("renewed", "warning", text % iso(certificate.not_before), **detail))
    return found


def covers(pattern: str, name: str) -> bool:
    """A name of a certificate, whose first label may be an asterisk, and a name that is asked for."""
    one, two = pattern.lower().rstrip("."), name.lower().rstrip(".")
    if one.startswith("*."):
        return two.partition(".")[2] == one[2:] and bool(two.partition(".")[0])
    return one == two


def iso(moment: float) -> str:
    """UTC; years that the platform cannot count are told by their number."""
    try:
        return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "%.0f s after 1970" % moment


def _detail(seen: Sight) -> Dict[str, Any]:
    certificate = seen.certificate
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "names": list(certificate.names),
        "not_before": iso(certificate.not_before),
        "not_after": iso(certificate.not_after),
        "days_left": round((certificate.not_after - seen.now) / _DAY, 1),
        "serial": certificate.serial,
        "sha256": certificate.sha256,
        "self_signed": certificate.self_signed,
        "trust_error": seen.trust_error,
    }


def row(wanted: Wanted, seen: Seen) -> Dict[str, Any]:
    if isinstance(seen, Sight):
        return dict(_detail(seen), name=wanted.said.name, error="")
    names = ("subject", "issuer", "names", "not_before", "not_after", "days_left", "serial", "sha256", "self_signed", "trust_error")
    return dict(dict.fromkeys(names), name=wanted.said.name, error=seen.reason)
