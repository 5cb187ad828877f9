"""What people play: events on their way through Kafka, PLAYS, and what the stream does with them."""
