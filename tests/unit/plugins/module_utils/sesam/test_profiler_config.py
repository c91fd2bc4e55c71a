# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container like another one with the profiler's option, by tables: where the option goes, what is the same, and what cannot be made again."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.profiler_config import (
    LABEL,
    OPTION,
    Unfaithful,
    bound_of,
    command_of,
    disabled,
    enabled,
    has_option,
    kept_name,
    kept_of,
    on_layer,
    other_networks,
    recreated,
    unfaithful,
    with_option,
    without_option,
)

ID = "0123456789abcdef" * 4
DIRECT = ["lake", "-l", "/sesam/logs", "-d", "/sesam/data"]
SHELL = "chown -R 1000 /sesam && exec gosu 1000 lake -l /sesam/logs -d /sesam/data"


def container(cmd: Any = None, entrypoint: Any = ("/entrypoint.sh",), **parts: Any) -> dict[str, Any]:
    host = {
        "Binds": ["/sesam/node-00:/sesam:rw"],
        "NetworkMode": "bridge",
        "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
        **parts.pop("host", {}),
    }
    config = {
        "Hostname": ID[:12],
        "Image": "sesam/sesam-node:weekly-prod",
        "Entrypoint": list(entrypoint) if entrypoint else None,
        "Cmd": DIRECT if cmd is None else cmd,
        "Labels": {"com.docker.compose.service": "node"},
        "Env": ["TOKEN=secret"],
        **parts.pop("config", {}),
    }
    mounts = [{"Type": "bind", "Source": "/sesam/node-00", "Destination": "/sesam", "RW": True}, *parts.pop("mounts", [])]
    return {"Id": ID, "Name": "/sesam-node", "Config": config, "HostConfig": host, "Mounts": mounts, "NetworkSettings": parts.pop("net", {}), **parts}


@pytest.mark.parametrize(
    ("cmd", "entrypoint", "expected"),
    [
        (DIRECT, ["/entrypoint.sh"], ["/entrypoint.sh", *DIRECT, OPTION]),
        (["-l", "/logs"], ["/usr/bin/lake"], ["/usr/bin/lake", "-l", "/logs", OPTION]),
        (["sh", "-c", SHELL], ["/entrypoint.sh"], ["/entrypoint.sh", "sh", "-c", SHELL.replace(" lake ", f" lake {OPTION} ")]),
        (["sh", "-c", "cd /opt; exec /opt/lake;true"], None, ["sh", "-c", f"cd /opt; exec /opt/lake {OPTION};true"]),
        (["lake -l /logs"], ["bash", "-ec"], ["bash", "-ec", f"lake {OPTION} -l /logs"]),
    ],
)
def test_where_the_option_goes(cmd: list[str], entrypoint: Any, expected: list[str]) -> None:
    seen = container(cmd, entrypoint)
    made = {**seen, "Config": {**seen["Config"], **with_option(seen)}}
    assert command_of(made) == expected
    assert has_option(command_of(made))
    assert not has_option(command_of(seen))
    assert command_of({"Config": without_option(made)}) == command_of(seen)


def test_a_command_with_several_nodes_in_it() -> None:
    with pytest.raises(Unfaithful, match="2 times"):
        with_option(container(["sh", "-c", "lake --check && exec lake -l /logs"]))


def test_an_image_that_hides_its_command() -> None:
    seen = container(["-l", "/logs"], ["/start.sh"])
    with pytest.raises(Unfaithful, match="not known where"):
        with_option(seen)
    assert with_option(seen, ["python3", "/usr/bin/lake", "-l", "/logs"])["Cmd"] == ["-l", "/logs", OPTION]


