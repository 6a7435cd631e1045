"""Local processes as a runtime, for development."""
