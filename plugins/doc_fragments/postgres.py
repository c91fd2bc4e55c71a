# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  login_host:
    description:
      - Host name or address of the database server.
      - Without it, and without O(login_unix_socket), the local Unix socket is used.
    type: str
  login_port:
    description: Port of the database server.
    type: int
    default: 5432
  login_unix_socket:
    description: Directory of the server's Unix socket. Takes precedence over O(login_host).
    type: path
  login_user:
    description: Database role. Without it, the name of the user who runs the module, as with C(psql).
    type: str
  login_password:
    description: Password of the role. Never shown, journaled or passed on a command line.
    type: str
  login_db:
    description: Name of the database.
    type: str
    default: fitsdata
  ssl_mode:
    description: How TLS is negotiated, as C(sslmode) of libpq.
    type: str
    default: prefer
    choices: [allow, disable, prefer, require, verify-ca, verify-full]
  ca_cert:
    description: File with the certificates of the authorities that may have signed the server's certificate.
    type: path
  connect_timeout:
    description: Seconds to wait for a connection.
    type: int
    default: 10
  peer_user:
    description:
      - System user to be while connecting over the local Unix socket, for servers that know users by peer authentication. Only
        root can be another user.
      - In contrast to C(become_user), the rest of the module still runs as root, and sees the processes and files of all users.
        O(login_user) follows it unless set.
    type: str
requirements:
  - psycopg2 >= 2.7 on the managed node (Debian and Ubuntu C(python3-psycopg2))
"""
