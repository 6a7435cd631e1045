"""Errors that a resource can cause on purpose."""


class InvalidSpec(Exception):
    """A spec that cannot be understood or carried out; the text is one line that names the field."""
