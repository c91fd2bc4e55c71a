#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_health_info
short_description: Tell whether a node is as it should be, at one look
version_added: 1.0.0
description:
  - Compares a node with what is expected of it. Processes, units, listening sockets, directories and disk space, logs, web
    services, ports and certificates are all looked at in one call.
  - What is expected comes from options, usually from group variables. Nothing is expected that was not asked for.
  - Each expectation that does not hold gives a finding. A list whose expectations all hold gives a single finding of severity
    V(ok).
  - What cannot be known is a finding of its own, whose code ends in C(.unknown). It never counts as a success. A probe that does
    not answer, or a file system that hangs, ends with O(timeout) and does not keep the others from being looked at.
  - Reads only, and works as any user; what a user other than root could not see is told in RV(evidence).
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.record
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  processes:
    description:
      - Processes that must run. The module's own process never counts.
      - Findings C(node.process.missing), C(.too_many), C(.wrong_owner) (they run, but as another user), C(.young) and C(.old).
    type: list
    elements: dict
    suboptions:
      program:
        description:
          - The program, or the script that an interpreter runs. With a slash the whole path is compared as the command line
            has it, without one the last part of the path.
        type: str
      args:
        description: Words that must all be on the command line, each of them whole.
        type: list
        elements: str
        default: []
      title:
        description:
          - "Regular expression that must match the whole command line. For processes that set it themselves, as nginx does:
            V(nginx: worker process.*)"
        type: str
      owner:
        description: User who must run them.
        type: str
      min:
        description: At least so many. V(0) together with O(processes[].max=0) means that none may run.
        type: int
        default: 1
      max:
        description: At most so many.
        type: int
      min_age:
        description: Seconds that each must have been running. A younger one was restarted a moment ago.
        type: float
      max_age:
        description: Seconds that none may have been running for longer. For jobs that must come to an end.
        type: float
      containers:
        description: Whether processes in containers of this node count as well.
        type: bool
        default: false
      name: &name
        description: What the expectation is called in results and findings. The default is made from what it asks for.
        type: str
      code: &code
        description: Start of the finding's code, in place of C(node.) and the kind of expectation.
        type: str
      severity: &severity
        description: Severity of the findings that tell that the expectation does not hold, in place of the module's own choice.
        type: str
        choices: [info, warning, critical]
      subject: &subject
        description: Subject of the findings. The default is the name.
        type: str
      runbook: &runbook
        description: Heading of the runbook, in O(runbook_file).
        type: str
      remedy: &remedy
        description: What would mend it, for the findings.
        type: dict
        suboptions:
          text:
            description: In words.
            type: str
            required: true
          playbook:
            description: Playbook that would mend it.
            type: str
          vars:
            description: Variables of that playbook.
            type: dict
            default: {}
  units:
    description:
      - Services that systemd, upstart or the init scripts of System V run. All of them are asked for in one call.
      - Findings C(node.unit.unknown_unit) (there is none of that name), C(.failed), C(.inactive), C(.active) (though it should
        not be), C(.exited) (it counts as active, but its processes have ended), C(.flapping), C(.not_enabled), C(.enabled)
        and C(.killed) (the last stop took so long that the processes were killed).
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the unit, with or without C(.service). For systemd it may be a pattern such as V(fits-service_ingest_queue*).
        type: str
        required: true
      state:
        description: State that each unit must be in. A unit that waits to be restarted, or has just been, is not active but flapping.
        type: str
        choices: [active, inactive, any]
        default: active
      enabled:
        description: Whether the unit must, or must not, be started at boot.
        type: bool
      max_restarts:
        description: Restarts by systemd that are accepted since the unit was last started by a person.
        type: int
      min_uptime:
        description: Seconds that a unit which was restarted by systemd must have stayed up, or it counts as flapping.
        type: float
      code: *code
      severity: *severity
      subject: *subject
      runbook: *runbook
      remedy: *remedy
  sockets:
    description:
      - Sockets on which something must listen on this node, as the kernel tells.
      - Findings C(node.socket.not_listening) and C(.wrong_program).
    type: list
    elements: dict
    suboptions:
      port:
        description: Number of the port.
        type: int
      protocol:
        description: Protocol of O(sockets[].port).
        type: str
        choices: [tcp, udp]
        default: tcp
      address:
        description:
          - Address that must be reachable through the socket, V(0.0.0.0) and V(::) for all of a family. A socket that listens on
            all addresses serves each of them.
        type: str
      path:
        description: Path of a Unix socket, or its name after V(@) where it is abstract.
        type: str
      program:
        description: Program that must listen, compared as O(processes[].program).
        type: str
      owner:
        description: User who must run that program.
        type: str
      name: *name
      code: *code
      severity: *severity
      subject: *subject
      runbook: *runbook
      remedy: *remedy
  paths:
    description:
      - Files and directories, and the file systems that they are on.
      - Findings C(node.path.missing), C(.present) (though it should not be), C(.wrong_type), C(.wrong_owner), C(.wrong_mode),
        C(.unreadable), C(.not_mounted), C(.read_only), C(.low_space), C(.low_inodes), C(.stale), C(.deleted_open),
        C(.unaccounted), C(.not_released) and C(.snapshots).
    type: list
    elements: dict
    suboptions:
      path:
        description: Absolute path.
        type: str
        required: true
      exists:
        description: What must be there.
        type: str
        choices: [any, file, directory, absent]
        default: any
      owner:
        description: User who must own it.
        type: str
      group:
        description: Group that must own it.
        type: str
      mode:
        description: Permissions that it must have, as octal digits in quotes that begin with 0, for example V("0755").
        type: str
      readable_by:
        description:
          - User who must be able to read it, and to enter it where it is a directory. Tried with the rights of that user, so
            that access lists and each directory on the way count.
          - Needs root, or to be that user.
        type: str
      mounted:
        description: Whether a file system must be mounted at exactly this path.
        type: bool
        default: false
      read_only:
        description: Whether the file system may be mounted read-only. Many turn read-only by themselves after an error.
        type: bool
        default: false
      min_free:
        description: Free space that must be left to users other than root, as a share or a size, for example V(10%) or V(5G).
        type: str
      min_free_inodes:
        description: Free inodes that must be left, as a share or a number. File systems that have no fixed number of them always pass.
        type: str
      newest_max_age:
        description:
          - Seconds since the newest file below the path was written.
          - With O(paths[].list=false) the time at which the directory itself last gained or lost an entry is taken.
        type: float
      newest_match:
        description: Pattern of file names to look at, for example V(*.fits).
        type: str
      depth:
        description: Levels of directories to look through for O(paths[].newest_max_age). V(1) is the directory itself.
        type: int
        default: 1
      list:
        description: Whether the directory may be listed at all. Listing a directory of millions of files takes minutes.
        type: bool
        default: true
      max_entries:
        description: Entries to look at. When this, or O(paths[].max_seconds), is not enough, what was seen does not count as complete.
        type: int
        default: 100000
      max_seconds:
        description: Seconds to spend on looking through directories.
        type: float
        default: 5.0
      deleted_open:
        description:
          - Files of this size or more that were deleted but are still open must not be on the file system, because their space
            is free only when their processes close them. For example V(100M).
        type: str
      account:
        description:
          - Whether the space that is used must be explained by files that can be seen. Adds up the sizes of the files, so the path must be a mount point and
            not a large tree; O(paths[].max_entries) and O(paths[].max_seconds) hold.
        type: bool
        default: false
      max_unaccounted:
        description: Space that O(paths[].account) may leave unexplained, as a share of the space that is used or a size. File systems keep some for themselves.
        type: str
        default: 5%
      expect_free:
        description: Space that a person has just deleted and expects to be free now, as a size, for example V(20G).
        type: str
      free_before:
        description: Space that was free before that, as a size.
        type: str
        default: "0"
      name: *name
      code: *code
      severity: *severity
      subject: *subject
      runbook: *runbook
      remedy: *remedy
  logs:
    description:
      - Log files, read from their end.
      - Findings C(node.log.missing), C(.stale), C(.silent) (it does not grow while it is watched), C(.unfinished) (it does not
        end as it must), and C(.matched) for each class of lines that was found.
    type: list
    elements: dict
    suboptions:
      path:
        description: Absolute path of the live log. The last part of it may be a pattern; each file that it matches is looked at.
        type: str
        required: true
      optional:
        description: Whether the log need not exist.
        type: bool
        default: false
      max_age:
        description: Seconds since the log was last written. A service that logs while it is idle is busy or dead when it does not.
        type: float
      must_grow:
        description: Whether the log must be written to during O(watch).
        type: bool
        default: false
      must_end_with:
        description: Regular expression that must be found in one of the last ten lines.
        type: str
      patterns:
        description: Classes of lines to look for. Lines that belong to the line before, as those of a traceback, are part of it.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: What the class is called.
            type: str
            required: true
          regex:
            description: Regular expression that is looked for in each line.
            type: str
            required: true
          severity:
            description: Severity of the finding.
            type: str
            choices: [info, warning, critical]
            default: warning
      benign:
        description: Regular expressions of lines that are known to mean nothing. They are left out first.
        type: list
        elements: str
        default: []
      since:
        description:
          - Only lines of the last so many seconds. Without O(logs[].time_format) the times of lines are not known; then only files that have
            not been written since are left out.
        type: float
      time_format:
        description:
          - How lines begin. V(python) is C(2026-01-30 08:00:00,123), V(apache_error) C([Fri Jan 30 08:00:00.123456 2026]),
            V(apache_access) has C([30/Jan/2026:08:00:00 -1000]), V(nginx_error) is C(2026/01/30 08:00:00),
            and V(uwsgi) takes the C([Fri Jan 30 08:00:00 2026]) inside its lines about requests.
        type: str
        choices: [none, python, iso, apache_error, apache_access, nginx_error, uwsgi, syslog]
        default: none
      last:
        description: Newest matches to return for each class.
        type: int
        default: 5
      max_bytes:
        description: At most so much is read of each log, for example V(64M).
        type: str
        default: 64M
      rotated:
        description: Whether to go on with the rotated files (C(.1), C(.2) and so on) when the live one is not enough.
        type: bool
        default: true
      name: *name
      code: *code
      severity: *severity
      subject: *subject
      runbook: *runbook
      remedy: *remedy
  http:
    description:
      - Web services to ask, from this node.
      - Findings C(node.http.refused), C(.timeout), C(.dns), C(.tls), C(.closed), C(.protocol), C(.unreachable), C(.redirects), C(.wrong_status),
        C(.wrong_answer) and C(.slow).
    type: list
    elements: dict
    suboptions:
      url:
        description: URL to ask, of scheme C(http) or C(https), without user and password.
        type: str
        required: true
      method:
        description: Method of the request.
        type: str
        default: GET
      body:
        description: Text to send.
        type: str
      json:
        description: Value to send as JSON.
        type: raw
      headers:
        description: Header lines to send.
        type: dict
        default: {}
      secret_headers:
        description: More header lines, which are not shown, for example C(Authorization).
        type: dict
        default: {}
      status:
        description: Status codes that are right.
        type: list
        elements: int
        default: [200]
      contains:
        description: Texts that must all be in the answer.
        type: list
        elements: str
        default: []
      json_has:
        description:
          - What the answer, read as JSON, must have. Of a dictionary these keys with these values, of a list these elements
            somewhere in it, of anything else the same value.
        type: raw
      timeout:
        description: Seconds to wait for the whole answer, at most O(timeout), which is also the default.
        type: float
      max_seconds:
        description: An answer that takes longer is slow.
        type: float
      verify:
        description: Whether the certificate must be valid.
        type: bool
        default: true
      ca_cert:
        description: File with the certificates of the authorities that may have signed the server's certificate.
        type: path
      address:
        description: Host or address to connect to, in place of the one that O(http[].url) names.
        type: str
      unix_socket:
        description: Unix socket to connect to.
        type: str
      follow:
        description: Redirections to follow.
        type: int
        default: 3
      name: *name
      code: *code
      severity: *severity
      subject: *subject
      runbook: *runbook
      remedy: *remedy
  tcp:
    description:
      - Ports that must accept a connection, tried from this node.
      - Findings C(node.tcp.refused), C(.timeout), C(.closed), C(.protocol), C(.dns), C(.unreachable) and C(.slow).
    type: list
    elements: dict
    suboptions:
      host:
        description: Host or address.
        type: str
        required: true
      port:
        description: Number of the port.
        type: int
        required: true
      greeting:
        description:
          - Text that the server itself must send first, for example V(SSH-2.0-). What stands before a server may accept connections for
            one that is not there.
        type: str
        default: ""
      timeout:
        description: Seconds to wait, at most O(timeout), which is also the default.
        type: float
      max_seconds:
        description: A connection that takes longer is slow.
        type: float
      name: *name
      code: *code
      severity: *severity
      subject: *subject
      runbook: *runbook
      remedy: *remedy
  certificates:
    description:
      - Certificates of servers and in files.
      - Findings C(node.certificate.expired), C(.expires), C(.not_yet_valid), C(.wrong_name), C(.untrusted) and C(.renewed).
    type: list
    elements: dict
    suboptions:
      host:
        description: Server to ask.
        type: str
      port:
        description: Its port.
        type: int
        default: 443
      server_name:
        description: Name to ask for. The default is O(certificates[].host).
        type: str
      file:
        description: File with the certificate, in place of a server. Of several the first counts.
        type: path
      min_days:
        description: Days that the certificate must still be valid for.
        type: float
        default: 14.0
      names:
        description: Names that the certificate must be valid for.
        type: list
        elements: str
        default: []
      trusted:
        description: Whether this node must trust the server's certificate, name included.
        type: bool
        default: false
      ca_cert:
        description: File with the certificates of the authorities to trust. The default is what the node trusts.
        type: path
      since:
        description:
          - Time of the first complaint, for example V(2026-01-30T08:00) or V(2026-01-30). A certificate that became valid later than a day
            before that was renewed when the trouble began.
          - Local time of the node, unless it ends in C(Z) or an offset.
        type: str
      timeout:
        description: Seconds to wait, at most O(timeout), which is also the default.
        type: float
      name: *name
      code: *code
      severity: *severity
      subject: *subject
      runbook: *runbook
      remedy: *remedy
  load_per_cpu:
    description:
      - Load average of the last five minutes, for each processor, that may not be exceeded. Finding C(node.load.high).
    type: float
  min_available_memory:
    description: Memory that must be available, as a share or a size. Finding C(node.memory.low).
    type: str
  max_oom_kills:
    description: Processes that the kernel may have killed for want of memory since the node was started. Finding C(node.memory.oom_kills).
    type: int
  service_manager:
    description: What runs the services.
    type: str
    choices: [auto, systemd, upstart, sysv]
    default: auto
  watch:
    description:
      - Seconds between two looks at units, logs and file systems. The second look tells what was restarted and what grew in between.
      - V(0) looks once.
    type: float
    default: 0.0
  timeout:
    description: Seconds for all probes and all file systems together; they are looked at side by side.
    type: float
    default: 15.0
  runbook_file:
    description: File of the runbook that the headings in the expectations are in, for example V(fits.rst).
    type: str
