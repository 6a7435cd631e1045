"""Kubernetes as a runtime."""
