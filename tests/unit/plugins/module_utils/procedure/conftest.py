# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A journal that can be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal

os.environ["FIELDOPS_LIMITS_DIR"] = ""  # also where pytest is not run by tools/project.py


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(str(tmp_path / "journal"))
    journal.prepare()
    return journal