notes:
  - At least one expectation or limit must be given.
  - Sizes are numbers with an optional C(K), C(M), C(G), C(T) or C(P), which count in powers of 1024.
  - Deleted files that a process only has mapped into memory, and those that another node has open, are not seen.
  - The runbook of FITS Storage looks for the web server's logs in C(/opt/mod-wsgi); they are in C(/opt/modwsgi-default). It also reads
    C(copy_from_dhs.py.log.1), which is the log before the live one.
  - A server that answers with an error though it is healthy is asked for what it does answer. The API back end of FITS Storage of
    2020 gives status 500 to C(GET /), and to a C(POST) to C(/log) it gives a result.
seealso:
  - module: fieldops.runbooks.fits_queue_info
"""

EXAMPLES = r"""
- name: Is the FITS web site up (generation of the runbook)?
  fieldops.runbooks.node_health_info:
    runbook_file: fits.rst
    processes:
      - name: web server
        title: httpd \(mod_wsgi-express\).*
        owner: root
        runbook: Is The Webserver Running?
      - name: web server workers
        title: \(wsgi:localhost:80:0\).*
        owner: apache
        code: fits.web.worker
        severity: critical
        runbook: Is The Webserver Running?
      - program: /opt/FitsStorage/fits_storage/scripts/api_backend.py
        args: [--demon]
        owner: fitsdata
        runbook: Check the API Server
    units:
      - name: fits-httpd
        min_uptime: 60
        runbook: Is The Webserver Running?
      - name: fits-service_ingest_queue*
        min_uptime: 30
    sockets:
      - port: 8000
        address: 127.0.0.1
        program: api_backend.py
    http:
      - name: search form
        url: http://localhost/searchform
        contains: [Search]
        max_seconds: 5
      - name: API back end
        url: http://localhost:8000/log
        method: POST
        json: {"message": "health check"}
        json_has: {"result": true}
    watch: 5

