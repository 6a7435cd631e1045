"""A small RTSP camera for tests: it speaks RTSP 1.0 over TCP (RFC 2326), asks for a password, and sends H.264 as
RTP, each packet of which PyAV's own RTP muxer makes.

The frames' brightness rises with time, so that a test can tell old from new.
"""

import base64
import hashlib
import re
import socket
import struct
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field

import av
import numpy as np

HEIGHT, WIDTH = 64, 96
SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track\r\n"
)
REALM, NONCE = "gate", "7f00a1"


@dataclass
class Camera:
    """Listens at `port`; each who plays gets frames from the camera's clock, `rate` in a second."""

    port: int
    rate: int = 25
    login: tuple[str, str] | None = None
    digest: bool = True
    """Asks for Digest; Basic otherwise."""
    silent: bool = False
    """Plays and sends nothing."""
    sent: int = 0
    refused: int = 0
    played: int = 0
    begun: float = field(default_factory=time.monotonic)
    transports: list[str] = field(default_factory=list)
    _udp: int | None = None
    _listener: socket.socket | None = None
    _calls: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/stream1"

    def start(self) -> "Camera":
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._listen, args=(self._listener,), daemon=True).start()
        return self

    def stop(self) -> None:
        """As if the plug were pulled."""
        if self._listener:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self._listener = None
        self.hang_up()

    def hang_up(self) -> None:
        """Drop every call; new ones are taken."""
        calls, self._calls = self._calls, []
        for call in calls:
            try:
                call.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _listen(self, listener: socket.socket) -> None:
        while True:
            try:
                call, _ = listener.accept()
            except OSError:
                return
            self._calls.append(call)
            threading.Thread(target=self._talk, args=(call,), daemon=True).start()

    def _talk(self, call: socket.socket) -> None:
        with closing(call), call.makefile("rb") as lines:
            try:
                while request := _request(lines):
                    method, headers = request
                    self._reply(call, method, headers)
                    if method == "PLAY":
                        self.played += 1
                        self._film(call)
                        return
            except OSError:
                return

    def _reply(self, call: socket.socket, method: str, headers: dict[str, str]) -> None:
        if method != "OPTIONS" and not self._known(method, headers.get("authorization", "")):
            self.refused += 1
            kind = f'Digest realm="{REALM}", nonce="{NONCE}"' if self.digest else f'Basic realm="{REALM}"'
            _answer(call, headers, "401 Unauthorized", [f"WWW-Authenticate: {kind}"])
        elif method == "DESCRIBE":
            _answer(call, headers, "200 OK", ["Content-Type: application/sdp"], SDP)
        elif method == "SETUP":
            asked = headers["transport"]
            udp = re.search(r"client_port=(\d+)", asked)
            self.transports.append("udp" if udp else "tcp")
            self._udp = int(udp[1]) if udp else None
            _answer(call, headers, "200 OK", ["Session: 1", f"Transport: {asked}"])
        else:
            _answer(call, headers, "200 OK", ["Session: 1", "Public: DESCRIBE, SETUP, PLAY, TEARDOWN"])

    def _known(self, method: str, said: str) -> bool:
        if self.login is None:
            return True
        user, password = self.login
        if not self.digest:
            return said == "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        fields = dict(re.findall(r'(\w+)="([^"]*)"', said))
        secret = _md5(f"{user}:{REALM}:{password}")
        proof = _md5(f"{secret}:{NONCE}:{_md5(f'{method}:' + fields.get('uri', ''))}")
        return (fields.get("username"), fields.get("response")) == (user, proof)

    def _film(self, call: socket.socket) -> None:
        """RTP packets of the muxer, each behind `$`, the channel and its length."""
        if self.silent:
            call.recv(1)
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
            ear.bind(("127.0.0.1", 0))
            ear.setblocking(False)
            options = {"tune": "zerolatency", "preset": "ultrafast", "g": "5"}
            with av.open(f"rtp://127.0.0.1:{ear.getsockname()[1]}?pkt_size=1200", "w", format="rtp") as container:
                stream = container.add_stream("libx264", rate=self.rate, options=options)
                stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
                while True:
                    pixels = np.full((HEIGHT, WIDTH, 3), self.brightness(), np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
                    _forward(ear, call, self._udp)
                    self.sent += 1
                    time.sleep(1 / self.rate)

    def brightness(self) -> int:
        """Now."""
        return min(250, int(10 + 6 * (time.monotonic() - self.begun)))


def _forward(ear: socket.socket, call: socket.socket, udp: int | None) -> None:
    """To the caller's own port, or inside the call."""
    time.sleep(0.002)
    while True:
        try:
            packet = ear.recv(2000)
        except BlockingIOError:
            return
        if 72 <= packet[1] & 0x7F <= 76:  # RTCP
            continue
        if udp:
            ear.sendto(packet, ("127.0.0.1", udp))
        else:
            call.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)


def _request(lines: "socket.SocketIO") -> tuple[str, dict[str, str]] | None:
    first = lines.readline().decode().split()
    headers: dict[str, str] = {}
    while line := lines.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return (first[0], headers) if first else None


def _answer(call: socket.socket, headers: dict[str, str], status: str, more: list[str], body: str = "") -> None:
    length = [f"Content-Length: {len(body)}"] if body else []
    text = "\r\n".join([f"RTSP/1.0 {status}", f"CSeq: {headers.get('cseq', '0')}", *more, *length, "", body])
    call.sendall(text.encode())


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
