# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the MongoDB modules share; documented in the fragment ``mongodb``."""

from __future__ import annotations

from ..connect.mongo import OPTIONS
from ..procedure.argspec import ArgumentSpec

CONNECTION = ArgumentSpec(OPTIONS)
