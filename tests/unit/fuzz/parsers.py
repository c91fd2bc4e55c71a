# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every parser of foreign text: what it is given, what it may raise, and what must be true of the result."""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import (
    certificate,
    crontab,
    docker,
    erlang,
    git,
    http,
    images,
    rights,
    systemd,
    upstart,
)
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits import filelogs, mail_job, ot, webcheck
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.errors import FitsError
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import (
    config_update,
    envfile,
    jobinfo_state,
    manifest,
    output_jobs,
    query,
    service,
    trace_text,
)
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt import domain_xml, network_xml
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt.errors import VirtualError
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb import restart_conf
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.errors import MongodbError
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import conf, endpoints, formats, ids, m0kv, rgwnames, s3names, segment, xcode
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.client import ss
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.hare import kv
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.hare.consul import Item
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.live import gdb
from ansible_collections.fieldops.runbooks.plugins.module_utils.node import preflight, sizes
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure import journal
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import JournalError, RunbookError
from ansible_collections.fieldops.runbooks.plugins.module_utils.rabbitmq import question
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam import api, config_read, container, profiler_config, published, state, times
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam import pipes as sesam_pipes
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.errors import SesamError
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus import connections, containers

from ..plugins.module_utils.rabbitmq.answers import LIKE_3_2, RECORDED_3_10, STOPPED

FIXTURES = Path(__file__).parent.parent / "plugins" / "module_utils"


def nothing(_given: Any, _result: Any) -> None:
    """Nothing but that it came back."""


@dataclass(frozen=True)
class Parser:
    """``name`` is file:function below module_utils; ``samples`` are text, bytes, or (for ``tree``) what JSON holds."""

    name: str
    call: Callable[[Any], Any]
    samples: list[Any]
    errors: tuple[type[Exception], ...] = ()
    check: Callable[[Any, Any], None] = nothing
    typed: bool = False
    """The answer of an API whose types are certain."""

    refuses: bool = False
    """No sample is taken: there is none that is so short."""

    verbatim: bool = False
    """Each text in the result stands in the input."""

    @property
    def tree(self) -> bool:
        return not isinstance(self.samples[0], (str, bytes))


def substrings(given: Any, result: Any) -> None:
    """No value is invented."""
    text = given if isinstance(given, str) else given.decode("utf-8", "replace")
    from .mutants import strings

    absent = [each for each in strings(result) if each not in text]
    assert not absent, f"not in the input: {absent[:3]!r}"


def _fixture(name: str) -> str:
    return (FIXTURES / name).read_text(encoding="utf-8")


def _archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("node.conf.json", '{"_id": "node", "type": "metadata"}')
        archive.writestr("pipes/a.conf.json", '[{"_id": "a", "type": "pipe"}]')
    return made.getvalue()


def _row(text: str) -> Any:
    return ss._row(text)


def _round_trip_env(given: bytes, result: Any) -> None:
    assert result.text.encode("utf-8", "surrogateescape") == given, "the text is kept to the byte"
    for each in result.assignments:
        if each.accepted and not envfile.unfit(each.name, each.value):
            again = envfile.parse(f"{each.name}={envfile.quoted(each.value)}\n".encode())
            assert again.values() == {each.name: each.value}


def _round_trip_rows(_given: str, result: m0kv.Answer) -> None:
    lines = "".join(f"/KEY/ {_hexes(key)}\n/VAL/ {_hexes(value)}\n" for key, value in result.rows)
    assert m0kv.parse(lines).rows == result.rows


def _hexes(data: bytes) -> str:
    return " ".join(f"0x{byte | (0xFFFFFF00 if byte > 127 else 0):x}" for byte in data)


def _round_trip_oid(_given: Any, result: Any) -> None:
    assert s3names.decode_oid(s3names.encode_oid(result)) == result


