#!/bin/bash
# Like the official one: the server runs as mongodb, whatever user starts the container.
set -euo pipefail
if [ "${1:-}" = mongod ]; then
  chown mongodb /data/db
  exec setpriv --reuid mongodb --regid mongodb --clear-groups "$@"
fi
exec "$@"
