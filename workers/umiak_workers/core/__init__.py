"""The decisions of the workers as pure functions over numpy arrays."""
