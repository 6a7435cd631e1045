"""A state folder and its books know each other by one identity.

Files that no book names are swept at start: books of another folder, or empty ones after a change of the database,
would sweep everything away, and two hubs over one database would sweep each other.
"""

import secrets
from pathlib import Path

from sqlalchemy import Connection, insert, select

from umiak_workers.adapters.configfile import durable_write
from umiak_workers.contract.errors import ConfigError
from umiak_workers.hub import tables

HOME_FILE = "home"
_FOLDERS = ("blobs", "replay")


def check(sql: Connection, state: Path, named: str | None) -> None:
    """Make a new pair one; raises ConfigError where folder and books are of different hubs.

    `named`: what errors call the database; None: the books lie in the folder, so they are its own unless it says
    otherwise. The folder is marked before the transaction commits: a kill between the two leaves a marked, empty
    folder, which is a new pair.
    """
    file = state / HOME_FILE
    marked = file.read_text() if file.exists() else None
    written: str | None = sql.execute(select(tables.home.c.id)).scalar()
    if marked is not None and marked == written:
        return
    if written is not None:
        raise ConfigError(f"{named or 'database'}: its books belong to the state folder of another hub, not to {state}")
    if not _is_empty(state) and (marked is not None or named is not None):
        raise ConfigError(f"{named or 'database'}: is empty, and {state} is not: its books are in another database")
    marked = marked or secrets.token_hex(16)
    durable_write(file, marked.encode())
    sql.execute(insert(tables.home).values(id=marked))


def _is_empty(state: Path) -> bool:
    return not any(file.is_file() for folder in _FOLDERS for file in (state / folder).rglob("*"))
