"""The WebSocket form of the responses endpoint: each `response.create` is answered with events, one call after another.

The answers are those of `POST /v1/responses`. Each event repeats the `stream_id` of its call; calls with different ones
are also answered one after another.
"""

import asyncio
import json
from collections.abc import Callable

from tornado.httputil import HTTPServerRequest
from tornado.iostream import IOStream, StreamClosedError
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Message, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import ProtocolError

from moonpalace_cli.mock.answers import Answer
from moonpalace_cli.mock.chat_request import Json

PATH = "/v1/responses"
READ_SIZE = 65536

type Fields = dict[str, Json]


def asks_for_websocket(request: HTTPServerRequest) -> bool:
    """Return whether a request asks to switch to a WebSocket."""
    is_upgrade = request.headers.get("Upgrade", "").lower() == "websocket"
    return is_upgrade and request.method == "GET" and request.path == PATH


class ResponsesSocket:
    """One connection; `answer` returns the answer to the body of a request."""

    def __init__(self, request: HTTPServerRequest, stream: IOStream, answer: Callable[[bytes], Answer]) -> None:
        self._stream = stream
        self._answer = answer
        self._socket = WSConnection(ConnectionType.SERVER)
        headers = [(name.encode(), value.encode("latin-1")) for name, value in request.headers.get_all()]
        self._socket.initiate_upgrade_connection(headers, request.path)
        self._asked: asyncio.Queue[str | None] = asyncio.Queue()

    async def serve(self) -> None:
        """Serve the connection until one side closes it."""
        answering = asyncio.create_task(self._answer_all())
        try:
            self._stream.set_nodelay(True)  # events are small and must not be delayed by Nagle's algorithm
            list(self._socket.events())
            await self._stream.write(self._socket.send(AcceptConnection(extensions=[PerMessageDeflate()])))
            await self._read()
        except (StreamClosedError, ProtocolError):
            pass
        finally:
            answering.cancel()
            self._stream.close()

    async def _read(self) -> None:
        parts: list[str] = []
        while True:
            self._socket.receive_data(await self._stream.read_bytes(READ_SIZE, partial=True))
            for event in self._socket.events():
                if isinstance(event, Message):
                    parts.append(str(event.data))
                    if event.message_finished:
                        self._asked.put_nowait("".join(parts))
                        parts = []
                elif isinstance(event, Ping | CloseConnection):
                    await self._stream.write(self._socket.send(event.response()))
                    if isinstance(event, CloseConnection):
                        return

    async def _answer_all(self) -> None:
        while True:
            message = await self._asked.get()
            try:
                body = json.loads(message or "")
            except ValueError:
                body = None
            if isinstance(body, dict) and body.pop("type", "") == "response.create":
                await self._answer_one(body)
            else:
                error: Fields = {"type": "invalid_request_error", "message": "only response.create is understood"}
                await self._say({"type": "error", "status": 400, "error": error}, None)

    async def _answer_one(self, body: Fields) -> None:
        lane = body.pop("stream_id", None)
        answer = self._answer(json.dumps({**body, "stream": True}).encode())
        if answer.stream is None:
            failure = json.loads(answer.body)
            await self._say({"type": "error", "status": answer.status, "error": failure.get("error")}, lane)
            return
        for number, piece in enumerate(answer.stream):
            await asyncio.sleep(answer.delivery.pause if number else answer.delivery.before_headers)
            await self._say(json.loads(piece.data.partition(b"data: ")[2]), lane)
            if answer.delivery.ending != "clean" and piece.events >= answer.delivery.stop_after:
                if answer.delivery.ending == "stall":
                    await asyncio.Event().wait()
                self._stream.close()
                return

    async def _say(self, event: Fields, lane: Json) -> None:
        labelled = event if lane is None else {**event, "stream_id": lane}
        await self._stream.write(self._socket.send(TextMessage(json.dumps(labelled, ensure_ascii=False))))