- name: Is there space, and is it given back?
  fieldops.runbooks.node_health_info:
    runbook_file: fits.rst
    paths:
      - path: /
        min_free: 10%
        min_free_inodes: 5%
        deleted_open: 100M
        runbook: Check disk space
      - path: /data
        min_free: 20G
        deleted_open: 1G
        runbook: Check disk space
      - path: /sci/dataflow
        mounted: true
        list: false
        min_free: 5%
        expect_free: 200G
        free_before: 12G
        newest_max_age: 86400
        readable_by: fitsdata
        runbook: Check disk space

- name: What do the logs say of the last hour?
  fieldops.runbooks.node_health_info:
    logs:
      - path: /opt/modwsgi-default/error_log
        time_format: apache_error
        since: 3600
        patterns:
          - name: server errors
            regex: \[(core|mpm_event|wsgi):error\]|Traceback
            severity: critical
        benign:
          - astropy|AstropyDeprecationWarning
      - path: /data/logs/service_ingest_queue.py-*.log
        max_age: 60
      - path: /data/logs/YouGotDataEmail.py.log
        must_end_with: exiting normally

- name: Was the certificate of the archive renewed when the complaints began?
  fieldops.runbooks.node_health_info:
    certificates:
      - host: archive.example.org
        names: [archive.example.org]
        trusted: true
        since: "2026-01-30"
