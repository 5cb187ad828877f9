# One image for Airflow, Spark, MLflow and the player: the packages of requirements.lock, Java, and Segue.
FROM python:3.11.14-slim-bookworm AS segue
RUN apt-get update \
    && apt-get install -y --no-install-recommends openjdk-17-jre-headless procps curl \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/segue
# A separate layer: the packages change less often than the code.
COPY requirements.lock ./
RUN pip install --no-cache-dir uv==0.13.8 && uv pip install --system --no-cache --require-hashes -r requirements.lock
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY jobs jobs
COPY serving serving
COPY dags dags
COPY spark_conf spark_conf
RUN uv pip install --system --no-cache --no-deps -e . && python -m jobs.runtime.py_files /opt/segue/segue.zip && python -m jobs.runtime.install
# Spark's workers and Airflow's tasks write to the same lake, so they run as the same user.
RUN useradd --uid 1000 --create-home segue && mkdir -p /lake/mlflow /airflow /spark && chown -R segue:segue /lake /airflow /spark
USER segue
ENV PYTHONUNBUFFERED=1 JAVA_HOME=/usr/lib/jvm/java-17-openjdk-amd64 AIRFLOW_HOME=/airflow
