#!/bin/bash
# The command of an executor's pod: Spark on Kubernetes starts it with the argument `executor` and the variables below
# (BasicExecutorFeatureStep.scala of Spark 4.2). In the image it is /usr/local/bin/executor.
set -euo pipefail
jars=$(python3 -c 'import importlib.util; print(importlib.util.find_spec("pyspark").submodule_search_locations[0])')/jars
options=()
while IFS= read -r name; do options+=("${!name}"); done < <(compgen -e SPARK_JAVA_OPT_ | sort -t_ -k4n)
exec "$JAVA_HOME/bin/java" "${options[@]}" "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
  -cp "${SPARK_CONF_DIR:-}:$jars/*" org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
  --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" \
  --app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP" \
  --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" --podName "$SPARK_EXECUTOR_POD_NAME"
