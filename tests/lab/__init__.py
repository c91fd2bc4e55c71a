# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory: real servers and stand-ins that the integration tests, the demo and the benchmarks run against.

`pg` starts PostgreSQL, `fits` gives it a FITS Storage database with workers and faults. `engine` starts a Docker Engine, `cutting` takes it away in the
middle, `jobrunner` makes a backend of OpenSAFELY on it, with a stand-in of job-runner. `tds` is a stand-in of SQL Server, `registry` a small registry of
images. `mongo` starts real mongods, alone and in sets. `hosts` has whole hosts with systemd: fits-a, fits-c, archive, backend, libvirt, rabbitmq,
talus-master, talus-slave, sesam; `talus` has stand-ins of Talus' daemons and web application; `sesam` is a
stand-in of a Sesam node, as a process or in a container. Everything that is started here is stopped by recorded process id;
a run that is killed is cleaned up by `keeper`.
"""
