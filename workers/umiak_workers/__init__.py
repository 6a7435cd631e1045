"""The data plane: everything that runs at the edge, in the cloud and in training Jobs."""
