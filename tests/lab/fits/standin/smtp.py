# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small mail server: takes what is well formed, refuses everybody, or accepts a connection and says nothing.

    python3 -m fits_storage.standin.smtp DIRECTORY [PORT]

DIRECTORY/mode holds `ok` (also when it is missing), `refuse` or `hang`, read for every connection; what was taken is
appended to DIRECTORY/messages.jsonl.
"""

from __future__ import annotations

import json
import os
import re
import socketserver
import sys
import time

DIRECTORY = "/var/lib/lab-smtp"


class Session(socketserver.StreamRequestHandler):
    """One connection."""

    def handle(self) -> None:
        if self.mode() == "hang":
            while self.mode() == "hang":
                time.sleep(0.2)
            return
        self._say("220 localhost ESMTP")
        sender = ""
        recipients: list[str] = []
        while line := self.rfile.readline().decode("utf-8", errors="replace").strip():
            word = line.partition(" ")[0].upper()
            if word == "MAIL":
                sender, recipients = _address(line), []
                self._say("250 OK")
            elif word == "RCPT" and self.mode() == "refuse":
                self._say("550 relay not permitted")
            elif word == "RCPT" and not re.fullmatch(r"[^\s<>;,@]+@[^\s<>;,@]+", _address(line)):
                self._say("501 5.1.3 Bad recipient address syntax")
            elif word == "RCPT":
                recipients.append(_address(line))
                self._say("250 OK")
            elif word == "DATA":
                self._say("354 go on")
                self._keep(sender, recipients)
                self._say("250 queued")
            elif word == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 localhost")

    @staticmethod
    def mode() -> str:
        """What to do now."""
        try:
            with open(os.path.join(DIRECTORY, "mode"), encoding="utf-8") as handle:
                return handle.read().strip()
        except FileNotFoundError:
            return "ok"

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")

    def _keep(self, sender: str, recipients: list[str]) -> None:
        lines = []
        while (line := self.rfile.readline().rstrip(b"\r\n")) != b".":
            lines.append(line.decode("utf-8", errors="replace"))
        subject = next((line[9:] for line in lines if line.startswith("Subject: ")), "")
        with open(os.path.join(DIRECTORY, "messages.jsonl"), "a", encoding="utf-8") as handle:
            handle.write(json.dumps({"from": sender, "to": recipients, "subject": subject}) + "\n")


def _address(line: str) -> str:
    found = re.search(r"<([^>]*)>", line)
    return found.group(1) if found else line.partition(":")[2]


class Server(socketserver.ThreadingTCPServer):
    """Threads, so that a connection that hangs does not keep others out."""

    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    DIRECTORY = sys.argv[1]
    with Server(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 25), Session) as server:
        server.serve_forever()
