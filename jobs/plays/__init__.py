"""Play events as data: events, topics, spool, producer, the table PLAYS."""
