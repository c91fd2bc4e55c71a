# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of Motr: one sentence for people."""

from __future__ import annotations


class MotrError(Exception):
    """Something about Motr, or about what was asked of it, that a person can act on."""
