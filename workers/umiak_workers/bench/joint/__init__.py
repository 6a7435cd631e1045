"""`umiak bench joint`: what collaboration gains per byte, for every way of choosing what the cloud gets to see."""
