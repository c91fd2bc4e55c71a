# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms of a report, by name."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, NamedTuple

from . import report_html, report_junit, report_markdown, report_metrics
from .report_files import PRIVATE, PUBLIC, as_json


class Format(NamedTuple):
    """One form: its file in a directory of reports, and who may read it."""

    file: str
    render: Callable[[Mapping[str, Any]], str]
    mode: int = PRIVATE


FORMATS: Dict[str, Format] = {
    "json": Format("report.json", as_json),
    "html": Format("report.html", report_html.render),
    "markdown": Format("report.md", report_markdown.render),
    "junit": Format("report.junit.xml", report_junit.render),
    # For a collector that runs as a user of its own; it holds names and counts, no evidence.
    "prometheus": Format("fieldops.prom", report_metrics.render, PUBLIC),
}
