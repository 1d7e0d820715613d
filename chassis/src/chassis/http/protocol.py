"""uvicorn's HTTP protocol with a bound on headers; httptools would collect 20 MiB of them.

uvicorn main:app --http chassis.http.protocol:BoundedProtocol
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADERS = 100
MAX_HEADER_BYTES = 64 * 1024


class BoundedProtocol(HttpToolsProtocol):
    """Answers 400 and hangs up beyond the bounds. The edge is stricter; this is for whoever comes past it."""

    _in_head = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)  # since the head began: httptools tells of a header only once it is complete
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The headers exceed {MAX_HEADER_BYTES} bytes.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) == MAX_HEADERS:
            raise ValueError("too many headers")  # the parser stops, and uvicorn answers 400
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()
