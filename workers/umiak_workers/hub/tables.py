"""What the hub remembers. Only SQL that SQLite and PostgreSQL both speak.

Wire nouns are kept as their JSON (text), beside the columns that are searched or counted.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    delete,
    insert,
    select,
)

from umiak_workers.contract.errors import ConfigError

SCHEMA = 1
metadata = MetaData()
_ROW = BigInteger().with_variant(Integer, "sqlite")

schema = Table(
    "hub_schema",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("cursor", BigInteger, nullable=False),  # the newest position of the change stream
)

home = Table("hub_home", metadata, Column("id", Text, primary_key=True))  # see home.py

owners = Table(
    "hub_owners",
    metadata,
    Column("row", _ROW, primary_key=True, autoincrement=True),
    Column("uid", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("line", Text, index=True),  # the line it starts (JointInference) or moves (ModelPatch)
    Column("follows", Text),  # LifelongLearning: the JointInference it learns from
    Column("spec", Text, nullable=False),
    Column("cursor", BigInteger, nullable=False, index=True),
    UniqueConstraint("kind", "namespace", "name"),
)

lines = Table(
    "hub_lines",
    metadata,
    Column("line", Text, primary_key=True),
    Column("digest", Text),
    Column("sequence", BigInteger, nullable=False),
    Column("issued", BigInteger, nullable=False),  # the highest sequence ever handed to the signer; never used again
    Column("envelope", Text),
    Column("problem", Text, nullable=False),
)

models = Table(
    "hub_models",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("manifest", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("stored_at", Float(53), nullable=False),
)

releases = Table(
    "hub_releases",
    metadata,
    Column("row", _ROW, primary_key=True, autoincrement=True),
    Column("owner", Text, nullable=False),  # uid; empty: the initial model of the line
    Column("line", Text, nullable=False),
    Column("from_digest", Text),
    Column("to_digest", Text, nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("sequence", BigInteger),
    Column("record", Text),  # the canonical bytes that are signed
    Column("changed_at", Float(53), nullable=False),
    UniqueConstraint("line", "sequence"),
    Index("hub_releases_line", "line", "state"),
)

replays = Table(
    "hub_replays",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("watermark", BigInteger, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    PrimaryKeyConstraint("namespace", "resource"),
)

receipts = Table(
    "hub_receipts",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("frame", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("stored_at", Float(53), nullable=False),
    PrimaryKeyConstraint("namespace", "resource", "frame", "digest"),
    Index("hub_receipts_age", "namespace", "resource", "stored_at"),
)

samples = Table(
    "hub_samples",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("frame", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("header", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("file", Text, nullable=False),
    Column("stored_at", Float(53), nullable=False),
    PrimaryKeyConstraint("namespace", "resource", "position"),
    UniqueConstraint("namespace", "resource", "frame"),
    Index("hub_samples_age", "namespace", "resource", "stored_at"),
)

reports = Table(
    "hub_reports",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("edge", Text, nullable=False),
    Column("agent", Text),
    Column("router", Text),
    Column("seen_at", Float(53), nullable=False),
    PrimaryKeyConstraint("namespace", "resource", "edge"),
)

rounds = Table(
    "hub_rounds",
    metadata,
    Column("row", _ROW, primary_key=True, autoincrement=True),
    Column("namespace", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("round", Text, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("namespace", "resource", "round"),
)

hints = Table(
    "hub_hints",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("payload", Text),  # None: the retained message has to be cleared
)


def check_schema(connection: Connection) -> None:
    """Stamp a new database; raises ConfigError for one that another version of the hub wrote."""
    found = connection.execute(select(schema.c.version)).scalar()
    if found is None:
        connection.execute(insert(schema).values(version=SCHEMA, cursor=0))
    elif found != SCHEMA:
        raise ConfigError(f"database: written by schema {found}, this hub speaks {SCHEMA}")


def forget_resource(connection: Connection, table: Table, namespace: str, resource: str) -> None:
    """Drop every row of one resource from a table that is keyed by it."""
    connection.execute(delete(table).where(table.c.namespace == namespace, table.c.resource == resource))
