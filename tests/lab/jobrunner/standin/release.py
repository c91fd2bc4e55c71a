# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes from one release to the next; the git histories of a host's checkout rewrite this file."""

from __future__ import annotations

USER_VERSION = 3
"""The layout of the database that this release wants."""
NAME = "tree"
"""What it says of itself in its log."""
