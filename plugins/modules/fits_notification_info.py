#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fits_notification_info
short_description: Tell why a user did not get the e-mail about new data
version_added: 1.0.0
description:
  - Follows an e-mail of FITS Storage's notification job from the crontab to the mail server. Is the job enabled, for new data
    and for C(--check), does its script exist, did it run when it should, and did it come to its end? Is there a row for the
    program in table C(notification), and what will its e-mail fields really become? Does the archive find files for its
    selection? Was a mail sent for it on O(date), and what did the mail server say?
  - The job is C(YouGotDataEmail.py) in generations A and B and C(send_new_data_notification_emails.py) in C. Crontabs often name
    one where the other is installed, or have the lines commented out.
  - A program is matched exactly, by the selection C(PROGRAM/science) or the label C(Auto - PROGRAM) that the loader writes. The
    runbook's C(LIKE) also finds longer ids (C(-Q-1) finds C(-Q-10)); such rows are told apart as look-alikes.
  - Each address field is read as the job reads it. It splits at commas, and at blanks only if every part has an C(@). It does
    not split at semicolons, so only the first address gets the mail while the log says that all went well.
  - Only reads. Nothing is mailed, and no crontab or row is changed. Rows come from the observatory's database and would be
    reset from there, so they are better mended at their source.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.postgres
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  program_id:
    description:
      - Programs whose notifications are looked up, for example V(GN-2019A-FT-211).
      - Without it, every row is checked for fields that the job will misread, and the archive is not asked.
    type: list
    elements: str
    default: []
  date:
    description: Night that the e-mail should have been about, as V(YYYYMMDD). V(today) is that of UTC, as in the job itself.
    type: str
    default: today
  cron_users:
    description: Users whose crontabs are read.
    type: list
    elements: str
    default: [fitsdata, root]
  cron_dirs:
    description: Directories of the users' crontabs, where each file is named after its user. Those that do not exist are passed over.
    type: list
    elements: path
    default: [/var/spool/cron/crontabs, /var/spool/cron]
  system_crontabs:
    description: Crontabs with a column for the user, and directories of such. Those that do not exist are passed over.
    type: list
    elements: path
    default: [/etc/crontab, /etc/cron.d]
  log_dir:
    description: Directories of the job's logs.
    type: list
    elements: path
    default: [/data/logs]
  max_age:
    description: Seconds after which the last run of a job is too old. The default is 26 hours; the job runs once a day.
    type: float
    default: 93600.0
  archive_url:
    description: Server that the job asks for new data.
    type: str
    default: https://archive.gemini.edu
  fits_url:
    description:
      - Server that the job asks with C(--check), for example V(http://fits.example.org). It is C(http://) and the
        C(fits_server_name) of FITS Storage's configuration.
      - Without it, that question is not asked, and RV(evidence) says so.
    type: str
  http_ca_cert:
    description:
      - File with the certificates of the authorities that may have signed those of O(archive_url) and O(fits_url). Without it,
        those that this node trusts.
      - O(ca_cert) is for the database.
    type: path
  timeout:
    description: Seconds to wait for each answer of the two servers. They are asked in parallel.
    type: float
    default: 10.0
  max_entries:
    description: Rows to list in RV(notifications). V(0) lists all. Findings are about all rows.
    type: int
    default: 1000
notes:
  - Crontabs of users can be read only by root.
  - The log does not say which of its two jobs a run was, unless it mailed something or ran with C(--debug); RV(runs[].job) is then
    null.
  - The job asks for its date in UTC, and files that the archive receives after the job ran are in no e-mail of that day.
seealso:
  - module: fieldops.runbooks.archive_ot_info
"""

EXAMPLES = r"""
- name: Why did nobody of this program get an e-mail last night?
  fieldops.runbooks.fits_notification_info:
    program_id: GN-2019A-FT-211
    date: "20190803"
    fits_url: http://fits.example.org
  become: true
  register: mail

- name: Do the jobs run, and which e-mail fields will be misread?
  fieldops.runbooks.fits_notification_info:
  become: true
"""

RETURN = r"""
schema_generation:
  description: As returned by M(fieldops.runbooks.fits_queue_info).
  returned: always
  type: str
  sample: C
database:
  description: Name of the database that was read.
  returned: always
  type: str
  sample: fitsdata
date:
  description: The night that was asked for.
  returned: always
  type: str
  sample: "20190803"
cron:
  description: Lines of crontabs that run one of the two jobs, or would if they were not commented out.
  returned: always
  type: list
  elements: dict
  contains:
    file:
      description: The crontab.
      type: str
      sample: /var/spool/cron/crontabs/fitsdata
    line:
      description: Number of the line.
      type: int
      sample: 14
    user:
      description: As whom it runs.
      type: str
      sample: fitsdata
    job:
      description: V(data) for e-mails about new data, V(check) with C(--check).
      type: str
      sample: data
    schedule:
      description: When it runs.
      type: str
      sample: 0 8 * * *
    script:
      description: The script that the line names.
      type: str
      sample: /opt/FitsStorage/fits_storage/scripts/YouGotDataEmail.py
    active:
      description: Whether it is not commented out.
      type: bool
      sample: true
    exists:
      description: Whether the script is there; null if that cannot be seen.
      type: bool
      sample: false
    last_due:
      description: When it last had to run, in the node's time; null if that is more than a year ago or never.
      type: str
      sample: "2019-08-03T08:00:00"
    next_due:
      description: When it will run next, in the node's time; null if not within a year.
      type: str
      sample: "2019-08-04T08:00:00"
notifications:
  description: Rows of table C(notification), those with problems first.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Number of the row.
      type: int
      sample: 211
    label:
      description: Its label.
      type: str
      sample: Auto - GN-2019A-FT-211
    selection:
      description: What is asked for at the archive.
      type: str
      sample: GN-2019A-FT-211/science
    internal:
      description: Column of that name.
      type: bool
      sample: false
    match:
      description: V(exact) or V(look_alike) for O(program_id); V(any) when none is given.
      type: str
      sample: exact
    recipients:
      description: Addresses that the job for new data will pass to the mail server, apart from its own administrator's.
      type: list
      elements: str
      sample: [pi@example.org]
    check_recipients:
      description: The same for C(--check).
      type: list
      elements: str
      sample: []
    problems:
      description: What will not be as it was meant, by field.
      type: list
      elements: dict
      sample:
        - field: piemail
          text: pi@example.org;coi@example.org
          problem: "the job does not split at ';', so only the first address gets the mail"
    mailed:
      description: When mails for its selection were sent for O(date), in the node's time.
      type: list
      elements: str
      sample: ["2019-08-03T08:00:07"]
answers:
  description: What the two servers answer to the questions of the job.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Number of the row.
      type: int
      sample: 211
    job:
      description: V(data) or V(check).
      type: str
      sample: data
    url:
      description: What was asked, as the job of this generation asks it.
      type: str
      sample: https://archive.example.org/summary/nolinks/night=20190803/GN-2019A-FT-211/science
    searchform:
      description: The same for a person with a browser.
      type: str
      sample: https://archive.example.org/searchform/night=20190803/GN-2019A-FT-211/science
    status:
      description: HTTP status; null when no answer came.
      type: int
      sample: 200
    error:
      description: Why no answer came; else empty.
      type: str
      sample: ""
    recognised:
      description: Whether the server understood the selection; null when no page came.
      type: bool
      sample: true
    matched:
      description: Whether files are listed, so that the job would mail; null when no page came.
      type: bool
      sample: true
runs:
  description: Runs of the jobs that the logs still tell of, newest first, at most 20.
  returned: always
  type: list
  elements: dict
  contains:
    log:
      description: The log.
      type: str
      sample: /data/logs/YouGotDataEmail.py.log
    pid:
      description: Process that it was.
      type: int
      sample: 4711
    job:
      description: V(data) or V(check); null when the log does not tell.
      type: str
      sample: data
    date:
      description: The night that it was about.
      type: str
      sample: "20190803"
    started:
      description: First line, in the node's time.
      type: str
      sample: "2019-08-03T08:00:01"
    last:
      description: Last line, in the node's time.
      type: str
      sample: "2019-08-03T08:00:07"
    state:
      description: >-
        V(ended) normally, V(running), V(hung) on a mail that it is sending, V(died) when it neither ended nor lives, or V(unknown)
        when its process cannot be seen.
      type: str
      sample: ended
    mails:
      description: What it sent, or tried to.
      type: list
      elements: dict
      sample: [{"subject": "New Data for GN-2019A-FT-211/science", "at": "2019-08-03T08:00:06", "result": "accepted"}]
    errors:
      description: Its newest warnings and errors, at most 20.
      type: list
      elements: str
      sample: []
findings:
  description: What is so, worst or not.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: fits.notification.hung
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: critical
    subject:
      description: What it is about.
      type: str
      sample: YouGotDataEmail.py
    summary:
      description: One sentence for a person.
      type: str
      sample: "the job has been sending an e-mail for 90061 seconds (pid 4711): the mail server does not answer"
    detail:
      description: The same for a program.
      type: dict
      sample: {"pid": 4711, "since": "2026-01-31T08:00:07"}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": null, "vars": {}, "text": "ask ITOps to look at the mail server, then end process 4711 and run the job again for that date"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "fits.rst", "heading": "User Notifications"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"generation": "A", "crontabs": ["/var/spool/cron/crontabs/fitsdata"], "unreadable": []}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.213
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.postgres import PostgresError
from ..module_utils.fits.argspec import POSTGRES
from ..module_utils.fits.errors import FitsError
from ..module_utils.fits.notification import NotificationInfo
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {
        "program_id": {"type": "list", "elements": "str", "default": []},
        "date": {"type": "str", "default": "today"},
        "cron_users": {"type": "list", "elements": "str", "default": ["fitsdata", "root"]},
        "cron_dirs": {"type": "list", "elements": "path", "default": ["/var/spool/cron/crontabs", "/var/spool/cron"]},
        "system_crontabs": {"type": "list", "elements": "path", "default": ["/etc/crontab", "/etc/cron.d"]},
        "log_dir": {"type": "list", "elements": "path", "default": ["/data/logs"]},
        "max_age": {"type": "float", "default": 93600.0},
        "archive_url": {"type": "str", "default": "https://archive.gemini.edu"},
        "fits_url": {"type": "str"},
        "http_ca_cert": {"type": "path"},
        "timeout": {"type": "float", "default": 10.0},
        "max_entries": {"type": "int", "default": 1000},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(POSTGRES).to_kwargs())
    run_info(module, NotificationInfo, (PostgresError, FitsError))


if __name__ == "__main__":
    main()
