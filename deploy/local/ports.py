"""TCP ports: those that the variables name, and free ones for private servers."""

import random
import socket
from collections.abc import Collection

import layout
from console import Problem

_DRAWS = 10_000
_chosen: set[int] = set()


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def named(server: str) -> int:
    """The port that a server or service has on this machine, by its variable."""
    variable, default = layout.PORTS[server]
    text = layout.setting(variable, str(default))
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise Problem(f"{variable} is '{text}', which is no port: set it to a number from 1 to 65535.")
    return int(text)


def refuse_taken(servers: dict[str, int]) -> None:
    """Raises Problem for the first port that another program holds or that two of ours claim."""
    seen: dict[int, str] = {}
    for server, port in servers.items():
        variable = layout.PORTS[server][0]
        if port in seen:
            raise Problem(f"{variable} and {layout.PORTS[seen[port]][0]} are both {port}: give each a port of its own.")
        seen[port] = server
        if not is_free(port):
            raise Problem(
                f"Port {port} ({server}) is taken by another program: stop that one, or choose a free port with "
                f"{variable}, e.g. `make up {variable}={port + 10000 if port < 55000 else port - 10000}`."
            )


def choose(count: int, avoiding: Collection[int] = ()) -> list[int]:
    """Free ports below the range from which the system serves outgoing connections, so that none is lost to one. None
    twice in this process, and none that a variable names."""
    reserved = {*avoiding, *_chosen, *(named(server) for server in layout.PORTS)}
    chosen: list[int] = []
    for _ in range(_DRAWS):
        if len(chosen) == count:
            _chosen.update(chosen)
            return chosen
        port = random.randrange(20000, 32000)  # noqa: S311 (a port is no secret)
        if port not in reserved and port not in chosen and is_free(port):
            chosen.append(port)
    raise Problem(f"No {count} free ports from 20000 to 32000 were found: end some of the programs that hold them.")