def test_it_is_the_same_but_for_the_option_and_the_bound() -> None:
    seen = container()
    config = enabled(seen, 1000, "/sesam/logs/")
    assert config["HostConfig"]["Tmpfs"]["/sesam/logs/api_profiler"].endswith("size=1000,nr_inodes=20000")
    assert config["Labels"] == {**seen["Config"]["Labels"], LABEL: "1000:/sesam/logs/api_profiler"}
    assert (config["Env"], config["Image"]) == (seen["Config"]["Env"], seen["Config"]["Image"])
    assert "Hostname" not in config
    assert config["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert seen["Config"]["Cmd"] == DIRECT, "the inspection is left alone"
    made = {**seen, "Config": config, "HostConfig": config["HostConfig"]}
    assert bound_of(made) == (1000, "/sesam/logs/api_profiler")
    again, plain = disabled(made), recreated(seen)
    assert {**again, "HostConfig": {**again["HostConfig"], "Tmpfs": None}} == {**plain, "HostConfig": {**plain["HostConfig"], "Tmpfs": None}}
    assert again["HostConfig"]["Tmpfs"] == {}


def test_a_name_that_somebody_gave_stays() -> None:
    assert recreated(container(config={"Hostname": "node"}))["Hostname"] == "node"


def test_volumes_without_a_name_are_taken_along() -> None:
    volume = {"Type": "volume", "Name": "f" * 64, "Destination": "/cache", "RW": True}
    read_only = {"Type": "volume", "Name": "e" * 64, "Destination": "/seed", "RW": False}
    named = {"Type": "volume", "Name": "mine", "Destination": "/mine", "RW": True}
    host = {"Binds": ["/sesam/node-00:/sesam:rw", "mine:/mine:rw"], "Mounts": [{"Type": "volume", "Target": "/seed", "ReadOnly": True}]}
    config = recreated(container(config={"Volumes": {"/cache": {}, "/sesam": {}}}, mounts=[volume, read_only, named], host=host))
    assert config["HostConfig"]["Binds"] == [*host["Binds"], f"{'f' * 64}:/cache:rw", f"{'e' * 64}:/seed:ro"]
    assert config["HostConfig"]["Mounts"] is None
    assert config["Volumes"] is None


def test_ports_that_the_engine_chose_stay() -> None:
    now = {"9042/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32768"}], "1/tcp": None}  # noqa: S104
    config = recreated(container(host={"PortBindings": {"9042/tcp": [{"HostIp": "", "HostPort": ""}]}}, net={"Ports": now}))
    assert config["HostConfig"]["PortBindings"]["9042/tcp"][0]["HostPort"] == "32768"
    config = recreated(container(host={"PublishAllPorts": True}, net={"Ports": now}))
    assert (config["HostConfig"]["PortBindings"], config["HostConfig"]["PublishAllPorts"]) == ({"9042/tcp": now["9042/tcp"]}, False)


def test_networks_with_fixed_addresses_and_aliases() -> None:
    networks = {
        "front": {"NetworkID": "n1", "IPAddress": "10.0.0.7", "IPAMConfig": {"IPv4Address": "10.0.0.7"}, "Aliases": ["node", ID[:12]], "MacAddress": "02:42"},
        "back": {"NetworkID": "n2", "IPAddress": "10.1.0.3", "IPAMConfig": None, "Aliases": None},
    }
    seen = container(host={"NetworkMode": "front", "Links": ["/db:/sesam-node/store"]}, net={"Networks": networks})
    config = recreated(seen)
    assert config["NetworkingConfig"] == {"EndpointsConfig": {"front": {"IPAMConfig": {"IPv4Address": "10.0.0.7"}, "Aliases": ["node"]}}}
    assert other_networks(seen) == {"back": {}}
    assert other_networks(container(host={"NetworkMode": "front"}, net={"Networks": {**networks, "bridge": {}}})) == {"back": {}, "bridge": {}}
    assert config["HostConfig"]["Links"] == ["db:store"]
    assert "NetworkingConfig" not in recreated(container())
    assert other_networks(container(host={"NetworkMode": "host"}, net={"Networks": {"host": {}}})) == {}


@pytest.mark.parametrize(
    ("policy", "tail"),
    [
        ({"Name": "always", "MaximumRetryCount": 0}, "always"),
        ({"Name": "on-failure", "MaximumRetryCount": 5}, "on-failure.5"),
        ({"Name": "", "MaximumRetryCount": 0}, "no"),
        (None, "no"),
    ],
)
def test_the_name_of_what_was_put_aside_tells_its_policy(policy: Any, tail: str) -> None:
    name = kept_name(container(host={"RestartPolicy": policy}))
    assert name == f"sesam-node-fieldops-{ID[:12]}.{tail}.aside"
    wanted = {"Name": (policy or {}).get("Name") or "no", "MaximumRetryCount": (policy or {}).get("MaximumRetryCount", 0)}
    assert kept_of(name) == ("sesam-node", ID[:12], wanted)
    assert kept_of("sesam-node") is kept_of("sesam-node-fieldops-x.always.aside") is None


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (container(host={"AutoRemove": True}), "--rm"),
        (container(host={"NetworkMode": "container:abc"}), "network of another"),
        (container(config={"Labels": {"com.docker.swarm.service.name": "s"}}), "com.docker.swarm.service s"),
    ],
)
def test_what_cannot_be_made_again(seen: dict[str, Any], words: str) -> None:
    (reason,) = unfaithful(seen)
    assert words in reason


def test_others_that_hang_on_it() -> None:
    def other(**host: Any) -> dict[str, Any]:
        return {"Id": "9" * 64, "Name": "/side", "HostConfig": host}

    seen = container()
    assert unfaithful(seen, [other(), other(NetworkMode="container:123"), other(Links=["/db:/side/db"])]) == []
    assert unfaithful(seen, [other(NetworkMode=f"container:{ID}")]) == ["container side has its network"]
    assert unfaithful(seen, [other(PidMode="container:sesam-node")]) == ["container side has its processes"]
    assert unfaithful(seen, [other(Links=["/sesam-node:/side/n"])]) == ["container side is linked to it"]


def test_folders_that_would_be_empty() -> None:
    assert on_layer(["/sesam/data", "/sesamy/logs", "/data"], container()) == ["/sesamy/logs", "/data"]
