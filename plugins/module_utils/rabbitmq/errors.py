# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of what knows RabbitMQ."""

from __future__ import annotations


class RabbitMQError(Exception):
    """One sentence that says what was wrong, and what would be accepted."""
