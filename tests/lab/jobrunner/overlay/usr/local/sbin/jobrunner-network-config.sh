#!/bin/sh
# Stand-in: makes the network that database jobs use. The rules of the real one need the machine's firewall, which is not the laboratory's.
set -eu
docker network inspect "$1" >/dev/null 2>&1 || docker network create "$1" >/dev/null
