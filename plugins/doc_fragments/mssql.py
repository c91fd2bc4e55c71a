# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  login_host:
    description:
      - Host name or address of the SQL Server. An instance is reached by its port.
      - Needs O(login_user) and O(login_password).
    type: str
  login_port:
    description: Port of the SQL Server.
    type: int
    default: 1433
  login_user:
    description: SQL Server login. Logins of Windows are not supported.
    type: str
  login_password:
    description: Password of the login. Never shown, or passed on a command line.
    type: str
  login_db:
    description: Database to log in to. Without it, the one that the server has as the login's default.
    type: str
  database_url:
    description:
      - Everything in one, as V(mssql://USER:PASSWORD@HOST:PORT/DATABASE). Special characters in it must be percent-encoded.
      - Never shown, or passed on a command line.
    type: str
  encryption:
    description:
      - V(request) encrypts at least the login wherever the server can. V(require) refuses a server that cannot, and encrypts everything.
      - V(off) sends the password so that everybody on the way can read it, unless the server insists on encryption. It is for servers whose TLS is too old.
      - The server's certificate is not looked at unless O(ca_cert) is given.
    type: str
    choices: ["off", request, require]
    default: request
  ca_cert:
    description:
      - File with the certificates of the authorities that may have signed the server's certificate.
      - Implies O(encryption=require); the certificate must then be for O(login_host) as well.
    type: path
  login_timeout:
    description: Seconds to wait for a connection.
    type: int
    default: 15
  timeout:
    description: Seconds to wait for the answer to each statement. Locks are waited for 5 seconds at most.
    type: int
    default: 60
requirements:
  - pymssql >= 2.2.2 on the managed node, though not 2.4.1 (Debian C(python3-pymssql)). On Python 3.8 pip must be told to take C(pymssql==2.3.1), the
    last that is built for it.
"""
