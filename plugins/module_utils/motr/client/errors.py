# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the tools themselves, not of what they read."""

from __future__ import annotations

from ..errors import MotrError


class ToolError(MotrError):
    """A tool, or a server that was asked in its place, did not do what was asked of it."""
