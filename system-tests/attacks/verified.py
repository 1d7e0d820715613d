"""A service as it is, but for this: its broker vouches for whoever sends, as in production. Run it with uvicorn, in the
service's folder: `attacks.verified:app`."""

from importlib import import_module
from typing import Any

from chassis.messaging.broker import Broker

_make = Broker.__init__


def _make_verified(self: Broker, *arguments: Any, **options: Any) -> None:
    _make(self, *arguments, **options | {"verified": True})


Broker.__init__ = _make_verified  # type: ignore[method-assign]

app = import_module("main").app
