"""One round of lifelong learning."""
