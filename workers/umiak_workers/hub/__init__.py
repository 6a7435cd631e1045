"""Models, lines, replay and fleet reports."""
