"""No network: only loopback and Unix sockets are let through, in every Python process with this folder on its path.

Python imports a module of this name when it starts, so child processes are held to it too; and an audit hook sees the
sockets of every library, however it came by them.
"""

import ipaddress
import sys


def is_local(host: object) -> bool:
    """Tell whether a host is this machine; anything that would need a name server is not."""
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


def refuse_network(event: str, args: tuple[object, ...]) -> None:
    """Raise on an attempt to name or reach another machine."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = args[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(args[1], tuple):
        host = args[1][0]  # Unix sockets have a path in place of the tuple
    else:
        return
    if not is_local(host):
        raise ConnectionRefusedError(f"tests have no network: {event} to {host!r}")


sys.addaudithook(refuse_network)
