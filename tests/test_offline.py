"""The network guard itself: a test that could reach out would prove nothing about running offline."""

import socket
import subprocess
import sys

import pytest

OUTSIDE = "192.0.2.1"  # reserved for documentation: nothing answers there


def test_other_machines_cannot_be_reached_or_named():
    with pytest.raises(ConnectionRefusedError, match="no network"):
        socket.create_connection((OUTSIDE, 80), timeout=1)
    with pytest.raises(ConnectionRefusedError, match="no network"):
        socket.getaddrinfo("example.org", 443)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, pytest.raises(ConnectionRefusedError):
        udp.sendto(b"x", (OUTSIDE, 53))


def test_child_processes_are_held_to_it():
    code = f"import socket; socket.create_connection(('{OUTSIDE}', 80), timeout=1)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "tests have no network" in child.stderr


def test_loopback_and_unix_sockets_pass(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=5):
        assert server.accept()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))
        assert server.accept()
