"""MusiCNN: a pretrained network's embedding and tags of a recording, on machines that have its weights."""
