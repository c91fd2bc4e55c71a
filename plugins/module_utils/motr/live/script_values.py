# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first part of what gdb runs: values, lists and structures of Motr in memory, each read so that it may fail."""

from __future__ import annotations

VALUES = r'''
import json, signal, struct, sys, time
import gdb

clock = getattr(time, "monotonic", time.time)
# Whoever started this may be gone: the kernel detaches the debugger that dies.
signal.signal(signal.SIGALRM, signal.SIG_DFL)
signal.alarm(int(CONFIG["alarm"]))
MOST_FRAMES, MOST_NODES = 128, 1000000
torn, names, types = [], {}, {}
deadline = [0.0]


class Cut(Exception):
    pass


class Failed(Exception):
    def __init__(self, word, text):
        Exception.__init__(self, text)
        self.word = word


def quietly(command):
    try:
        gdb.execute(command, to_string=True)
    except gdb.error:  # a setting that this gdb does not know
        pass


def type_of(name):
    if name not in types:
        try:
            types[name] = gdb.lookup_type(name)
        except gdb.error as exc:
            raise Failed("symbols", str(exc))
    return types[name]


def offset(name, field):
    key = name + "." + field
    if key not in types:
        for each in type_of(name).fields():
            if each.name == field:
                types[key] = each.bitpos // 8
                break
        else:
            raise Failed("version", "%s has no %s" % (name, field))
    return types[key]


def at(address, name):
    return gdb.Value(address).cast(type_of(name).pointer()).dereference()


def in_time():
    if clock() > deadline[0]:
        raise Cut()


def address_of(value):
    return int(value.address)


def pointer(value):
    return int(value.cast(type_of("unsigned long")))


def text(value):
    """A string of the program; None where there is none."""
    address = pointer(value)
    if address not in names:
        names[address] = read_text(address)
    return names[address]


def read_text(address):
    found = b""
    while address and len(found) < 256:
        size = 64 - (address + len(found)) % 64  # never over the end of a page
        try:
            found += bytes(bytearray(ord(each) if isinstance(each, (str, bytes)) else each for each in
                                     gdb.selected_inferior().read_memory(address + len(found), size)))
        except (gdb.MemoryError, gdb.error):
            return None
        if b"\0" in found:
            return found.split(b"\0")[0].decode("utf-8", "replace")
    return found.decode("utf-8", "replace") if address else None


def fid(value):
    return "<%x:%x>" % (int(value["f_container"]), int(value["f_key"]))


def machine(value):
    """State, its name, and since when, of a state machine."""
    state = int(value["sm_state"])
    name = None
    if pointer(value["sm_conf"]):
        conf = value["sm_conf"].dereference()
        if state < int(conf["scf_nr_states"]):
            name = text(conf["scf_state"][state]["sd_name"])
    return {"state": state, "name": name, "epoch": int(value["sm_state_epoch"])}


def elements(head, name, link):
    """Elements of a m0_tl. It ends at its head; one that does not was torn."""
    end, seen, count = address_of(head["t_head"]), set(), 0
    back = offset(name, link)
    try:
        here = pointer(head["t_head"]["l_head"])
        while here != end:
            in_time()
            if here in seen or not here or count >= MOST_NODES:
                torn.append("%s at 0x%x" % (name, end))
                return
            seen.add(here)
            count += 1
            after = pointer(at(here, "struct m0_list_link")["ll_next"])
            yield at(here - back, name)
            here = after
    except gdb.MemoryError as exc:
        torn.append("%s at 0x%x: %s" % (name, end, exc))


def safely(what, make, value):
    """One element told, or noted as torn."""
    try:
        return make(value)
    except gdb.MemoryError as exc:
        torn.append("%s: %s" % (what, exc))
        return None


def told(what, make, head, name, link):
    return [each for each in (safely(what, make, value) for value in elements(head, name, link)) if each is not None]


def service(value):
    return {"type": text(value["rs_type"]["rst_name"]), "fid": fid(value["rs_service_fid"]), "machine": machine(value["rs_sm"])}


def fom_of(value):
    kind, fop = value["fo_type"], value["fo_fop"]
    return {
        "address": "0x%x" % address_of(value),
        "service": text(kind["ft_rstype"]["rst_name"]) if pointer(kind) and pointer(kind["ft_rstype"]) else None,
        "type": text(value["fo_sm_phase"]["sm_conf"]["scf_name"]) if pointer(value["fo_sm_phase"]["sm_conf"]) else None,
        "phase": machine(value["fo_sm_phase"]),
        "state": machine(value["fo_sm_state"]),
        "transitions": int(value["fo_transitions"]),
        "fop": text(fop["f_type"]["ft_name"]) if pointer(fop) and pointer(fop["f_type"]) else None,
        "internal": not pointer(fop),
    }


def locality(value, index):
    return {
        "index": index,
        "foms": int(value["fl_foms"]),
        "queued": int(value["fl_runq_nr"]),
        "waiting": int(value["fl_wail_nr"]),
        "handler": bool(pointer(value["fl_handler"])),
    }


def session(value):
    return {"id": "0x%x" % int(value["s_session_id"]), "machine": machine(value["s_sm"]), "cancelled": bool(int(value["s_cancelled"]))}


def connection(value):
    channel, peer = value["c_rpcchan"], None
    if pointer(channel) and pointer(channel["rc_destep"]):
        peer = text(channel["rc_destep"]["nep_addr"])
    sessions = told("session", session, value["c_sessions"], "struct m0_rpc_session", "s_link")
    return {"address": "0x%x" % address_of(value), "peer": peer, "machine": machine(value["c_sm"]), "service": fid(value["c_svc_fid"]),
            "flags": int(value["c_flags"]), "sessions": sessions}


def rpc_machine(value):
    found = {"endpoint": text(value["rm_tm"]["ntm_ep"]["nep_addr"]) if pointer(value["rm_tm"]["ntm_ep"]) else None}
    for name in ("incoming", "outgoing"):
        found[name] = told("connection", connection, value["rm_%s_conns" % name], "struct m0_rpc_conn", "c_link")
    return found
'''
