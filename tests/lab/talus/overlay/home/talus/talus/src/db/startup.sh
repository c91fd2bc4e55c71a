#!/usr/bin/env bash

mkdir -p /talus/logs/mongodb || true
mkdir -p /talus/data/mongodb || true

(sleep "$INITIATE_DELAY" ; python3 -m lab.talus.initiate talus-db:27017) &

# The second line: what the server of that time did by itself, and the laboratory's modesty.
mongod \
	--bind_ip_all --wiredTigerCacheSizeGB 0.25 --oplogSize 64 --setParameter diagnosticDataCollectionEnabled=false --logRotate rename \
	--logpath /talus/logs/mongodb/mongodb.log \
	--dbpath /talus/data/mongodb \
	$MONGOD_ARGUMENTS
