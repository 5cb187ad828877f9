"""What one machine runs: Java, the embedded Kafka and MongoDB, and the services of `segue up`."""
