"""Processes of this machine: Java, the embedded Kafka and MongoDB, the services of `segue up`."""
