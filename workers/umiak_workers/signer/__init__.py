"""Signs releases; holds the key, listens nowhere."""
