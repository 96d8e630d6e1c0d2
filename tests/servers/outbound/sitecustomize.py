"""
First on the PYTHONPATH, it writes down whom a process and its children want to reach.

Nobody but this machine is reached. Python imports it by its name when it starts.
"""

import ipaddress
import os
import socket
import sys


def _is_here(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host in ("", "localhost", socket.gethostname())
    return address.is_loopback or address.is_unspecified


def _watch(event: str, arguments: tuple) -> None:
    if event == "socket.getaddrinfo":
        host, port = arguments[:2]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host, port = arguments[1][:2]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host or ""
    if not _is_here(host):
        with open(os.environ["OUTBOUND_LOG"], "a") as log:  # noqa: PTH123 -- nothing is imported that need not be
            log.write(f"{host}:{port}\n")
        raise socket.gaierror(socket.EAI_NONAME, "Nobody is reached from here")


if "OUTBOUND_LOG" in os.environ:
    sys.addaudithook(_watch)
