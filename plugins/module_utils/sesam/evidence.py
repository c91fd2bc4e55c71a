# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept or shown of a node without its secrets."""

from __future__ import annotations

from typing import List, Sequence

from ..connect import redact


def without_secrets(text: str, known: Sequence[str] = ()) -> str:
    """Text without tokens, without what follows a name such as password, and without the secrets that are known."""
    return redact.text(text, known)


def without_secret_words(argv: Sequence[str]) -> List[str]:
    """A command line likewise; the word after an option that is named so is hidden as well."""
    return redact.words(argv)
