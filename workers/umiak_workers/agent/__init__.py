"""Keeps an edge on the head of its model line."""
