# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the job-runner system, each told by its message alone."""

from __future__ import annotations


class JobRunnerError(Exception):
    """Something about this backend that a person can act on."""
