#!/bin/bash
# Create the cluster, user and database of the variables POSTGRES_*, then become the server.
set -euo pipefail
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --encoding UTF8 --locale C.UTF-8 --username "$POSTGRES_USER" --pwfile <(printf '%s' "$POSTGRES_PASSWORD") --auth scram-sha-256 >/dev/null
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  # Only the socket, which pg_isready of the health check does not find, until the database is there.
  pg_ctl start -w -s -o "-c listen_addresses= -c unix_socket_directories=/tmp"
  [ "$POSTGRES_DB" = "$POSTGRES_USER" ] || PGPASSWORD=$POSTGRES_PASSWORD createdb --host /tmp --username "$POSTGRES_USER" "$POSTGRES_DB"
  PGPASSWORD=$POSTGRES_PASSWORD createdb --host /tmp --username "$POSTGRES_USER" "$POSTGRES_USER" 2>/dev/null || true
  pg_ctl stop -w -s
fi
exec postgres -c listen_addresses='*'
