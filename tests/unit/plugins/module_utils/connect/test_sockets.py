# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets that listen: the kernel's tables, made up and real."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import open_files
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.sockets import Listener, listeners, packed
from hypothesis import given
from hypothesis import strategies as st

ANY = "0.0.0.0"  # noqa: S104


@pytest.mark.parametrize(
    ("listens", "asked", "serves"),
    [
        ("127.0.0.1", None, True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", ANY, False),
        (ANY, "127.0.0.1", True),
        (ANY, ANY, True),
        (ANY, "::1", False),
        (ANY, "::", False),
        ("::", "127.0.0.1", True),
        ("::", ANY, True),
        ("::", "::1", True),
        ("::", "::", True),
        ("::1", "::1", True),
        ("::1", "0:0:0:0:0:0:0:1", True),
        ("::1", "::", False),
        ("fe80::1", "::1", False),
    ],
)
def test_which_addresses_a_socket_serves(listens: str, asked: str | None, serves: bool) -> None:
    assert Listener("tcp", listens, 80, 1).serves(asked) is serves


@given(st.ip_addresses())
def test_addresses_are_compared_as_the_network_has_them(address: object) -> None:
    text = str(address)
    assert packed(text) == packed(text.upper())
    assert len(packed(text)) in {4, 16}


def test_what_is_no_address() -> None:
    assert packed("/run/a.sock") != packed("/run/b.sock")


TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1F40 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0 20 4 30 10 -1
"""
UNIX = """Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 81 /run/a dir/x.sock
0000000000000000: 00000002 00000000 00010000 0001 01 82 @abstract
0000000000000000: 00000003 00000000 00000000 0001 03 83 /run/connected.sock
0000000000000000: 00000002 00000000 00010000 0001 01 84
"""


def test_the_tables_of_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(TCP, encoding="ascii")
    (tmp_path / "net" / "unix").write_text(UNIX, encoding="ascii")
    assert listeners(("tcp", "udp", "unix"), str(tmp_path)) == [
        Listener("tcp", "127.0.0.1", 8000, 4711),
        Listener("unix", "/run/a dir/x.sock", None, 81),
        Listener("unix", "@abstract", None, 82),
    ]


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_INET, ANY)])
@pytest.mark.parametrize(("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])
def test_a_real_socket(family: int, address: str, protocol: str, kind: int) -> None:
    with socket.socket(family, kind) as sock:
        try:
            sock.bind((address, 0))
        except OSError:
            pytest.skip("this machine has no %s" % address)
        if protocol == "tcp":
            assert not [each for each in listeners([protocol]) if each.port == sock.getsockname()[1]]
            sock.listen()
        [seen] = [each for each in listeners([protocol]) if each.port == sock.getsockname()[1] and each.address == address]
        assert seen.inode == os.fstat(sock.fileno()).st_ino
        assert open_files([os.getpid()]).sockets[seen.inode] == (os.getpid(),)
    assert not [each for each in listeners([protocol]) if each.inode == seen.inode]


def test_a_real_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "a b.sock")
    with socket.socket(socket.AF_UNIX) as sock, socket.socket(socket.AF_UNIX) as abstract:
        sock.bind(path)
        assert path not in {each.address for each in listeners(["unix"])}
        sock.listen()
        name = "fieldops-%d" % os.getpid()
        abstract.bind("\0" + name)
        abstract.listen()
        assert {path, "@" + name} <= {each.address for each in listeners(["unix"])}
