"""How the load behaves towards a system as in production, whose edge bounds what an address sends."""

import asyncio
import json
import re
from contextlib import closing, suppress
from uuid import UUID, uuid4

import pytest

from operations import load
from operations.load import Load

ORDER = UUID(int=1)


async def _edge(answers: dict[str, list[int]], seen: list[str]) -> asyncio.Server:
    """Answers each method's requests with these statuses, the last of which stays."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n")).decode():
            await reader.readexactly(int(re.findall(r"Content-Length: (\d+)", head)[0]))
            seen.append(head)
            statuses = answers[head.split(" ")[0]]
            status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
            body = json.dumps({"id": str(ORDER)}).encode()
            writer.write(b"HTTP/1.1 %d What\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))

    async def answer_until_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            await answer(reader, writer)

    return await asyncio.start_server(answer_until_the_end, "127.0.0.1", 0)


async def test_what_the_edge_refuses_is_asked_again_with_the_token_that_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "OVER_LIMIT_SECONDS", 0.01)
    seen: list[str] = []
    async with await _edge({"POST": [429, 201], "DELETE": [429, 503, 200]}, seen) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        placing = Load(url, [uuid4()], 1, cancel=1, patience_seconds=0, headers={"Authorization": "Bearer staff's"})
        await asyncio.wait_for(placing.place(1), 60)

    assert (placing.accepted, placing.cancelled) == ([str(ORDER)], {str(ORDER)})
    assert placing.refused == {429: 1}
    assert [head.split(" ")[0] for head in seen] == ["POST", "POST", "DELETE", "DELETE", "DELETE"]
    assert all("\r\nAuthorization: Bearer staff's\r\n" in head for head in seen)


async def test_the_load_comes_from_staff_in_production_and_from_nobody_in_development(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ENVIRONMENT", raising=False)
    assert Load("", [], 1, 0).headers == {}
    monkeypatch.setenv("ENVIRONMENT", "production")
    assert Load("", [], 1, 0).headers["Authorization"].startswith("Bearer ")
