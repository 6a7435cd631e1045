"""Answers hard examples."""
