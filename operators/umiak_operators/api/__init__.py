"""A resource as Python sees it: frozen models and parsing, one file per kind. Pure."""