"""

RETURN = r"""
processes:
  description: What was found for each expectation in O(processes).
  returned: always
  type: list
  elements: dict
  contains:
    name: &name
      description: Name of the expectation.
      type: str
      sample: web server
    found:
      description: How many processes are as they should be.
      type: int
      sample: 1
    processes:
      description: The processes, at most 50, oldest first.
      type: list
      elements: dict
      sample: [{"pid": 16441, "owner": "root", "age": 86400.5, "program": "httpd (mod_wsgi-express)"}]
    in_containers:
      description: How many more run in containers and do not count.
      type: int
      sample: 0
    other_owners:
      description: Processes that only the owner keeps from counting.
      type: list
      elements: dict
      sample: []
units:
  description: The units that the names in O(units) stand for.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the unit.
      type: str
      sample: fits-httpd.service
    manager:
      description: What runs it.
      type: str
      sample: systemd
    known:
      description: Whether there is such a unit.
      type: bool
      sample: true
    active:
      description: State of the unit.
      type: str
      sample: active
    sub:
      description: State in more detail, as systemd tells it.
      type: str
      sample: running
    enabled:
      description: Whether it is started at boot; null when that cannot be told.
      type: bool
      sample: true
    main_pid:
      description: Process id of the main process.
      type: int
      sample: 16441
    result:
      description: How it last ended, as systemd tells it.
      type: str
      sample: success
    exit_code:
      description: Exit code of the main process, where it has ended.
      type: int
      sample: 0
    restarts:
      description: Restarts by systemd since a person started it.
      type: int
      sample: 0
    restarts_seen:
      description: Restarts during O(watch).
      type: int
      sample: 0
    uptime:
      description: Seconds since it became active; null when it is not.
      type: float
      sample: 86400.5
