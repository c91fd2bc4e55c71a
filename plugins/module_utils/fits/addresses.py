# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the notification job makes of an address field: whom it passes to the mail server, and who was meant but is not among them. Pure."""

from __future__ import annotations

import re
from email.utils import parseaddr
from typing import Dict, List, Mapping, Optional, Sequence

FIELDS = ("piemail", "ngoemail", "csemail")
_MEANT = re.compile(r"[^\s,;<>()\"]+@[^\s,;<>()\"]+")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%%&'*+/=?^_`{|}~-]+@%s(?:\.%s)+" % (_LABEL, _LABEL))


def split(text: Optional[str]) -> List[str]:
    """As the job does it: at commas, and at blanks only where every part has an @. Two blanks in a row make a part without."""
    parts: List[str] = []
    for part in (text or "").split(","):
        words = part.strip().split(" ")
        parts += words if all("@" in word for word in words) else [part.strip()]
    return [part for part in parts if part]


def recipients(text: Optional[str]) -> List[str]:
    """The addresses that the mail server is given, at best.

    smtplib takes what it finds to be the address in each part. Of several with a ';' between them that is the first one, or with the Pythons
    that are strict about it none.
    """
    return [parseaddr(part.partition(";")[0])[1].strip() or part for part in split(text)]


def problem(text: Optional[str]) -> str:
    """What will not be as it was meant; empty when all is well, or nobody was meant."""
    if text is None:
        return ""
    if not text.strip():
        return "it is empty but not NULL, so the mail goes to nobody in this field"
    if any(char < " " or char == "\x7f" for char in text):
        return "it holds a line break or another control character, at which the job fails or sends a broken mail"
    got = recipients(text)
    lost = [address for address in _meant(text) if address not in got]
    if ";" in text and lost:
        return "the job does not split at ';', so at best only the first address gets the mail (never %s), and the log says that all went well" % ", ".join(
            lost
        )
    if ";" in text:
        kept = next(part for part in split(text) if ";" in part)
        return "the job keeps the ';' in %s, and with newer Pythons passes it on, so that the mail server refuses it" % _quoted(kept)
    if lost:
        return "the job takes %s for one address, so no mail goes to %s" % (_quoted(_around(text, lost[0])), ", ".join(lost))
    wrong = [address for address in got if not _ADDRESS.fullmatch(address)]
    if wrong:
        return "the job takes %s for an address, which the mail server will refuse" % " and ".join(_quoted(address) for address in wrong)
    return ""


def row_problems(row: Mapping[str, Optional[str]], generation: str) -> List[Dict[str, str]]:
    """Everything about one notification that the job will not do as it was meant."""
    skipped = "it is NULL, so the job skips this notification altogether, also with --check"
    found = [{"field": field, "text": "", "problem": skipped} for field in ("selection", "piemail") if row[field] is None]
    selection = row["selection"]
    told = [("selection", "" if selection is None else _selection_problem(selection, generation))] + [(field, problem(row[field])) for field in FIELDS]
    return found + [{"field": field, "text": row[field] or "", "problem": text} for field, text in told if text]


def _selection_problem(selection: str, generation: str) -> str:
    if not selection.strip():
        return "it is empty, so the job mails every file of the night"
    if "#" in selection or "?" in selection:
        return "what follows # or ? is not part of the question that the archive gets"
    if generation != "C" and re.search(r"[^!-~]", selection):
        return "the job ends at a URL with blanks or other than ASCII characters in it, and nobody after this row gets a mail"
    return ""


def data_recipients(row: Mapping[str, Optional[str]]) -> List[str]:
    """Of the job for new data: the PI, and as copies the other two."""
    if row["piemail"] is None or row["selection"] is None:
        return []
    return _each([address for field in FIELDS for address in recipients(row[field])])


def check_recipients(row: Mapping[str, Optional[str]]) -> List[str]:
    """Of ``--check``: the contact scientist only. The PI's address is not used, and yet must not be NULL."""
    if row["piemail"] is None or row["selection"] is None:
        return []
    return _each(recipients(row["csemail"]))


def _meant(text: str) -> List[str]:
    return _each(_MEANT.findall(text))


def _around(text: str, address: str) -> str:
    return next((part for part in split(text) if address in part), text)


def _each(addresses: Sequence[str]) -> List[str]:
    return list(dict.fromkeys(addresses))


def _quoted(text: str) -> str:
    return '"%s"' % text
