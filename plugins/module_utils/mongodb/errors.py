# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the MongoDB system, each told by its message alone. Those of the connection are `connect.mongo.MongoError`."""

from __future__ import annotations


class MongodbError(Exception):
    """Something about this server or its set that a person can act on."""