sockets:
  description: What was found for each expectation in O(sockets).
  returned: always
  type: list
  elements: dict
  contains:
    name: *name
    listening:
      description: Whether something listens.
      type: bool
      sample: true
    addresses:
      description: Addresses or path that are listened on.
      type: list
      elements: str
      sample: [127.0.0.1]
    processes:
      description: Processes that listen, as far as this user may see them.
      type: list
      elements: dict
      sample: [{"pid": 16281, "owner": "fitsdata", "age": 86400.5, "program": "/opt/FitsStorage/fits_storage/scripts/api_backend.py"}]
paths:
  description: What was measured for each expectation in O(paths). What was not asked for, or does not exist, is null.
  returned: always
  type: list
  elements: dict
  contains:
    name: *name
    path:
      description: The path.
      type: str
      sample: /data
    exists:
      description: Whether it exists; null when that could not be told.
      type: bool
      sample: true
    type:
      description: V(file), V(directory) or V(other).
      type: str
      sample: directory
    owner:
      description: User who owns it.
      type: str
      sample: fitsdata
    group:
      description: Group that owns it.
      type: str
      sample: fitsdata
    mode:
      description: Permissions.
      type: str
      sample: "0755"
    file_system:
      description: The file system that it is on, sizes in bytes.
      type: dict
      sample:
        mount_point: /data
        type: xfs
        source: /dev/sdb1
        read_only: false
        size: 1099511627776
        used: 549755813888
        available: 549755813888
        available_percent: 50.0
        inodes: 536870912
        inodes_available: 536870000
        inodes_available_percent: 100.0
    newest:
      description: The newest file, and its age in seconds.
      type: dict
      sample: {"path": "/data/logs/service_ingest_queue.py-1.log", "age": 1.5, "entries": 40, "complete": true}
    deleted_open:
      description: Deleted files that are still open, largest first, at most 20.
      type: list
      elements: dict
      sample: [{"path": "/data/backup.tar", "size": 10737418240, "holders": [{"pid": 4711, "owner": "root", "program": "tar"}]}]
    deleted_open_size:
      description: Bytes that all such files hold on the file system, those smaller than O(paths[].deleted_open) included.
      type: int
      sample: 10737418240
    snapshots:
      description: Directories of snapshots that answer to their name, listed or not.
      type: list
      elements: str
      sample: [/data/.snapshot]
    accounted:
      description: Bytes that files explain.
      type: int
      sample: 539755813888
    unaccounted:
      description: Bytes that are used and that neither files nor deleted files explain.
      type: int
      sample: 0
    growth:
      description: Bytes that the file system gained in each second of O(watch).
      type: float
      sample: 1024.0
