# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept or shown of a node without its secrets."""

from __future__ import annotations

import re
from typing import List, Sequence

from ..connect.command import redact

_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)*|(?i:\bbearer\s+)[^\s\"',;]+")
_WORDS = r"passw(?:or)?d|passphrase|pwd|secret|token|credential|api[_-]?key|private[_-]?key|access[_-]?key|cookie|authorization|license[_-]?key|jwt"
_PAIR = re.compile(r"(?i)([A-Za-z0-9_.-]*(?:%s)[A-Za-z0-9_-]*[\"']?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&]+)" % _WORDS)
_FLAG = re.compile(r"(?i)^--?[A-Za-z0-9_.-]*(?:%s)[A-Za-z0-9_-]*$" % _WORDS)
HIDDEN = "********"


def without_secrets(text: str, known: Sequence[str] = ()) -> str:
    """Text without tokens, without what follows a name such as password, and without the secrets that are known."""
    return redact(_PAIR.sub(r"\1" + HIDDEN, _TOKEN.sub(HIDDEN, text)), known)


def without_secret_words(argv: Sequence[str]) -> List[str]:
    """A command line likewise; the word after an option that is named so is hidden as well."""
    shown: List[str] = []
    hide = False
    for word in argv:
        shown.append(HIDDEN if hide else without_secrets(word))
        hide = not hide and _FLAG.match(word) is not None
    return shown
