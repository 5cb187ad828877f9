"""Features -> vectors, clusters, neighbours: the model, what it is worth, and where it is registered."""
