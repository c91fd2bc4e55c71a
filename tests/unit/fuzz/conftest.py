# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the parsers are fuzzed: FIELDOPS_FUZZ is the number of examples for each; `make fuzz` sets it."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_CALM = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example, HealthCheck.filter_too_much]

# The short one is the same in each run: CI must not fail by chance at what somebody else has to mend. The long one looks for news.
settings.register_profile("fieldops-quick", max_examples=40, derandomize=True, deadline=None, database=None, suppress_health_check=_CALM)
settings.register_profile(
    "fieldops-fuzz", max_examples=int(os.environ.get("FIELDOPS_FUZZ") or 3000), deadline=None, print_blob=True, suppress_health_check=_CALM
)
