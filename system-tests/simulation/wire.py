"""What the driver and a worker say to each other: a command, then a reply with all that came of it.

Times are whole microseconds since the run began. Only plain values travel, so that the bytes that passed are the same
whenever a seed is run again; their digest is the run's.
"""

import marshal
import struct
from collections.abc import Callable
from typing import IO, Any, NamedTuple, cast

SECOND = 1_000_000


class Publish(NamedTuple):
    """A process waits for the broker to confirm a message."""

    replica: int
    call: int
    exchange: str
    routing_key: str
    body: bytes
    content_type: str | None
    headers: dict[str, str | int]


class Ack(NamedTuple):
    """All messages up to this tag are done with."""

    replica: int
    tag: int


class Ask(NamedTuple):
    """A process waits for the gateway's answer."""

    replica: int
    call: int
    kind: str
    key: str
    order: str
    amount: str


class Answered(NamedTuple):
    """A request's result, or the name of the error that refused it. `unavailable` means: try again."""

    request: int
    outcome: str
    value: str


class Committed(NamedTuple):
    """A transaction was committed: the events that it put into the outbox, and how rows changed their status."""

    replica: int
    events: tuple[str, ...]
    changes: tuple[tuple[str, str, str], ...]
    """Order id, status before ("" for no row), status after ("" for no row)."""
    taken: tuple[str, ...]
    """The events whose effect it is."""


class Crashed(NamedTuple):
    """A process died by a fault that its worker was told of."""

    replica: int
    where: str


class Struck(NamedTuple):
    """A fault that the worker was told of has happened."""

    replica: int
    kind: str


class Lost(NamedTuple):
    """A process's consumer has ended, which the process itself notices within seconds."""

    replica: int


class Told(NamedTuple):
    """A customer was told something."""

    customer: str
    subject: str


class Broken(NamedTuple):
    """The worker itself saw an invariant broken."""

    rule: str
    sentence: str


Effect = Publish | Ack | Ask | Answered | Committed | Crashed | Struck | Lost | Told | Broken


class Command(NamedTuple):
    name: str
    at: int
    arguments: tuple[Any, ...] = ()


class Reply(NamedTuple):
    effects: tuple[Effect, ...]
    wake: int | None
    """When the worker's next timer is due."""
    due: tuple[tuple[str, int], ...]
    """When each periodic job would find something to do, of those that would."""
    value: Any = None


class Message(NamedTuple):
    """A message as it is handed to a consumer."""

    tag: int
    body: bytes
    content_type: str | None
    routing_key: str
    headers: dict[str, str | int]


_LENGTH = struct.Struct("!I")
_EFFECTS: dict[str, type[Effect]] = {
    kind.__name__: kind for kind in (Publish, Ack, Ask, Answered, Committed, Crashed, Struck, Lost, Told, Broken)
}


class Pipe:
    """One end of the conversation. Everything is written by `marshal` in its second version, which, unlike pickle,
    writes equal values as equal bytes."""

    def __init__(self, source: IO[bytes], target: IO[bytes]) -> None:
        self._source = source
        self._target = target
        self.digest: Callable[[bytes], object] = lambda body: None
        """Is given every byte that passes."""

    def ask(self, command: Command) -> Reply:
        self._write((command.name, command.at, command.arguments))
        effects, wake, due, value = self._read()
        return Reply(tuple(_EFFECTS[name](*fields) for name, fields in effects), wake, due, value)

    def next_command(self) -> Command:
        """Raises EOFError when the driver has gone."""
        return Command(*self._read())

    def reply(self, reply: Reply) -> None:
        effects = [(type(effect).__name__, tuple(effect)) for effect in reply.effects]
        self._write((effects, reply.wake, reply.due, reply.value))

    def _write(self, value: Any) -> None:
        body = marshal.dumps(cast(Any, value), 2)
        self.digest(body)
        self._target.write(_LENGTH.pack(len(body)) + body)
        self._target.flush()

    def _read(self) -> Any:
        header = self._source.read(_LENGTH.size)
        if len(header) < _LENGTH.size:
            raise EOFError("the other end has gone")
        body = self._source.read(_LENGTH.unpack(header)[0])
        self.digest(body)
        return marshal.loads(body)  # noqa: S302 (from a process of our own)
