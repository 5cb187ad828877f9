"""One module per pipeline step: `add_arguments` and `main`.

Steps never import one another: they meet in tables.
"""