logs:
  description: What was found in each log.
  returned: always
  type: list
  elements: dict
  contains:
    name: *name
    path:
      description: The log.
      type: str
      sample: /opt/modwsgi-default/error_log
    exists:
      description: Whether it exists.
      type: bool
      sample: true
    age:
      description: Seconds since it was last written.
      type: float
      sample: 1.5
    size:
      description: Its size in bytes.
      type: int
      sample: 204800
    growth:
      description: Bytes that it gained during O(watch).
      type: int
      sample: 512
    last_line:
      description: Its last line, shortened.
      type: str
      sample: "2026-01-30 08:00:00,123 4711:service_ingest_queue:99 INFO: Nothing on queue... Waiting"
    matches:
      description: What was found of each class of lines.
      type: list
      elements: dict
      sample: [{"class": "server errors", "found": 2, "first": 1769760000.0, "last": 1769763600.0, "lines": ["[wsgi:error] Traceback"]}]
    bytes_read:
      description: Bytes that were read.
      type: int
      sample: 204800
    complete:
      description: Whether all that was asked for was read.
      type: bool
      sample: true
http:
  description: What each web service answered.
  returned: always
  type: list
  elements: dict
  contains:
    name: *name
    url:
      description: What was asked.
      type: str
      sample: http://localhost/searchform
    status:
      description: Status code; null when there was no answer.
      type: int
      sample: 200
    seconds:
      description: How long it took.
      type: float
      sample: 0.012
    error:
      description: Why there was no answer.
      type: str
      sample: ""
    bytes_read:
      description: Bytes of the answer that were read.
      type: int
      sample: 2048
    answer:
      description: Start of the answer, where it was not the expected one.
      type: str
      sample: ""
