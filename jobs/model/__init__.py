"""Features to embeddings, clusters and neighbours: training, metrics, registry."""
