"""The Free Music Archive data set: download, metadata, features.csv."""
