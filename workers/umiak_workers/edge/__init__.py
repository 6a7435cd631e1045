"""The model server of an edge pod."""
