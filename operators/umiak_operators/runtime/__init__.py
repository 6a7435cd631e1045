"""The seam between a plan and the world: Kubernetes, local processes, or memory."""
