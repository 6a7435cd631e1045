"""Photos in, one final answer per frame out."""
