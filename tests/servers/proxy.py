"""
A TCP proxy before a server on this machine, to cut and slow down connections.

    with Proxy(mariadb.port) as proxy:
        ...                       # clients connect to proxy.port
        proxy.cut()               # all connections of now are gone, in the middle of whatever
        proxy.is_refusing = True  # and no new one is made
        proxy.delay_seconds = 0.01
"""

import socket
import threading
import time
from contextlib import suppress
from typing import Self


class Proxy:
    """Serves from `with` to its end."""

    def __init__(self, upstream_port: int) -> None:
        self.is_refusing = False
        self.delay_seconds = 0.0
        self.connections = 0
        self.bytes_from_clients = 0
        self._upstream_port = upstream_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        """Where clients are sent."""
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """Every connection ends at once, without a good-bye."""
        with self._lock:
            victims, self._open = self._open, set()
        for victim in victims:
            with suppress(OSError):
                victim.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                if self.is_refusing:
                    client.close()
                    continue
                upstream = socket.create_connection(("127.0.0.1", self._upstream_port))
                with self._lock:
                    self._open |= {client, upstream}
                for pair in ((client, upstream, True), (upstream, client, False)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_client: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if is_client:
                    self.bytes_from_clients += len(data)
                if self.delay_seconds:
                    time.sleep(self.delay_seconds)
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            with self._lock:
                self._open.discard(end)
            end.close()
