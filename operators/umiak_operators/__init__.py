"""The control plane: resources become plans, plans become children."""