def _no_secret(_given: str, result: str) -> None:
    # An attribute of an element libvirt knows to hold one; a mutation may have made another element of it.
    root = ElementTree.fromstring(result)  # noqa: S314  made by the code under test
    assert not [each for each in root.iterfind("devices/graphics") if "passwd" in each.attrib]


def _not_more(given: str, result: str) -> None:
    assert restart_conf.encoded(result) == given.encode("utf-8", "surrogateescape") if isinstance(given, str) else restart_conf.encoded(result) == given


JOURNAL = (
    b'{"type": "run", "v": 1, "undo_id": "20260131T235959-fits_queue_reset-0123abcd", "fix": "f", "started": 1.5, "who": {}, "plan_sha256": "0", "total": 1}\n'
    b'{"type": "change", "n": 0, "action": "a", "subject": "s", "before": {"a": 1}, "after": null, "reason": "r", "reversible": true}\n'
    b'{"type": "begin", "batch": 0, "first": 0, "count": 1}\n{"type": "done", "batch": 0, "skipped": {}, "actual": {}}\n'
    b'{"type": "end", "status": "ok", "at": 2.5}\n'
)
DOMAIN = """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>n</name><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/i/top.img'/>
  <backingStore type='file'><source file='/i/box.img'/><backingStore/></backingStore><target dev='vda'/></disk>
<disk type='volume' device='disk'><source pool='default' volume='v'/><target dev='vdb'/></disk>
<interface type='network'><mac address='00:00:C0:A8:7B:02'/><source network='talus-network'/><target dev='vnet0'/></interface>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
<graphics type='vnc' port='5905' passwd='geheim-1'><listen type='address' address='192.0.2.1'/></graphics></devices>
<qemu:commandline><qemu:arg value='-object'/><qemu:arg value='secret,id=a,data=geheim-2'/></qemu:commandline></domain>"""
NETWORK = """<network><name>talus-network</name><uuid>0b6b2a37-5a7c-4c2c-9a53-1f7a0c2b3d4e</uuid><forward mode='nat' dev='eth0'/><bridge name='virbr2'
stp='on' delay='0'/><domain name='talus'/><ip address='192.168.123.1' netmask='255.255.255.0'><dhcp><range start='192.168.123.2' end='192.168.123.254'/>
<host mac='00:00:c0:a8:7b:02' ip='192.168.123.2' name='vm2'/></dhcp></ip></network>"""
MAIL = """2026-01-30 14:05:01,123 4711:notify:10 INFO: send_new_data_notification_emails.py starting up at 2026-01-30T14:05:01 Processing date 20260130
2026-01-30 14:05:02,123 4711:notify:20 INFO: Sending Email- To: a@example.org; Subject: New Data for GN-2026A-Q-1
2026-01-30 14:05:03,123 4711:notify:30 ERROR: Error sending to smtp://u:p@mail
Traceback (most recent call last):
OSError: refused
2026-01-30 14:05:04,123 4711:notify:40 INFO: send_new_data_notification_emails.py exiting normally
2026-01-30 14:05:04,123 4712:x INFO: YouveGotDataEmail.py starting for date today
"""
LOG = """2026-01-30T12:00:00.123456789Z 2026-01-30 12:00:00 [info   ] Running query 1 / 2
2026-01-30T12:00:01Z [info   ] SQL:
          SELECT 1
2026-01-30 12:00:02 [INFO   ] timing=start timing_id=3 sql=
SELECT 2
2026-13-30 12:00:02 [INFO   ] no such month
2026-02-31T12:00:03Z no such day
2026-01-30T12:00:03.5Z \x1b[32m[info   ]\x1b[0m Finished running query 1 / 2
"""
STRACE = """strace: Process 12 attached with 2 threads
[pid    12] futex(0x7f, FUTEX_WAIT_PRIVATE, 0, NULL <unfinished ...>
[pid    13] read(3<socket:[99]>, ""..., 8) = 8
[pid    13] poll([{fd=3<TCP:[a->b]>, events=POLLIN}], 1, -1 <detached ...>
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 99.99    1.200000          12       100         3 futex
  0.01    0.000100           1         5           read
100.00    1.200100                   105         3 total
"""
UPSTART = "talus_master start/running, process 123\nnetwork-interface (eth0) start/running\ntalus_slave stop/waiting\n\tpre-start process 12\n"
UNITS = "Id=a.service\nNames=a.service b.service\nActiveState=active\nMainPID=12\n\nId=c.service\nDescription=x=y\n"
MAPS = """400000000000-400000105000 rw-s 00000000 fd:01 1234                       /var/motr/m0d-0x72/db/o/100000000000000:2a
400000105000-400000205000 rw-s 00105000 fd:01 1234                       /var/motr/m0d-0x72/db/o/100000000000000:2a (deleted)
7f0000000000-7f0000001000 r-xp 00000000 00:00 0                          [vdso]
"""
CRON = "# m h dom mon dow command\nPATH=/usr/bin\n*/5 0-23/2 1,15 jan mon-fri fits /opt/YouGotDataEmail.py --check\n@reboot root x\n0 7 * * * ls % y\n"
APT = "Inst docker-ce [5:20.10.7] (5:24.0.2 Docker:jammy [amd64])\nInst libc6 (2.35 Ubuntu)\nConf libc6 (2.35 Ubuntu)\n"
PIPE = {
    "_id": "a-pipe",
    "config": {"effective": {"pump": {"mode": "scheduled"}}, "original": {"pump": {"mode": "manual"}}},
    "cached_response_info": {"age": 3.5, "timestamp": "2026-01-30T12:00:00Z"},
    "runtime": {
        "is-running": False,
        "is-disabled": False,
        "is-valid-config": True,
        "success": True,
        "state": "Running",
        "last-run": "2026-01-30T12:00:00.1Z",
        "next-run": "~t2026-01-31T12:00:00Z",
        "queues": {"source": {"a": 3, "b": 4}},
        "config-errors": [{"level": "error", "msg": "m"}],
        "last-original-error-message": "x",
    },
}
INSPECTED = {
    "Id": "0123456789abcdef",
    "Name": "/talus_mongo",
    "Created": "2026-01-30T12:00:00.123Z",
    "Config": {"Image": "mongo", "Hostname": "talus_mongo", "Entrypoint": ["sh", "-c"], "Cmd": ["mongod"], "Labels": {"a": "1:/b"}, "WorkingDir": "/"},
    "State": {
        "Running": True,
        "Status": "running",
        "StartedAt": "2026-01-30T12:00:00.123456789Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
        "Pid": 12,
        "ExitCode": 0,
    },
    "HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}, "NetworkMode": "default", "Links": ["/a:/b/c"], "PortBindings": None},
    "Mounts": [{"Type": "bind", "Source": "/a", "Destination": "/b", "RW": True}],
    "NetworkSettings": {
        "Ports": {"27017/tcp": [{"HostIp": "192.0.2.7", "HostPort": "27017"}]},
        "Networks": {"bridge": {"IPAddress": "172.17.0.2", "Aliases": ["x"]}},
    },
    "RestartCount": 0,
}
STATS = {
    "read": "2026-01-30T12:00:00.5Z",
    "cpu_stats": {"cpu_usage": {"total_usage": 5}},
    "memory_stats": {"usage": 9, "limit": 10, "stats": {"inactive_file": 1}},
}
CONSUL = {
    "epoch": "3",
    "eq-epoch": "2",
    "leader": "ssc-vm-1",
    "bq-delivered/ssc-vm-1": "12",
    "m0conf/nodes/0x6e00000000000001:0x3": '{"name": "ssc-vm-1", "state": "M0_NC_ONLINE"}',
    "m0conf/nodes/0x6e00000000000001:0x3/processes/0x7200000000000001:0x7": '{"name": "m0_server", "endpoint": "inet:tcp:10.0.0.1@21002"}',
    "m0conf/nodes/0x6e00000000000001:0x3/processes/0x7200000000000001:0x7/services/0x7300000000000001:0xa": '{"name": "ios", "state": "M0_NC_ONLINE"}',
    "m0conf/sites/0x5300000000000001:0x1/racks/0x6100000000000001:0x2": '{"state": "M0_NC_ONLINE"}',
    "m0conf/profiles/0x7000000000000001:0x50": '["0x6f00000000000001:0x2f"]',
    "processes/0x7200000000000001:0x7": '{"state": "M0_CONF_HA_PROCESS_STARTED"}',
    "bytecount/x": "7",
}
LAYOUT = base64.b64encode(struct.pack("<QQQQI", 1, 2, 3, 4, 5) + b"\0" * 4).decode()
OID = s3names.encode_oid((0x7800000000000001, 5))
BUCKET = json.dumps({"Bucket-Name": "b", "motr_object_list_index_layout": LAYOUT, "extended_metadata_index_layout": LAYOUT, "account_id": "12345"}).encode()
OLD_BUCKET = json.dumps({"motr_object_list_index_oid": OID, "account_id": "1"}).encode()
S3_OBJECT = json.dumps({"motr_oid": OID, "PVID": base64.b64encode(struct.pack("<QQ", 0x7600000000000001, 2)).decode(), "layout_id": 9, "a": {"b": []}}).encode()
PART = json.dumps({"OID": OID, "PVID": OID, "layout-id": 9, "size": 3}).encode()
TYPED = (
    "Id",
    "Name",
    "Config",
    "HostConfig",
    "State",
    "Created",
    "Mounts",
    "Type",
    "cpu_stats",
    "cpu_usage",
    "memory_stats",
    "total_usage",
    "usage",
    "HostPort",
    "27017/tcp",
    "bridge",
    0,
)
"""What the engine always tells; no element of its lists is null."""