tcp:
  description: What became of each connection.
  returned: always
  type: list
  elements: dict
  contains:
    name: *name
    host:
      description: Host that was tried.
      type: str
      sample: localhost
    port:
      description: Port that was tried.
      type: int
      sample: 5432
    connected:
      description: Whether the connection was accepted.
      type: bool
      sample: true
    seconds:
      description: How long it took.
      type: float
      sample: 0.001
    error:
      description: Why there was no connection.
      type: str
      sample: ""
certificates:
  description: What each certificate says. What could not be read is null.
  returned: always
  type: list
  elements: dict
  contains:
    name: *name
    subject:
      description: Whom it is for.
      type: str
      sample: CN=archive.example.org
    issuer:
      description: Who signed it.
      type: str
      sample: CN=Example CA
    names:
      description: Names and addresses that it is valid for.
      type: list
      elements: str
      sample: [archive.example.org]
    not_before:
      description: Since when it is valid, in UTC.
      type: str
      sample: "2026-01-30T08:00:00Z"
    not_after:
      description: Until when it is valid, in UTC.
      type: str
      sample: "2026-04-30T08:00:00Z"
    days_left:
      description: Days until then.
      type: float
      sample: 89.5
    serial:
      description: Serial number.
      type: str
      sample: 0a1b2c3d
    sha256:
      description: Fingerprint.
      type: str
      sample: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    self_signed:
      description: Whether it is signed by itself.
      type: bool
      sample: false
    trust_error:
      description: Why this node does not trust it, where O(certificates[].trusted) asked.
      type: str
      sample: ""
    error:
      description: Why it could not be read.
      type: str
      sample: ""
node:
  description: What costs nothing to know of the node. What it does not tell is null.
  returned: always
  type: dict
  sample:
    uptime: 864000.5
    load: [0.5, 0.4, 0.3]
    cpus: 8
    memory_total: 33554432000
    memory_available: 16777216000
    swap_total: 0
    swap_free: 0
    oom_kills: 0
    files_open: 2048
    files_max: 9223372036854775807
findings:
  description: What is so, expectation by expectation.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: node.process.missing
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: critical
    subject:
      description: What it is about.
      type: str
      sample: web server
    summary:
      description: One sentence for a person.
      type: str
      sample: "web server: no such process runs"
    detail:
      description: The same for a program.
      type: dict
      sample: {"found": 0, "min": 1}
    remedy:
      description: What would mend it, as the expectation says.
      type: dict
      sample: {"playbook": "fieldops.runbooks.fits_website", "vars": {"fits_restart": true}, "text": "restart the web server"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "fits.rst", "heading": "Is The Webserver Running?"}
evidence:
  description: What the findings rest on, and what could not be seen.
  returned: always
  type: dict
  sample: {"user": "root", "not_seen": [], "processes": 240, "seconds": {"processes": 0.02, "units": 0.03}}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.09
record:
  description: What was read, without secrets, for O(replay).
  returned: when O(record)
  type: dict
  sample: {"version": 1, "check": "node_health_info", "state": {}, "judged_by": {}}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.node.argspec import HEALTH
from ..module_utils.node.health import HealthInfo, mislaid
from ..module_utils.procedure.info import run_info


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **HEALTH.recordable().to_kwargs())
    module.no_log_values.update(mislaid(module.params))
    run_info(module, HealthInfo)


if __name__ == "__main__":
    main()
