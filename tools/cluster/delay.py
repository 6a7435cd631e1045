"""A longer way to the cloud: the edge's connections go through Toxiproxy, which holds every packet back for a while.

The kernel here has no netem. New connections alone are delayed; whoever has one open has to dial again.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from hosts import Failed, Link, run
from processes import Processes

_API = 8474
_SHIFT = 10_000
"""A delayed port of the cloud is reached at that port minus this one."""


class Delay:
    """Delays an edge's pods on their way to some TCP ports of the cloud's address."""

    def __init__(self, link: Link, program: Path, folder: Path) -> None:
        self.link, self.program = link, program
        folder.mkdir(exist_ok=True)
        self.processes = Processes(folder)

    def start(self, ports: Sequence[int], milliseconds: int) -> None:
        """Hold back what is sent in each direction by so much."""
        edge, cloud = self.link.edge, self.link.cloud
        config = self.processes.folder / "toxiproxy.json"
        listed = [
            {"name": str(port), "listen": f"{edge.address}:{port - _SHIFT}", "upstream": f"{cloud.address}:{port}"}
            for port in ports
        ]
        config.write_text(json.dumps([{**proxy, "enabled": True} for proxy in listed]))
        command = [*edge.prefix, str(self.program), "-host", "127.0.0.1", "-port", str(_API), "-config", str(config)]
        self.processes.start("toxiproxy", command)
        self.processes.wait("toxiproxy", self._answers)
        for port in ports:
            for stream in ("upstream", "downstream"):
                toxic = {"type": "latency", "stream": stream, "attributes": {"latency": milliseconds}}
                self._call(f"/proxies/{port}/toxics", json.dumps(toxic))
            edge.run("iptables", "-t", "nat", "-I", *self._rule(port))

    def stop(self, ports: Sequence[int]) -> None:
        """Lead new connections the short way again."""
        for port in ports:
            self.link.edge.run("iptables", "-t", "nat", "-D", *self._rule(port))
        self.processes.stop()

    def used(self, port: int) -> bool:
        """Whether a connection to this port was led the long way."""
        rules = self.link.edge.run("iptables", "-t", "nat", "-nvxL", "PREROUTING").splitlines()
        return any(f"dpt:{port}" in rule and int(rule.split()[0]) > 0 for rule in rules)

    def _rule(self, port: int) -> tuple[str, ...]:
        """Of pods alone: Toxiproxy's own connections do not pass PREROUTING."""
        edge, cloud = self.link.edge, self.link.cloud
        way = ("--to-destination", f"{edge.address}:{port - _SHIFT}")
        return ("PREROUTING", "-p", "tcp", "-d", cloud.address, "--dport", str(port), "-j", "DNAT", *way)

    def _answers(self) -> bool:
        try:
            self._call("/version")
        except Failed:
            return False
        return True

    def _call(self, path: str, body: str | None = None) -> str:
        more = ("--data", body) if body else ()
        return run(*self.link.edge.prefix, "curl", "-sS", "--fail", *more, f"http://127.0.0.1:{_API}{path}")
