# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YouGotDataEmail.py (A, B) and send_new_data_notification_emails.py (C): who has new data, and who gets told.

An address with `;` in it goes to smtplib as one: Python since 2024 sends all of it, which a mail server refuses, older ones
send the first of the two. Either way the others are accepted, and the log is content.

No time-out on SMTP: a mail server that accepts and says nothing stops the script at `Sending Email-` for ever.
"""

from __future__ import annotations

import argparse
import smtplib
import sys
import urllib.request
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

from . import clock, queues, settings
from .log import Log
from .queues import Queue, Row

ADMINISTRATOR = "fitsadmin@example.org"  # gets every mail
WARNING = "WARNING: I didn't recognize the following search terms"
SITES = {
    "old": {"start": 66, "null": 97, "url": 106, "invalid": 110, "subject": 116, "send": 152, "list": 153, "ok": 157, "refused": 159, "end": 161},
    "new": {"start": 68, "null": 105, "url": 119, "invalid": 134, "subject": 142, "send": 177, "list": 180, "ok": 185, "refused": 188, "end": 199},
}


def addresses(text: str | None) -> list[str]:
    """Parted at commas, and at spaces only if every part has an @."""
    found = []
    for part in (text or "").split(","):
        words = part.strip().split(" ")
        found += words if all("@" in word for word in words) else [part.strip()]
    return [address for address in found if address]


class Mailer:
    """One run over all notifications."""

    def __init__(self, config: settings.Settings, options: argparse.Namespace, log: Log) -> None:
        self.config = config
        self.options = options
        self.log = log
        self.new = config.generation == "C"
        self._sites = SITES["new" if self.new else "old"]
        self.date = clock.utc().strftime("%Y%m%d") if options.date == "today" else options.date

    def at(self, name: str) -> str:
        """`<module>:<line>`."""
        return f"{'send_new_data_notification_emails' if self.new else 'YouGotDataEmail'}:{self._sites[name]}"

    def run(self) -> None:
        """C goes on after an error of one notification; A and B end there, and tell nobody else."""
        connection = queues.connect(self.config.database or "")
        rows = Queue(connection, self.config.generation, "ingest").fetch("SELECT * FROM notification")
        for row in rows:
            try:
                self._one(row)
            except Exception:
                if not self.new:
                    raise
                self.log.error(
                    "Unhandled Error sending email notification: id %d, selection %s", row["id"], row["selection"], at="send_new_data:195", exc_info=True
                )

    def _one(self, row: Row) -> None:
        selection = row["selection"]
        if selection is None or row["piemail"] is None:
            self.log.error("Critical fields are None in notification id: %s; label: %s", row["id"], row["label"], at=self.at("null"))
            return
        html = self._ask(selection)
        if WARNING in html:
            self.log.warning("Invalid selection seen when querying archive: %s", selection, at=self.at("invalid"))
        elif ".fits" in html:
            self._send(row, html)

    def _url(self, kind: str, selection: str) -> str:
        base = f"http://{self.config.fits_server_name}" if self.options.check else self.config.archive_url
        date = f"night={self.date}" if self.new else self.date
        return f"{base}/{kind}/{date}/{selection}"

    def _ask(self, selection: str) -> str:
        url = self._url("summary/nolinks", selection + "/CHECK" if self.options.check else selection)
        self.log.debug("URL is: %s", url, at=self.at("url"))
        try:
            with urllib.request.urlopen(url, timeout=10 if self.new else None) as answer:  # noqa: S310 - the URL is configuration
                return str(answer.read(), "utf-8")
        except OSError:
            if not self.new:
                raise
            self.log.error("Unable to fetch %s for notification %s", url, selection, at="send_new_data:129", exc_info=True)
            return ""

    def _send(self, row: Row, html: str) -> None:
        check = self.options.check
        subject = ("Data set to CHECK for %s" if check else "New Data for %s") % row["selection"]
        self.log.info(subject, at=self.at("subject"))
        to = row["csemail"] if check else row["piemail"]
        copies = "" if check else ", ".join(address for address in (row["ngoemail"], row["csemail"]) if address is not None)
        message = MIMEMultipart()
        for name, value in (("Subject", subject), ("From", self.config.email_from), ("To", to), ("Cc", copies)):
            message[name] = value
        message.attach(MIMEText(self._url("searchform", row["selection"]), "plain"))
        message.attach(MIMEText(html, "html"))
        recipients = [*addresses(to), *addresses(copies), ADMINISTRATOR]
        if getattr(self.options, "dryrun", False):
            self.log.info("Dryrun - NOT Sending Email- To: %s; CC: %s; Subject: %s", to, copies, subject, at=self.at("send"))
            return
        self.log.info("Sending Email- To: %s; CC: %s; Subject: %s", to, copies, subject, at=self.at("send"))
        self.log.debug("Full list: %s", recipients, at=self.at("list"))
        try:
            smtp = smtplib.SMTP(self.config.smtp_server)
            smtp.sendmail(self.config.email_from, recipients, message.as_string())
            self.log.info("SMTP seems to have worked OK: %s", str(smtp.quit()), at=self.at("ok"))
        except smtplib.SMTPRecipientsRefused as error:
            self.log.error("Error sending mail message - Exception: %s: %s", type(error), error, at=self.at("refused"))


def _parse(new: bool) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--date", default="today")
    for flag in ("check", "debug", "demon", *(["dryrun"] if new else [])):
        parser.add_argument("--" + flag, action="store_true")
    for option in () if new else ("emailfrom", "replyto"):
        parser.add_argument("--" + option)
    return parser.parse_args()


def main(script: str) -> None:
    """The script. A's log says Youve, its file name does not."""
    config = settings.load(script)
    new = config.generation == "C"
    options = _parse(new)
    log = Log(config.log_dir, config.generation)
    log.configure(options.debug, options.demon, None)
    if new and not config.email_from:
        log.error("No email_from defined in Fits Storage Configuration. Exiting", at="send_new_data_notification_emails:58")
        sys.exit(1)
    mailer = Mailer(config, options, log)
    name = "send_new_data_notification_emails.py" if new else "YouveGotDataEmail.py"
    if new:
        log.info("%s starting up at %s. Processing date %s", name, clock.local(), options.date, at=mailer.at("start"))
    else:
        log.info("%s starting for date %s", name, options.date, at=mailer.at("start"))
    mailer.run()
    log.info("%s exiting normally%s", name, f" at {clock.local()}" if new else "", at=mailer.at("end"))
