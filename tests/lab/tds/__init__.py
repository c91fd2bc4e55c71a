# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for SQL Server: it speaks TDS 7.4 to the real driver, and answers from a small catalogue whose tables grow with time.

It is no SQL Server. It knows only what a look at row counts needs, and refuses every statement that is not a SELECT or a SET, so that a look which
would write is found out.

with SqlServer() as server:
    server.catalogue.table("OpenCORONATempTables", "cohort_1", rows=1000, rate=50)
    ... host 127.0.0.1, port server.port, user and password from server.users
"""

from __future__ import annotations

from lab.tds.catalogue import Catalogue, Table
from lab.tds.server import Login, SqlServer

__all__ = ["Catalogue", "Login", "SqlServer", "Table"]
