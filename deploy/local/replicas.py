"""The processes that `make` starts of each service, as many as its variable says (ORDER_SERVICE_REPLICAS=3)."""

import re

import layout
from console import Problem
from profiles import Profile

EDGE, ISSUER, CONSOLE = "edge", "issuer", "console"
OBSERVERS = METRICS, ALERTMANAGER, PROMETHEUS = "metrics", "alertmanager", "prometheus"
_OTHERS = (EDGE, ISSUER, CONSOLE, *OBSERVERS)
_MOST = 16


def instances() -> list[str]:
    """Every service's processes as the variables want them: `order-service`, `order-service-2`, ..."""
    names = []
    for service in layout.SERVICES:
        variable = layout.replicas_variable(service)
        text = layout.setting(variable, "1")
        if not text.isdecimal() or not 1 <= int(text) <= _MOST:
            raise Problem(f"{variable} is '{text}': set it to a number from 1 to {_MOST}.")
        names += [service, *(f"{service}-{number}" for number in range(2, int(text) + 1))]
    return names


def service_of(name: str) -> str:
    return re.sub(r"-\d+$", "", name)


def processes(profile: Profile) -> list[str]:
    """Those that the profile was started with, the issuer, the edge and their like too if it has them."""
    return [name for name in profile.ports if name in _OTHERS or service_of(name) in layout.SERVICES]


def of_services(profile: Profile) -> list[str]:
    return [name for name in processes(profile) if name not in _OTHERS]


def internal(name: str) -> str:
    """What the port is called at which a process serves health and metrics, where callers get neither."""
    return f"{name}-internal"


def health_port(profile: Profile, name: str) -> int:
    return profile.ports.get(internal(name), profile.ports[name])
