#!/bin/bash
# Write the broker's settings from the variables KAFKA_*, format its folder if it is new, then become the broker.
set -euo pipefail
for name in $(compgen -e KAFKA_ | grep -v HEAP_OPTS); do
  key=$(tr 'A-Z_' 'a-z.' <<<"${name#KAFKA_}")
  echo "$key=${!name}"
done > /tmp/server.properties
class_path=$(python -c 'from jobs.runtime import jars; print(*jars.jar_files("kafka"), sep=":")')
java="$JAVA_HOME/bin/java $KAFKA_HEAP_OPTS -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError -cp $class_path"
if [ ! -e "$KAFKA_LOG_DIRS/meta.properties" ]; then
  $java kafka.tools.StorageTool format --config /tmp/server.properties --cluster-id 5L6g3nShT-eMCtK--X86sw
fi
exec $java kafka.Kafka /tmp/server.properties