def _pages(given: bytes) -> list[http.Answer]:
    return [http.Answer("http://x", 200, given)]


PARSERS = [
    Parser(
        "connect/certificate.py:parse",
        certificate.parse,
        [b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", b"0\x82\x01\x00\x30\x80"],
        (certificate.CertificateError,),
        refuses=True,
    ),
    Parser("connect/crontab.py:parse", lambda text: list(crontab.parse(text, "/etc/crontab", None)), [CRON]),
    Parser("connect/crontab.py:parse_schedule", crontab.parse_schedule, ["*/5 0-23/2 1,15 jan mon-fri", "@daily", "59 23 31 12 7"]),
    Parser("connect/docker.py:timestamp", docker.timestamp, ["2026-01-30T12:00:00.123456789Z", "0001-01-01T00:00:00Z", "2026-13-01T00:00:00Z"]),
    Parser("connect/docker.py:usage_between", lambda stats: docker.usage_between(dict(stats, read="2026-01-30T12:00:00Z"), stats), [STATS], typed=True),
    Parser(
        "connect/erlang.py:parse",
        erlang.parse,
        [RECORDED_3_10, LIKE_3_2, "#{a => <<\"x\\x{e9}y\"/utf8>>, 'b c' => [1|2]}", "<<195,169>>", "16#ff"],
        (erlang.TermError,),
    ),
    Parser("connect/git.py:names_in", git.names_in, ["a\0b c\0d\n\0"], verbatim=True),
    Parser("connect/git.py:without_userinfo", git.without_userinfo, ["fatal: https://user:secret@host/x not found"]),
    Parser("connect/http.py:Answer.json", lambda body: http.Answer("http://x", 200, body).json(), [b'[{"a": 1}]'], (ValueError,)),
    Parser(
        "connect/images.py:Image.of",
        images.Image.of,
        [{"Id": "sha256:1", "RepoTags": ["a:b"], "RepoDigests": ["a@sha256:2", "<none>@<none>"], "Size": 3}],
        typed=True,
    ),
    Parser(
        "connect/rights.py:parse_acl",
        rights.parse_acl,
        [struct.pack("<I", 2) + struct.pack("<HHI", 4, 7, 0) + struct.pack("<HHI", 16, 7, 0) + struct.pack("<HHI", 2, 4, 9)],
    ),
    Parser("connect/systemd.py:blocks_of", systemd.blocks_of, [UNITS], verbatim=True),
    Parser("connect/systemd.py:span", systemd.span, ["1min 30s", "infinity", "100ms"]),
    Parser("connect/upstart.py:jobs_of", upstart.jobs_of, ["talus_slave stop/waiting\n", UPSTART]),
    Parser("fits/filelogs.py:parse_since", filelogs.parse_since, ["2026-01-30 08:00:00", "2026-01-30"], (FitsError,)),
    Parser("fits/mail_job.py:parse_log", lambda text: mail_job.parse_log(text.splitlines(), "/l/x.log"), [MAIL]),
    Parser("fits/ot.py:parse_time", lambda text: ot.parse_time(text, 2e9), ["2026-01-31T08:00:00-10:00", "2026-01-31"], (FitsError,)),
    Parser(
        "fits/webcheck.py:read",
        lambda body: [webcheck.read(each, "S1.fits", "u") for each in _pages(body)],
        [b'[{"filename": "S1.fits.bz2", "present": true, "data_md5": "d"}]', b"<html>Login"],
    ),
    Parser("jobrunner/config_update.py:packages_in", config_update.packages_in, [APT], verbatim=True),
    Parser("jobrunner/envfile.py:parse", envfile.parse, [b"# c\nA=1\nB=\"x $y\" 'z'\nexport C=~/d\nD=a\\\nb # e\n"], check=_round_trip_env),
    Parser("jobrunner/jobinfo_state.py:_column", lambda text: jobinfo_state._column(min(jobinfo_state.JSON_COLUMNS), text), ['{"a": [1]}']),
    Parser("jobrunner/manifest.py:_parsed", lambda data: manifest._parsed("/m", data, ()), [b'{"outputs": {"a.csv": {"job_id": "x"}}}']),
    Parser("jobrunner/output_jobs.py:_outputs", lambda text: output_jobs._outputs({"outputs": text}), ['{"a.csv": "moderately_sensitive"}']),
    Parser("jobrunner/query.py:entries", lambda text: query.entries(text.splitlines()), [LOG]),
    Parser("jobrunner/query.py:last_query", lambda text: query.last_query(text.splitlines()), [LOG]),
    Parser("jobrunner/query.py:split_time", query.split_time, LOG.splitlines()),
    Parser(
        "jobrunner/service.py:line_of",
        service.line_of,
        ['{"__REALTIME_TIMESTAMP": "1769774400000000", "MESSAGE": "m"}', '{"__REALTIME_TIMESTAMP": 1, "MESSAGE": [104, 105]}'],
    ),
    Parser("jobrunner/trace_text.py:summary", lambda text: trace_text.summary(text.splitlines()), [STRACE], verbatim=True),
    Parser("jobrunner/trace_text.py:blocked", lambda text: trace_text.blocked(text.splitlines()), [STRACE]),
    Parser("libvirt/domain_xml.py:parse", domain_xml.parse, [DOMAIN], (VirtualError,)),
    Parser("libvirt/domain_xml.py:without_secrets", domain_xml.without_secrets, [DOMAIN], (VirtualError,), _no_secret),
    Parser("libvirt/network_xml.py:parse", network_xml.parse, [NETWORK], (VirtualError,)),
    Parser("mongodb/restart_conf.py:decoded", restart_conf.decoded, [b"replication:\r\n  replSetName: rs0\n"], (MongodbError,), _not_more),
    Parser(
        "mongodb/restart_conf.py:name_in",
        restart_conf.name_in,
        ['net:\n  port: 1\nreplication:\n  replSetName: "rs0" # c\n', 'replication:\n  replSetName: "rs', "replSet=rs0\nport=1\n"],
        (MongodbError,),
    ),
    Parser(
        "motr/conf.py:parse",
        conf.parse,
        [
            _fixture("motr/fixtures/conf.xc")[:1500].rpartition("\n")[0] + "]",
            "[1: {0x6f| ((^o|1:1), 0, [1: ^v|1:2])}]",
            "[1: {0x76| ((^v|1:2), {0| (4, 2, 0, 2, [1: 1], [0])})}]",
        ],
        (MotrError,),
    ),
    Parser(
        "motr/endpoints.py:parse_endpoint",
        endpoints.parse_endpoint,
        ["inet:tcp:10.0.0.1@21002", "10.0.0.1@tcp:12345:33:100", "[::1]:99", "10.0.0.1:" + "9" * 5000],
        (MotrError,),
    ),
    Parser("motr/formats.py:read_header", formats.read_header, [bytes(range(64))]),
    Parser("motr/ids.py:parse", ids.parse, ["0x7200000000000001:0x7", "^r|1:2", "<7200000000000001:7>"], (MotrError,)),
    Parser("motr/ids.py:parse_object_id", ids.parse_object_id, ["0x1:0x2", "1048577", "0x100"], (MotrError,)),
    Parser(
        "motr/m0kv.py:parse",
        m0kv.parse,
        ["operation rc: 0\nrcs[0]: 0\n/KEY/ 0x31 0xffffff80\n/VAL/ 0x7b\n/KEY/ \n/VAL/ \n", "<7800000000000001:5> found rc 0\n"],
        (MotrError,),
        _round_trip_rows,
    ),
    Parser("motr/rgwnames.py:decode_entry", rgwnames.decode_entry, [bytes(60)]),
    Parser("motr/rgwnames.py:decode_meta", rgwnames.decode_meta, [bytes(60)], (MotrError,), refuses=True),
    Parser("motr/rgwnames.py:decode_part", rgwnames.decode_part, [bytes(60)]),
    Parser("motr/s3names.py:decode_account", s3names.decode_account, [BUCKET, OLD_BUCKET], (MotrError,)),
    Parser("motr/s3names.py:decode_bucket", s3names.decode_bucket, [BUCKET, OLD_BUCKET], (MotrError,)),
    Parser("motr/s3names.py:decode_extended", s3names.decode_extended, [BUCKET, OLD_BUCKET], (MotrError,)),
    Parser("motr/s3names.py:decode_layout", lambda text: s3names.decode_layout(text, "n"), [LAYOUT], (MotrError,)),
    Parser("motr/s3names.py:decode_object", s3names.decode_object, [S3_OBJECT], (MotrError,)),
    Parser("motr/s3names.py:decode_oid", s3names.decode_oid, [OID], (MotrError,), _round_trip_oid),
    Parser("motr/s3names.py:decode_piece", lambda key: s3names.decode_piece("o", key, PART), ["o|v|P1|F2", "o|P3"], (MotrError,)),
    Parser("motr/s3names.py:decode_piece, the record", lambda value: s3names.decode_piece("o", "o|v|P1", value), [PART], (MotrError,)),
    Parser("motr/s3names.py:decode_pver", s3names.decode_pver, [OID], (MotrError,)),
    Parser("motr/segment.py:parse_header", segment.parse_header, [bytes(768), bytes(range(256)) * 3], (MotrError,), refuses=True),
    Parser("motr/segment.py:parse_maps", segment.parse_maps, [MAPS]),
    Parser("motr/xcode.py:parse", xcode.parse, [_fixture("motr/fixtures/conf.xc")[:400], '{1| (^v|1:2, @NAME, "t", [2: 0x1, 07])}'], (MotrError,)),
    Parser("motr/client/ss.py:_row", _row, ['0 0 10.0.0.1:21002 10.0.0.2:55 users:(("m0d",pid=12,fd=3))', "0 0 [::1%lo]:1 [::1]:2"]),
    Parser("motr/hare/kv.py:cluster_of", lambda tree: kv.cluster_of({key: Item(key, str(text), 1) for key, text in tree.items()}, {}), [CONSUL]),
    Parser("motr/hare/kv.py:cluster_of, one value", lambda text: kv.cluster_of({key: Item(key, text, 1) for key in CONSUL}, {}), sorted(CONSUL.values())),
    Parser(
        "motr/hare/kv.py:cluster_of, one key", lambda key: kv.cluster_of({key: Item(key, CONSUL["processes/0x7200000000000001:0x7"], 1)}, {}), sorted(CONSUL)
    ),
    Parser("motr/live/gdb.py:_told", gdb._told, [f'x\n{gdb.BEGIN}\n{{"a": 1}}\n{gdb.END}\n']),
    Parser("node/preflight.py:version_key", preflight.version_key, ["2.9.9 (dt dec pq3)", "3.8"], (RunbookError,)),
    Parser("node/sizes.py:parse_size", sizes.parse_size, ["10G", "1.5 MB", "0"]),
    Parser("node/sizes.py:parse_amount", sizes.parse_amount, ["10G", "12.5%"]),
    Parser("procedure/journal.py:read_run", lambda data: journal.read_run(data.splitlines(keepends=True)), [JOURNAL], (JournalError,)),
    Parser("rabbitmq/question.py:broker_of", lambda text: question.broker_of(erlang.parse(text)), [RECORDED_3_10, LIKE_3_2, STOPPED], (erlang.TermError,)),
    Parser("sesam/api.py:_said", api._said, ['{"error": "x"}', "<html><title>502</title><script>a</script><body>Bad &amp; gateway</body></html>"]),
    Parser("sesam/config_read.py:from_json", lambda data: config_read.from_json(data, "f"), [b'[{"_id": "a", "type": "pipe"}]'], (SesamError,)),
    Parser("sesam/config_read.py:from_zip", lambda data: config_read.from_zip(data, 1 << 20, "f"), [_archive()], (SesamError,)),
    Parser("sesam/config_read.py:parse", lambda data: config_read.parse(data, "f"), [b'{"a": [1, 2.5e3]}'], (SesamError,)),
    Parser("sesam/container.py:container_of", container.container_of, [INSPECTED], typed=True),
    Parser("sesam/pipes.py:read_pipes", lambda tree: sesam_pipes.read_pipes([tree], 1.8e9, sesam_pipes.Limits(), 10), [PIPE]),
    Parser("sesam/pipes.py:is_left_out", sesam_pipes.is_left_out, [PIPE]),
    Parser("sesam/profiler_config.py:bound_of", lambda text: profiler_config.bound_of({"Config": {"Labels": {profiler_config.LABEL: text}}}), ["123:/logs/x"]),
    Parser("sesam/published.py:_published", lambda text: list(published._published({"9042/tcp": [{"HostIp": "", "HostPort": text}]})), ["9042"]),
    Parser(
        "sesam/state.py:status_of",
        state.status_of,
        [{"node_id": "n", "node_start_time": "2026-01-30T12:00:00Z", "node_uptime": 3.5, "psutil.virtual_memory": {"total": 5, "percent": 1.5}}],
    ),
    Parser("sesam/times.py:moment", times.moment, ["2026-01-30T12:00:00.5+0100", "~t2026-01-30 12:00:00Z"]),
    Parser(
        "talus/connections.py:rows",
        lambda text: list(connections.rows(text.splitlines(), {99})),
        ["  1: 0100007F:6987 0100007F:B0C4 01 00000000:00000000 00:00000000 00000000     0        0 99 1 0 100 0 0 10 0"],
    ),
    Parser("talus/containers.py:container_of", containers.container_of, [INSPECTED], typed=True),
    Parser("talus/containers.py:in_hosts", lambda text: list(containers.in_hosts(text)), ["127.0.0.1 localhost\n172.17.0.2 talus_mongo x # y\n"]),
]
"""To add one: a line here. ``test_every_parser.py`` fails for a function that reads text and is not named."""
