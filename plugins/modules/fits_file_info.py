#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fits_file_info
short_description: Follow files through FITS Storage, and say where each one stopped
version_added: 1.0.0
description:
  - Follows each file from where it was made (DHS, a visiting instrument) through the storage root, its validity, the ingest queue,
    the tables C(diskfile) and C(header), the export queue and the archive, and gives it one verdict and one next step.
  - Takes a list of files in one call. The number of SQL statements does not depend on how many they are, and all rows are read in
    one read-only snapshot.
  - Every name is looked for as it is given, with C(.bz2) and without, because each part of FITS Storage keeps it differently.
  - Never lists the storage root. Places where the file is likely to be are asked for by name; the tree is searched only with
    O(search).
  - Several things may be wrong with a file. The verdict is the first that holds in the order of RV(files[].verdict), and the others
    are in RV(files[].also).
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.postgres
  - fieldops.runbooks.fits_workers
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  filename:
    description:
      - Names of files, without directory. They are taken literally, whatever characters they hold.
      - An answer is given for every name as it was passed.
    type: list
    elements: str
    required: true
  site:
    description:
      - V(fits) for a FITS server. A file that is missing there was not copied, or not ingested.
      - V(archive) for the archive. A file that is missing there was not exported to it; O(fits_url) tells whether the FITS server
        has it.
    type: str
    choices: [fits, archive]
    default: fits
  storage_root:
    description:
      - Directory below which FITS Storage keeps its files.
      - With O(site=archive) it need not be there, since the archive may keep its files in S3.
    type: path
    default: /sci/dataflow
  path:
    description:
      - Directories to look in first, relative to O(storage_root). With O(search), the trees below them are searched first as well.
      - The storage root, the directories that the database has for the file, and those of the visiting instruments for the date in
        its name are looked in anyway.
    type: list
    elements: str
    default: []
  search:
    description:
      - Search the tree of O(storage_root) for files that are in none of the likely places.
      - One pass for all of them, newest directories first, ended as soon as each was found once.
      - Stays on the file system of O(storage_root) unless O(search_one_file_system) is V(false), and follows no links.
    type: bool
    default: false
  search_timeout:
    description: Seconds for the search. What was not found by then counts as not known.
    type: float
    default: 300.0
  search_workers:
    description: Directories to read at once. More helps on network file systems, where waiting is what takes the time.
    type: int
    default: 4
  search_max_entries:
    description: Directory entries to look at before the search gives up. V(0) sets no limit.
    type: int
    default: 20000000
  search_one_file_system:
    description:
      - Whether the search leaves out what is mounted below O(storage_root). What was left out is named in RV(search.left_out).
    type: bool
    default: true
  progress_file:
    description:
      - File that tells how far the search has come, as one JSON object. It is replaced once a second while the search runs, and left
        behind at the end.
      - Its directory must be there. For another session to watch; nothing reads it back.
    type: path
  dhs_dir:
    description: Directory from which the DHS copy job takes files. An empty string when there is none.
    type: path
    default: /sci/dhs
  visitor_dirs:
    description:
      - Directories from which files of visiting instruments are copied. Looked in by name, and in their directories of the date in
        the name.
    type: list
    elements: path
    default: []
  min_age:
    description:
      - Seconds for which a file in O(dhs_dir) must be unchanged before it is copied. The default is that of generation A; C waits 5
        seconds.
      - A file that ends too early and was written less than this ago is not called invalid. It may not be complete yet.
    type: float
    default: 15.0
  window_days:
    description:
      - Days back for which cron adds files to the ingest queue.
      - Upstream's V(twentyday) compares the date B(in the name) of the file with today's, both in UTC. The time of the file itself
        does not matter, whatever the runbook says.
    type: int
    default: 20
  run_as:
    description:
      - User as whom FITS Storage runs. Whether a file can be read is found out with the rights of this user.
      - The module must run as this user or as root; as anybody else it cannot tell, and says so in RV(files[].unknown).
    type: str
    default: fitsdata
  validity:
    description:
      - Whether to check that files are valid FITS.
      - V(needed) checks those that were not ingested as they should be, V(always) all that are there, V(never) none.
      - A plain file costs a few reads, however large it is. A compressed one is decompressed to its end, in constant memory.
    type: str
    choices: [needed, always, never]
    default: needed
  validity_timeout:
    description: Seconds for checking all files. Those whose turn did not come are not checked, and RV(files[].unknown) says so.
    type: float
    default: 120.0
  archive_url:
    description:
      - Base URL of the archive, for example V(https://archive.example.org). With it, the archive is asked about each file whose
        verdict depends on it.
      - Not asked with O(site=archive).
    type: str
  fits_url:
    description:
      - Base URL of the FITS server's own web site.
      - With O(site=fits) it is asked whether it shows the files that the database has. With O(site=archive) it is asked about
        the files that the archive has not.
    type: str
  http_ca_cert:
    description: File with the certificates of the authorities that may have signed those of the web servers.
    type: path
  validate_certs:
    description: Whether certificates of web servers are verified.
    type: bool
    default: true
  http_timeout:
    description: Seconds for all questions to one web server together; they are asked in parallel.
    type: float
    default: 20.0
  max_errors:
    description: Stored errors to return for each file and queue, newest first.
    type: int
    default: 5
  max_log_lines:
    description: Log lines to return for each file, newest first. V(0) reads no logs.
    type: int
    default: 20
  since:
    description:
      - Log lines older than this local time are left out, written as C(2026-01-30) or C(2026-01-30 08:00:00).
      - Without it, the logs are read back for O(max_log_bytes).
    type: str
  max_log_bytes:
    description: Bytes to read at most of all logs together, each from its end, the older rotations last. V(0) sets no limit.
    type: int
    default: 67108864
notes:
  - The web servers are asked for C(/jsonfilelist/present/filename=NAME) with the name without C(.bz2), as upstream's own export
    does. This lists engineering files as well.
  - The runbook looks for the exact name in C(diskfile). That misses files of the archive and of visiting instruments, which are kept
    there as C(NAME.fits.bz2).
  - In generation A an export that is in progress, has not failed, and has failed to transfer once, is backing off. The
    runbook would have it reset; it is retried by itself.
  - The runbook looks for errors in C(queue_error), ordered by C(date). The column is C(added), and generation C has no such table but
    keeps the errors on the rows of the queue. RV(files[].errors) has either.
  - The runbook says that a failed export is not tried again. That is so in generation B; C's service tries it again by itself, and
    A's does not call it failed.
  - Observing logs (C(_obslog.txt)) and C(miscfile_) files have no header row, and are not the worse for it.
seealso:
  - module: fieldops.runbooks.fits_queue_info
  - module: fieldops.runbooks.fits_queue_reset
  - module: fieldops.runbooks.fits_enqueue
  - module: fieldops.runbooks.fits_permissions
"""

EXAMPLES = r"""
- name: Where is this file?
  fieldops.runbooks.fits_file_info:
    filename: N20200804S0091.fits
    peer_user: fitsdata
  become: true
  register: followed

- name: Say it in one line
  ansible.builtin.debug:
    msg: "{{ followed.files[0].summary }} Next: {{ followed.files[0].next_step.text }}"

- name: Follow a whole list to the archive, searching the tree for what is in none of the likely places
  fieldops.runbooks.fits_file_info:
    filename:
      - N20200804S0091.fits
      - N20201023A0021.fits
      - N20200926G0057.fits
    archive_url: https://archive.example.org
    search: true
    search_timeout: 600
    progress_file: /run/fits_search.json
    peer_user: fitsdata
  become: true

- name: On the archive, ask the FITS server as well
  fieldops.runbooks.fits_file_info:
    filename: N20200804S0091.fits
    site: archive
    fits_url: https://fits.example.org
    peer_user: fitsdata
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
verdicts:
  description: How many files got each verdict. Verdicts of no file are left out.
  returned: always
  type: dict
  sample: {"available": 2, "failed_ingest": 1}
files:
  description: What was found, in the order of O(filename).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The name as it was asked for.
      type: str
      sample: N20200804S0091.fits
    verdict:
      description:
        - Where the file stands. The first of these that holds.
        - V(duplicate_canonical) (critical) - two rows of C(diskfile) are present and canonical. Two services worked on one row; exports
          of the file fail for ever. A person must decide which one is true.
        - V(unreadable) (critical) - on the storage root, but O(run_as) cannot read it. RV(files[].where[].blocked_at) names what is in
          the way. Mend the permissions.
        - V(invalid) (warning) - on the storage root, but no valid FITS, or no regular file. Have it written anew.
        - V(starved) (critical) - waits on the ingest queue behind an orphan of the same file, for ever. Repair the queue.
        - V(orphaned) (critical) - in progress on the ingest queue, and no worker can be on it. Repair the queue.
        - V(in_progress) (info) - a worker is, or may be, ingesting it. Wait.
        - V(queued) (info) - waits on the ingest queue. Wait, and look whether the queue moves.
        - V(deferred) (info) - waits on the ingest queue for a time that lies ahead. Wait.
        - V(unpoppable) (critical) - its row can never be popped, because of NULL or infinity. Repair the queue.
        - V(failed_ingest) (warning) - its ingest failed. Mend what the stored error names, then repair the queue.
        - V(gone_from_disk) (warning) - the database has it as present, but it is not where the database says. Restore it, or have
          upstream's C(rollcall.py) note it.
        - V(not_canonical) (warning) - ingested, but the row that is present is not canonical, so that searches miss it. Ingest it
          again with force.
        - V(no_header) (warning) - ingested without a header row, though it is valid FITS. Ingest it again with force.
        - V(unknown) (warning) - what would decide could not be found out; RV(files[].unknown) says what. Remove that obstacle, and
          run it again.
        - V(not_queued) (warning) - on the storage root, and neither on the ingest queue nor in the database. Queue it.
        - V(outside_window) (warning) - the same, and cron will never queue it, because the date in its name is not one of the last
          O(window_days) days. Queue it by hand.
        - V(refused_by_copy) (warning) - in O(dhs_dir) or one of O(visitor_dirs), and refused by the copy job, with the reason. Mend
          the file.
        - V(not_copied) (warning) - in O(dhs_dir) or one of O(visitor_dirs), and nothing is wrong with it, but it was not copied. Look
          after the copy job.
        - V(archive_missing) (warning) - should be at the archive, but is not, and nothing of it is queued. Queue its export.
        - V(not_present) (info) - was ingested, and later cleared from the storage root for space. Get it from the archive.
        - V(not_found) (warning) - nowhere. Neither in the database, nor on the storage root as far as it was looked through, nor where
          files are copied from. Search the tree if that was not done, else ask who takes the data.
        - V(export_orphaned) (critical) - in progress on the export queue, and no worker can be on it; or waits behind such a row.
          Repair the export queue.
        - V(archive_unreachable) (warning) - the archive did not answer the question about it. Look after the archive's web server.
        - V(export_failed) (warning) - its export failed, or its row can never be popped. Mend what the stored error names, then repair
          the export queue.
        - V(archive_pending) (info) - at the archive, on the archive's own ingest queue. Look at that queue.
        - V(export_backoff) (info) - its export failed to transfer and is tried again by itself, or waits for a time that lies ahead.
          Nothing to reset.
        - V(export_waiting) (info) - on the export queue, or being exported. Wait, and look whether the queue moves.
        - V(archive_differs) (warning) - the archive has other data under its name. Queue its export.
        - V(website_differs) (warning) - in the database as it should be, but the web site of O(fits_url) does not show it, or does not
          answer. Look after the web server.
        - V(failed_stale) (info) - nothing is missing; a row that failed before a later ingest succeeded is left on the ingest queue.
          Remove it when convenient.
        - V(engineering) (info) - all is well, but it is marked as engineering data, which searches leave out. Search with
          C(/includeengineering).
        - V(available) (ok) - all is well as far as it was asked. Nothing to do.
      type: str
      sample: failed_ingest
    also:
      description: Verdicts that hold as well, in the same order.
      type: list
      elements: str
      sample: [archive_missing]
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: warning
    stopped_at:
      description:
        - The leg of the way on which the file is held up. One of V(copy), V(storage), V(queueing), V(ingest), V(database),
          V(website), V(export), V(archive), or V(none) when it is not.
      type: str
      sample: ingest
    summary:
      description: One sentence for a person.
      type: str
      sample: "N20200804S0091.fits failed to be ingested: OSError: no end card found"
    next_step:
      description: The one thing to do next, as a playbook with variables where there is one, and in words.
      type: dict
      contains:
        playbook:
          description: Playbook of this collection; null where only a person can help.
          type: str
          sample: fieldops.runbooks.fits_ingest_queue
        vars:
          description: Variables for it.
          type: dict
          sample: {"fits_repair": true, "fits_filename": ["N20200804S0091.fits"]}
        text:
          description: What it does, or who to call.
          type: str
          sample: mend what the error names, then put the row back in line
        hosts:
          description: Groups of the inventory that the playbook is to be run on, where that is not this host.
          returned: when it is to be run elsewhere
          type: str
          sample: archive_servers
    unknown:
      description: What could not be found out, each in one sentence. The verdict does not rest on it, unless it is V(unknown).
      type: list
      elements: str
      sample: ["the tree below /sci/dataflow was not searched"]
    where:
      description: Every place where the file was found.
      type: list
      elements: dict
      contains:
        area:
          description: V(storage), V(dhs) or V(visitor).
          type: str
          sample: storage
        path:
          description: Directory, relative to the root of that area; empty for the root itself.
          type: str
          sample: alopeke/20201023
        filename:
          description: The name as it is there.
          type: str
          sample: N20201023A0021.fits.bz2
        full:
          description: Absolute path.
          type: str
          sample: /sci/dataflow/alopeke/20201023/N20201023A0021.fits.bz2
        size:
          description: Bytes.
          type: int
          sample: 4219200
        mtime:
          description: When it was last written, in UTC.
          type: str
          sample: "2020-10-23T05:12:44Z"
        owner:
          description: User that it belongs to.
          type: str
          sample: observer
        group:
          description: Group that it belongs to.
          type: str
          sample: geminidata
        mode:
          description: Permissions in octal.
          type: str
          sample: "0640"
        readable:
          description: Whether O(run_as) can read it; null when that cannot be tested.
          type: bool
          sample: false
        blocked_at:
          description: The first part of the path that O(run_as) cannot pass, or the file itself; null when there is none.
          type: str
          sample: /sci/dataflow/alopeke/20201023
        problem:
          description: Anything else that keeps it from being ingested; empty when nothing does.
          type: str
          sample: it is a link out of the storage root
    validity:
      description: Whether the file is valid FITS, for the best copy that was found; null when it was not checked.
      type: dict
      contains:
        full:
          description: Absolute path of the copy that was checked.
          type: str
          sample: /sci/dataflow/N20200804S0091.fits
        opens:
          description: Whether it can be opened; null when that could not be found out.
          type: bool
          sample: false
        reason:
          description: What is wrong with it; empty when nothing is.
          type: str
          sample: "data of HDU 1 ends after 144000 of 4194304 bytes"
        telescop:
          description: Value of the keyword C(TELESCOP); null when it is missing.
          type: str
          sample: Gemini-North
        hdus:
          description: Header and data units that are intact.
          type: int
          sample: 1
        size:
          description: Bytes, decompressed, as far as they are intact.
          type: int
          sample: 146880
        cut_off:
          description: Whether it ends too early, as a file does that is still being written.
          type: bool
          sample: true
    diskfiles:
      description: Rows of C(diskfile), canonical and present ones first, at most 20.
      type: list
      elements: dict
      sample:
        - id: 7
          filename: N20200804S0091.fits
          path: ""
          present: true
          canonical: true
          file_size: 4219200
          file_md5: 9e107d9d372bb6826bd81d3542a419d6
          data_md5: 9e107d9d372bb6826bd81d3542a419d6
          lastmod: "2020-08-04T09:00:00Z"
          entrytime: "2020-08-04T09:00:21Z"
          isfits: true
          mdready: true
          header: {"id": 5, "program_id": "GN-2020B-Q-1", "qa_state": "Pass", "engineering": false}
    queues:
      description: Rows of the queues C(ingest) and C(export), as the entries that M(fieldops.runbooks.fits_queue_info) returns.
      type: dict
      sample:
        ingest: []
        export:
          - id: 12
            filename: N20200804S0091.fits
            path: ""
            destination: https://archive.example.org
            condition: pending
            age: 86.5
            added: "2026-01-30T08:00:00"
            after: "2026-01-30T08:00:00"
            failed_at:
            error:
            queue_errors: []
            may_be_live: false
            twin_of:
            note: ""
    errors:
      description: Stored errors, newest first, from C(queue_error) in generations A and B and from the rows in C.
      type: list
      elements: dict
      sample: [{"queue": "ingest", "at": "2026-01-30 08:00:00", "error": "OSError: no end card found"}]
    log:
      description: Lines of the logs of copying, queueing, ingest and export that name the file, newest first.
      type: list
      elements: dict
      sample:
        - job: copy_from_dhs
          file: copy_from_dhs.py.log
          line: "2026-01-30 08:00:00,123 4711:copy_from_dhs:79 WARNING: TELESCOP keyword missing in file /sci/dhs/N20200804S0091.fits"
    archive:
      description: What the archive answered; null when it was not asked.
      type: dict
      contains:
        url:
          description: The question.
          type: str
          sample: https://archive.example.org/jsonfilelist/present/filename=N20200804S0091.fits
        answered:
          description: Whether there was an answer that makes sense.
          type: bool
          sample: true
        error:
          description: Why not; empty when there was one.
          type: str
          sample: ""
        present:
          description: Whether it has the file; null when there was no answer.
          type: bool
          sample: true
        pending_ingest:
          description: Whether the file is on its ingest queue, failed rows included.
          type: bool
          sample: false
        same_data:
          description: Whether its checksum is the one of the database; null when one of them is not known.
          type: bool
          sample: true
    website:
      description: What the web site of the FITS server answered, in the same form; null when it was not asked.
      type: dict
      sample:
        url: https://fits.example.org/jsonfilelist/present/filename=N20200804S0091.fits
        answered: true
        error: ""
        present: true
        pending_ingest: false
        same_data: true
search:
  description: What became of the search of the tree; null when there was none.
  returned: always
  type: dict
  contains:
    wanted:
      description: Names that were searched for.
      type: int
      sample: 2
    found:
      description: How many of them were found.
      type: int
      sample: 1
    complete:
      description: Whether the whole tree was seen, or all were found.
      type: bool
      sample: true
    stopped:
      description: What ended it before that. One of V(timeout), V(entries), or empty.
      type: str
      sample: ""
    entries:
      description: Directory entries that were seen.
      type: int
      sample: 1000042
    directories:
      description: Directories that were read.
      type: int
      sample: 2011
    seconds:
      description: Seconds that it took.
      type: float
      sample: 2.7
    denied:
      description: Directories that could not be read. At most 20 are named.
      type: list
      elements: str
      sample: [/sci/dataflow/.snapshot]
    denied_total:
      description: How many could not be read.
      type: int
      sample: 1
    left_out:
      description: Directories on other file systems, which were not searched. At most 20 are named.
      type: list
      elements: str
      sample: []
findings:
  description: One for each file. Its code is C(fits.file.) and the verdict, its remedy the next step.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: fits.file.failed_ingest
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: warning
    subject:
      description: What it is about.
      type: str
      sample: N20200804S0091.fits
    summary:
      description: One sentence for a person.
      type: str
      sample: "N20200804S0091.fits failed to be ingested: OSError: no end card found"
    detail:
      description: The same for a program.
      type: dict
      sample: {"verdict": "failed_ingest", "stopped_at": "ingest", "also": [], "unknown": []}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
        playbook: fieldops.runbooks.fits_ingest_queue
        vars: {"fits_repair": true, "fits_filename": ["N20200804S0091.fits"]}
        text: mend what the error names, then put the row back in line
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "fits.rst", "heading": "General Considerations"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"timezone": "Pacific/Honolulu"}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.041
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.command import CommandError
from ..module_utils.connect.postgres import PostgresError
from ..module_utils.fits.argspec import POSTGRES, WORKERS
from ..module_utils.fits.errors import FitsError
from ..module_utils.fits.follow import FileInfo
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {
        "filename": {"type": "list", "elements": "str", "required": True},
        "site": {"type": "str", "choices": ["fits", "archive"], "default": "fits"},
        "storage_root": {"type": "path", "default": "/sci/dataflow"},
        "path": {"type": "list", "elements": "str", "default": []},
        "search": {"type": "bool", "default": False},
        "search_timeout": {"type": "float", "default": 300.0},
        "search_workers": {"type": "int", "default": 4},
        "search_max_entries": {"type": "int", "default": 20000000},
        "search_one_file_system": {"type": "bool", "default": True},
        "progress_file": {"type": "path"},
        "dhs_dir": {"type": "path", "default": "/sci/dhs"},
        "visitor_dirs": {"type": "list", "elements": "path", "default": []},
        "min_age": {"type": "float", "default": 15.0},
        "window_days": {"type": "int", "default": 20},
        "run_as": {"type": "str", "default": "fitsdata"},
        "validity": {"type": "str", "choices": ["needed", "always", "never"], "default": "needed"},
        "validity_timeout": {"type": "float", "default": 120.0},
        "archive_url": {"type": "str"},
        "fits_url": {"type": "str"},
        "http_ca_cert": {"type": "path"},
        "validate_certs": {"type": "bool", "default": True},
        "http_timeout": {"type": "float", "default": 20.0},
        "max_errors": {"type": "int", "default": 5},
        "max_log_lines": {"type": "int", "default": 20},
        "since": {"type": "str"},
        "max_log_bytes": {"type": "int", "default": 67108864},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(POSTGRES, WORKERS).to_kwargs())
    run_info(module, FileInfo, (PostgresError, FitsError, CommandError))


if __name__ == "__main__":
    main()
