"""Every event, from its producer's domain to every reader's use case: the producer's class and encoder, the contract's
schema, and the reader's decoder, each in its service's own interpreter. Nothing is lost on the way: no cent, no
microsecond, no event of a batch."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from chassis.testing.contracts import Contracts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operations.addresses import SERVICES
from system import ROOT

CONTRACTS = {path.name.split(".")[0]: path for path in ROOT.glob("*-service/contracts/*.schema.json")}

IDS = st.uuids()
TIMES = st.datetimes(timezones=st.just(UTC)).filter(lambda time: 1970 <= time.year < 9000)
MONEY = st.decimals("0.01", "9999999999.99", places=2) | st.sampled_from(
    [Decimal("1E+2"), Decimal("5"), Decimal("0.1")]
)
BUSY = [HealthCheck.too_slow]
"""A machine that has other things to do is no defect."""


class Peer:
    """The other end of peer.py, in a service's folder."""

    def __init__(self, service: str, stack: ExitStack) -> None:
        own = ROOT / service / ".venv" / "bin" / "python"
        self._process = stack.enter_context(
            subprocess.Popen(
                [own if own.exists() else sys.executable, ROOT / "system-tests" / "peer.py"],
                cwd=ROOT / service,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )

    def ask(self, act: str, *arguments: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([act, arguments], default=str), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


@pytest.fixture(scope="module")
def peers() -> Iterator[dict[str, Peer]]:
    with ExitStack() as stack:
        yield {service: Peer(service, stack) for service in SERVICES}


def fitting(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Whatever fits a schema of the contracts, as the domain has it."""
    match schema:
        case {"type": "object", "properties": properties}:
            return st.fixed_dictionaries({name: fitting(inner) for name, inner in properties.items()})
        case {"type": "array", "items": items}:
            return st.lists(fitting(items), min_size=schema.get("minItems", 0), max_size=schema.get("maxItems", 5))
        case {"type": "integer"}:
            return st.integers(schema.get("minimum"), schema.get("maximum"))
        case {"type": "number"}:
            return MONEY
        case {"type": "boolean"}:
            return st.booleans()
        case {"format": "uuid"}:
            return IDS
        case {"format": "date-time"}:
            return TIMES
        case {"pattern": pattern}:
            texts = st.from_regex(pattern.removeprefix("^").removesuffix("$"), fullmatch=True)
            return texts.filter(lambda text: text.isascii() and len(text) <= 100)
    return st.text(max_size=100)


def events(name: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    """One to five events of that name, with all the fields of its contract."""
    contract = json.loads(CONTRACTS[name].read_text())["properties"]
    event = st.fixed_dictionaries(
        {
            "id": IDS,
            "time": TIMES,
            "traceparent": st.from_regex("00-[1-9a-f][0-9a-f]{31}-[1-9a-f][0-9a-f]{15}-0[01]", fullmatch=True),
            "data": fitting(contract["data"]),
        }
    )
    return st.lists(event, min_size=1, max_size=5)


def as_sent(value: object, sent: object) -> object:
    """What was read, as the kind of thing that was sent; what doesn't lead back to it stays as it is."""
    match sent:
        case Decimal() | UUID() if isinstance(value, str):
            return type(sent)(value)
        case datetime() if isinstance(value, str):
            return datetime.fromisoformat(value)
        case list() if isinstance(value, list) and len(value) == len(sent):
            return [as_sent(*pair) for pair in zip(value, sent, strict=True)]
        case dict() if isinstance(value, dict):
            return {field: as_sent(value[field], sent[field]) for field in value}
    return value


def test_every_event_has_a_contract_and_a_reader(peers: dict[str, Peer]) -> None:
    published = [name for peer in peers.values() for name in peer.ask("publishes")]
    assert sorted(published) == sorted(CONTRACTS)
    assert set(published) == {name for peer in peers.values() for name in peer.ask("reads")}


@pytest.mark.parametrize("name", sorted(CONTRACTS))
def test_whatever_a_producer_tells_fits_its_contract_and_reaches_every_reader_whole(
    name: str, peers: dict[str, Peer]
) -> None:
    producer = CONTRACTS[name].parts[-3]
    readers = {service: peer for service, peer in peers.items() if name in peer.ask("reads")}
    contract = Contracts(CONTRACTS[name].parent)

    @settings(max_examples=100, derandomize=True, database=None, deadline=None, suppress_health_check=BUSY)
    @given(told=events(name))
    def check(told: list[dict[str, Any]]) -> None:
        message = peers[producer].ask("encode", name, told, producer)
        documents = json.loads(message["body"])
        for document in documents if isinstance(documents, list) else [documents]:
            assert contract.violations(document, name) == []
        for service, reader in readers.items():
            read = reader.ask("decode", message["body"], message["content_type"])
            assert len(read) == len(told), service
            for event, sent in zip(read, told, strict=True):
                assert event["data"], service
                fields = {field: sent["data"][field] for field in event["data"]}
                assert as_sent(event["data"], fields) == fields, service
                assert UUID(event["id"]) == sent["id"]
                assert UUID(event["order_id"]) == sent["data"]["order_id"]
                assert event["traceparent"] == sent["traceparent"]

    check()
