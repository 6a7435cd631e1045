"""One round of lifelong learning: learn from the cloud's answers, prove it, report it."""
