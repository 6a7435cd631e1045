"""Machines of a cluster on one machine: network namespaces, and the links between them.

Everything of such a machine listens inside its namespace; only the test's own machine, at the other end of a link, can
reach it. Needs root and Debian's iproute2.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

OUTER = "umiak0"
"""The test machine's end of its link to the cloud."""


class Failed(Exception):
    """A command did not do what it should; the text ends with what it said."""


@dataclass(frozen=True)
class Host:
    """A network namespace and the address by which the others know it."""

    name: str
    address: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """Runs a program there. Not `ip netns exec`: its own mount namespace would hide a kubelet's volumes."""
        return ("nsenter", f"--net=/run/netns/{self.name}", "--")

    def run(self, *command: str) -> str:
        """Run a program there to its end; its output. Raises Failed."""
        return run(*self.prefix, *command)

    def create(self) -> None:
        """Make the namespace, with a loopback and forwarding between its links."""
        run("ip", "netns", "add", self.name)
        self.run("ip", "link", "set", "lo", "up")
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1")

    def delete(self) -> None:
        """Remove it and all its links, if it is there."""
        if Path(f"/run/netns/{self.name}").exists():
            run("ip", "netns", "delete", self.name)


@dataclass(frozen=True)
class Link:
    """A cable from the cloud to an edge: two interfaces of one small network."""

    cloud: Host
    edge: Host
    number: int

    @property
    def near(self) -> str:
        """The cloud's interface."""
        return f"edge{self.number}"

    @property
    def gateway(self) -> str:
        """The cloud's address on this cable."""
        return f"10.213.{self.number}.1"

    def create(self) -> None:
        """Lay the cable; the edge finds everything else through the cloud."""
        run(
            "ip",
            "link",
            "add",
            self.near,
            "netns",
            self.cloud.name,
            "type",
            "veth",
            "peer",
            "name",
            "up0",
            "netns",
            self.edge.name,
        )
        self.cloud.run("ip", "address", "add", f"{self.gateway}/30", "dev", self.near)
        self.cloud.run("ip", "link", "set", self.near, "up")
        self.edge.run("ip", "address", "add", f"{self.edge.address}/30", "dev", "up0")
        self._raise_edge()

    def cut(self) -> None:
        """Pull the plug."""
        self.edge.run("ip", "link", "set", "up0", "down")

    def mend(self) -> None:
        """Put it in again."""
        self._raise_edge()

    def shape(self, megabits: float) -> None:
        """Let so much through in each direction (token bucket, 32 KiB of burst, at most 400 ms of queue)."""
        rule = ("root", "tbf", "rate", f"{megabits}mbit", "burst", "32kb", "latency", "400ms")
        self.cloud.run("tc", "qdisc", "replace", "dev", self.near, *rule)
        self.edge.run("tc", "qdisc", "replace", "dev", "up0", *rule)

    def unshape(self) -> None:
        """Let everything through again."""
        self.cloud.run("tc", "qdisc", "del", "dev", self.near, "root")
        self.edge.run("tc", "qdisc", "del", "dev", "up0", "root")

    def sent(self) -> tuple[int, int]:
        """Bytes on the wire so far: (from the edge, to the edge)."""
        folder = "/sys/class/net/up0/statistics"
        text = run("ip", "netns", "exec", self.edge.name, "cat", f"{folder}/tx_bytes", f"{folder}/rx_bytes")
        up, down = text.split()
        return int(up), int(down)

    def _raise_edge(self) -> None:
        self.edge.run("ip", "link", "set", "up0", "up")
        self.edge.run("ip", "route", "replace", "default", "via", self.gateway)


def outer_link(cloud: Host) -> None:
    """Join the test's own machine to the cloud, on a network of two addresses."""
    run("ip", "link", "add", OUTER, "type", "veth", "peer", "name", "test0", "netns", cloud.name)
    run("ip", "address", "add", "10.213.0.2/30", "dev", OUTER)
    run("ip", "link", "set", OUTER, "up")
    cloud.run("ip", "address", "add", f"{cloud.address}/30", "dev", "test0")
    cloud.run("ip", "link", "set", "test0", "up")
    # CloudCore wants a default route to know its own address by; the test's machine forwards nothing
    cloud.run("ip", "route", "add", "default", "via", "10.213.0.2")


def run(*command: str, feed: str | None = None) -> str:
    """Run a program to its end; its output. Raises Failed."""
    done = subprocess.run(command, input=feed, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(command)}\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
