"""Keeps an edge on the head of its model line: download, verify, install, swap, report."""
