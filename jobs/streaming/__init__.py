"""The Structured Streaming query over play events: micro-batches and reconciliation."""
