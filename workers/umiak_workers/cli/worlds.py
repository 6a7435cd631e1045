"""Finding a local world that `umiak up` runs on this machine, and who in it answers."""

import os
from pathlib import Path

from umiak_workers.adapters.configfile import read_bytes
from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.wire import parse
from umiak_workers.contract.world import STATUS_FILE, World, last_world


def find(state: Path | None) -> World:
    """The world under `state`, or the one that was started last; raises ConfigError when none runs there."""
    folder = state if state is not None else _last()
    file = folder / STATUS_FILE
    if not file.exists():
        raise ConfigError(f"{folder}: no world runs here (no {STATUS_FILE}); start one with `umiak up FILE...`")
    world = parse(World, file.read_bytes())
    if not _runs(world.pid):
        raise ConfigError(f"{folder}: the world that ran here has ended; start it with `umiak up FILE... --state`")
    return world


def router(world: World, edge: str | None) -> str:
    """URL of the router of `edge`, by node name or `<namespace>/<resource>/<edge>`; of the first one without."""
    fitting = [url for name, url in sorted(world.routers.items()) if edge in (None, name, name.rpartition("/")[2])]
    if not fitting:
        known = ", ".join(sorted(world.routers)) or "none yet"
        raise ConfigError(f"no router of edge {edge or '(any)'}; running: {known}")
    return fitting[0]


def _last() -> Path:
    note = Path(last_world(os.environ, Path.home()))
    if not note.exists():
        raise ConfigError("no local world was started here; use `umiak up FILE...`, or say --state or --router")
    folder = Path(read_bytes(note).decode().strip())
    if not folder.exists():
        raise ConfigError("the local world started last has ended; start one with `umiak up FILE...`")
    return folder


def _runs(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
