"""A simulated camera: pushes photos to a router at a steady pace, again until each is answered, and writes what it got.

    camera.py ROUTER FOLDER OUT.jsonl [--pace 1.0] [--first 0] [--frames N]     one JSON line per photo; ends on SIGTERM

Runs on the edge's own host (a network namespace), so that it goes on while the test cannot reach that host.
"""

import argparse
import itertools
import json
import time
from pathlib import Path

import httpx

from umiak_workers.contract import routes
from umiak_workers.contract.messages import AnswerHeader
from umiak_workers.contract.wire import HEADER_LENGTH, unpack


def push(client: httpx.Client, router: str, sequence: int, photo: bytes) -> dict[str, object]:
    """Push until it is answered; a router that restarts refuses connections for a moment."""
    began, tries = time.time(), 0
    while True:
        tries += 1
        try:
            query = {"source": "camera", "sequence": sequence}
            headers = {"Content-Type": "image/jpeg"}
            reply = client.post(router + routes.FRAMES, params=query, content=photo, headers=headers)
            if reply.status_code == 200:
                break
            if 400 <= reply.status_code < 500:
                raise SystemExit(f"photo {sequence}: {reply.status_code} {reply.text}")
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    header, _ = unpack(AnswerHeader, reply.headers.get(HEADER_LENGTH), reply.content)
    answer = header.answer.model_dump(mode="json", exclude_none=True)
    return {"sequence": sequence, "began": began, "seconds": time.time() - began, "tries": tries, "answer": answer}


def main() -> None:
    """Push until the photos run out or somebody ends it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("router")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pace", type=float, default=1.0, help="seconds from one photo to the next")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--frames", type=int)
    chosen = parser.parse_args()
    photos = [file.read_bytes() for file in sorted(chosen.folder.glob("*.jpg"))]
    numbers = (
        itertools.count(chosen.first) if chosen.frames is None else range(chosen.first, chosen.first + chosen.frames)
    )
    with httpx.Client(timeout=30, trust_env=False) as client, chosen.out.open("a") as out:
        for sequence in numbers:
            due = time.monotonic() + chosen.pace
            line = push(client, chosen.router, sequence, photos[sequence % len(photos)])
            out.write(json.dumps(line) + "\n")
            out.flush()
            time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
