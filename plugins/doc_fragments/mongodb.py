# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  login_host:
    description:
      - Host name or address of the MongoDB server.
      - The connection is always direct. The module speaks with this server, whatever its replica set calls its members.
    type: str
    default: localhost
  login_port:
    description: Port of the server.
    type: int
    default: 27017
  login_user:
    description: User to log in as. Without it, the module does not log in.
    type: str
  login_password:
    description: Password of the user. Never shown, journaled or passed on a command line.
    type: str
  login_database:
    description: Database that the user is kept in.
    type: str
    default: admin
  auth_mechanism:
    description: How to log in. Without it, the driver and the server agree on one.
    type: str
    choices: [SCRAM-SHA-256, SCRAM-SHA-1, MONGODB-X509, GSSAPI, PLAIN]
  ssl:
    description: Whether to encrypt the connection.
    type: bool
    default: false
    aliases: [tls]
  ssl_cert_reqs:
    description: Whether the server's certificate must be valid.
    type: str
    choices: [CERT_NONE, CERT_REQUIRED]
    default: CERT_REQUIRED
  ssl_ca_certs:
    description: File with the certificates of the authorities that may have signed the server's certificate. Needs O(ssl).
    type: path
    aliases: [tlsCAFile]
  ssl_certfile:
    description: File with the client's certificate and key. Needs O(ssl).
    type: path
    aliases: [tlsCertificateKeyFile]
  ssl_pem_passphrase:
    description: Passphrase of the key in O(ssl_certfile).
    type: str
    aliases: [tlsCertificateKeyFilePassword]
  timeout:
    description: Seconds to wait for a connection, and for each answer.
    type: float
    default: 10.0
requirements:
  - pymongo >= 3.11 on the managed node (Debian and Ubuntu C(python3-pymongo))
  - For servers older than the driver supports, pymongo 3.13, which speaks with MongoDB 2.6 to 6.0. pymongo 4.20 speaks with 4.4 and later.
"""
