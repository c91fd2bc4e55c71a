# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Sesam node for tests and the demo. The node itself is closed software: `standin` is a stand-in of it, `plain` runs that as an ordinary process,
`container` in a container of an engine, and `samples` has configurations.

    node = PlainSesam(tmp_path / "node", config=samples.config(pipes=3), sigusr1="default").start()
    node = SesamNode(tmp_path / "node", engine, name="sesam-node").start()
    node.url, node.token("group:Admin")          # http://127.0.0.1:21234/api, a JWT (ADMIN, DEVELOPER, ANONYMOUS are in lab.sesam.standin.auth)
    node.data, node.logs                         # folders as they lie here
    node.ask("GET", "/pipes"), node.pipes(), node.metadata(), node.config()
    node.fault(frozen_api=True); node.mend()     # every setting of lab.sesam.standin.settings, while it runs or before it starts
    node.requests                                # what was asked: [{"method", "path", "query", "status", "who", "form", "profiler", "accept", "at"}]
    node.pid, node.freeze(), node.thaw(), node.kill(), node.restart(), node.stop(), node.close()
"""
