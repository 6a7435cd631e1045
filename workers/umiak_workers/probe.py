"""`python -m umiak_workers.probe --config F`: exit 0 if the worker with this config says it is ready.

It runs every few seconds in every pod, so it imports nothing but a little of the standard library and reads only what
it needs: the role, and where that role listens.
"""

import argparse
import http.client
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 3


def ready(config_file: Path, timeout: float) -> str:
    """Empty if the worker is ready, else one line that says why not. `timeout` in seconds."""
    try:
        role = json.loads(config_file.read_bytes())["role"]
        url = json.loads((config_file.parent / "endpoints.json").read_bytes())[f"umiak://listen/{role}"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{config_file.parent}: {error!r}"
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        said = answer.read(2048).decode(errors="replace").strip()
        return "" if answer.status == 200 else f"{url}: {answer.status} {said}"
    except (OSError, http.client.HTTPException) as error:
        return f"{url}: {error!r}"
    finally:
        connection.close()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python3 -m umiak_workers.probe")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the worker's config.json")
    problem = ready(parser.parse_args().config, TIMEOUT_SECONDS)
    if problem:
        print(f"probe: {problem}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
