# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What gdb runs in its own Python, of whatever version that is (2.7 on the oldest nodes): as text, since Ansible sends only modules of Python.

It attaches, walks the structures of Motr in memory, and detaches. It calls nothing in the process, continues nothing, and writes one integer
at most. Every list is bounded and every read may fail: the process is stopped between any two instructions, so lists may be torn.
"""

from __future__ import annotations

from .script_values import VALUES

BEGIN, END = "@@fieldops-begin@@", "@@fieldops-end@@"

_WALK = r'''

def variable(frame, name, wanted):
    """A variable of a frame, if it is there, is of that type, and was not optimized away."""
    try:
        symbol, block = declared(frame, name)
        if symbol is None:
            return None
        value = frame.read_var(symbol, block)
        kind = value.type.strip_typedefs()
        if kind.code == gdb.TYPE_CODE_PTR:
            kind = kind.target().unqualified().strip_typedefs()
        if str(kind) != wanted or value.is_optimized_out:
            return None
        value.fetch_lazy()
        return value
    except (ValueError, RuntimeError, gdb.error):
        return None


def declared(frame, name):
    """A variable of a function, and where it is declared. What is global is not searched for, which takes long."""
    block = frame.block()
    while block is not None:
        for symbol in block:
            if symbol.name == name:
                return symbol, block
        if block.function is not None or block.is_static:
            return None, None
        block = block.superblock
    return None, None


def frames():
    frame, count = gdb.newest_frame(), 0
    while frame is not None and count < MOST_FRAMES:
        yield frame
        count += 1
        try:
            frame = frame.older()
        except gdb.error:
            return


class Roots(object):
    """What only the stacks of threads lead to."""

    def __init__(self):
        self.reqh = self.domain = None
        self.running, self.main, self.threads = {}, [], 0

    def walk(self):
        for thread in sorted(gdb.selected_inferior().threads(), key=lambda each: (each.ptid[1] != CONFIG["pid"], each.ptid[1])):
            in_time()
            if self.reqh and not CONFIG["foms"]:
                return
            self.threads += 1
            try:
                thread.switch()
                self.thread(thread.ptid[1] == CONFIG["pid"])
            except gdb.error as exc:
                torn.append("thread %d: %s" % (thread.ptid[1], exc))

    def thread(self, first):
        fom = None
        for frame in frames():
            name = frame.name()
            if first:
                self.main.append(name)
                if name == "main":
                    context = variable(frame, "motr_ctx", "struct m0_motr")
                    if context is not None:
                        self.reqh = address_of(context["cc_reqh_ctx"]["rc_reqh"])
                continue
            if name == "loc_handler_thread":
                self.handler(frame, fom)
                return
            seen = variable(frame, "fom", "struct m0_fom")
            fom = seen if seen is not None and pointer(seen) else fom
            if name == "fom_exec" and fom is not None:
                self.running[pointer(fom)] = None
                self.domain = self.domain or pointer(fom["fo_loc"]["fl_dom"])

    def handler(self, frame, fom):
        thread, place = variable(frame, "th", "struct m0_loc_thread"), variable(frame, "loc", "struct m0_fom_locality")
        if thread is not None and pointer(thread):
            place = thread["lt_loc"]
        if place is not None and pointer(place):
            self.domain = self.domain or pointer(place["fl_dom"])


def look_at_foms(found, roots):
    domain = at(roots.domain, "struct m0_fom_domain")
    chosen = {"queued": 0, "waiting": 0, "running": 0}
    rows = found["foms"]
    reqh = [roots.reqh]

    def add(value, queue, index):
        row = safely("fom", fom_of, value)
        if row is None:
            return
        if reqh[0] is None and pointer(value["fo_service"]):
            reqh[0] = pointer(value["fo_service"]["rs_reqh"])
        row.update(queue=queue, locality=index)
        if not (row["internal"] and not CONFIG["internal"]) and len(rows) < CONFIG["most_foms"]:
            rows.append(row)
        if row["internal"]:
            found["internal"] += 1
        chosen[queue] += 1

    for address in roots.running:
        value = at(address, "struct m0_fom")
        add(value, "running", int(value["fo_loc"]["fl_idx"]))
    for index in range(min(int(domain["fd_localities_nr"]), 4096)):
        in_time()
        value = domain["fd_localities"][index].dereference()
        found["localities"].append(locality(value, index))
        for queue, head in (("queued", "fl_runq"), ("waiting", "fl_wail")):
            for fom in elements(value[head], "struct m0_fom", "fo_linkage"):
                if address_of(fom) not in roots.running:
                    add(fom, queue, index)
    found["counted"] = chosen
    return reqh[0]


def write_state(reqh, change):
    """Compare and set one integer, and read it back."""
    for name, number in (("M0_REQH_ST_NORMAL", 1), ("M0_REQH_ST_DRAIN", 2)):
        if int(gdb.parse_and_eval("(int)" + name)) != number:
            raise Failed("version", "%s is not %d in this process" % (name, number))
    place = reqh["rh_sm"]["sm_state"]
    if int(place.type.sizeof) != 4:
        raise Failed("version", "sm_state has %d bytes" % int(place.type.sizeof))
    before = int(place)
    if before == change["from"]:
        gdb.selected_inferior().write_memory(address_of(place), struct.pack("=I", change["to"]))
    return before


TYPES = ("unsigned long", "struct m0_reqh", "struct m0_reqh_service", "struct m0_fom_domain", "struct m0_fom_locality", "struct m0_fom",
         "struct m0_list_link", "struct m0_rpc_machine", "struct m0_rpc_conn", "struct m0_rpc_session")


def read_types():
    """Before the process is stopped: from its program, or from the library that has them."""
    for one in sorted(gdb.inferiors(), key=lambda each: each.num):
        gdb.execute("inferior %d" % one.num, to_string=True)
        try:
            type_of(TYPES[1])
        except Failed:
            continue
        for name in TYPES:
            type_of(name).fields() if name.startswith("struct") else type_of(name)
        break
    gdb.execute("inferior 1", to_string=True)


def walk(found):
    type_of("struct m0_reqh")
    type_of("struct m0_fom_locality")
    roots = Roots()
    try:
        roots.walk()
        found["threads"] = roots.threads
        found["main"] = [name for name in roots.main if name]
        reqh = roots.reqh
        if roots.domain and (CONFIG["foms"] or not reqh):
            reqh = look_at_foms(found, roots)
        if not reqh:
            raise Failed("reqh", "no stack leads to a request handler")
        handler = at(reqh, "struct m0_reqh")
        if CONFIG["set"]:
            found["before"] = write_state(handler, CONFIG["set"])
            handler = at(reqh, "struct m0_reqh")
        found["reqh"] = {"address": "0x%x" % reqh, "fid": fid(handler["rh_fid"]), "machine": machine(handler["rh_sm"])}
        found["services"] = told("service", service, handler["rh_services"], "struct m0_reqh_service", "rs_linkage")
        if CONFIG["rpc"]:
            found["rpc"] = told("rpc machine", rpc_machine, handler["rh_rpc_machines"], "struct m0_rpc_machine", "rm_rh_linkage")
    except Cut:
        found["cut"] = True


def start_of(pid):
    """Clock ticks after boot, as /proc tells them."""
    with open("/proc/%d/stat" % pid, "rb") as told:
        return int(told.read().rpartition(b")")[2].split()[19])


def woken_by_orphaning():
    """A debugger that was stopped goes on, and so ends, when the module that watches over it is killed."""
    try:
        import ctypes
        ctypes.CDLL(None).prctl(1, int(signal.SIGCONT), 0, 0, 0)
    except Exception:  # a Python without ctypes: who stopped the debugger has to let it go on
        pass


def attached(found):
    started = clock()
    deadline[0] = started + CONFIG["walk"]
    try:
        try:
            gdb.execute("attach %d" % CONFIG["pid"], to_string=True)
        except gdb.error as exc:
            raise Failed("attach", str(exc))
        found["attached"] = clock() - started
        # The process stands still from here on, whoever watches over it may be gone, and its pid may be another one's by now.
        signal.alarm(int(CONFIG["stop"]) + 2)
        if start_of(CONFIG["pid"]) != CONFIG["started"]:
            raise Failed("gone", "the process that has this pid now was started later")
        found["now"] = time.time()
        walk(found)
    except Failed as exc:
        found.update(error=exc.word, text=str(exc))
    except Exception as exc:
        found.update(error="walk", text="%s: %s" % (type(exc).__name__, exc))
    finally:
        quietly("detach")
        found["stopped"] = clock() - started


def main():
    for setting in ("pagination off", "confirm off", "debuginfod enabled off", "auto-load off", "exec-file-mismatch off", "index-cache enabled off",
                    "max-value-size unlimited", "print symbol-loading off", "libthread-db-search-path", "width 0"):
        quietly("set " + setting)
    woken_by_orphaning()
    quietly("handle all nostop noprint pass")
    quietly("handle SIGSEGV nostop noprint pass")
    for setting in CONFIG["settings"]:
        quietly(setting)
    # What is read now need not be read while the process stands still: gdb keeps the symbols of a file for all who use it.
    quietly("file " + CONFIG["program"])
    for library in CONFIG["libraries"]:
        quietly("add-inferior -exec " + library)
    quietly("inferior 1")
    found = {"gdb": gdb.VERSION, "error": None, "text": "", "cut": False, "torn": torn, "foms": [], "internal": 0, "localities": [], "services": [],
             "rpc": [], "reqh": None, "before": None, "threads": 0, "main": [], "counted": {}, "stopped": 0.0, "attached": None, "now": None}
    try:
        read_types()
    except (Failed, gdb.error):  # what was not found is asked for again
        types.clear()
    attached(found)
    sys.stdout.write("\n%s\n%s\n%s\n" % (MARKS[0], json.dumps(found), MARKS[1]))
    sys.stdout.flush()


main()
'''

SCRIPT = VALUES + _WALK
