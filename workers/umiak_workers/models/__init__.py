"""Modeling parts and training, in torch."""
