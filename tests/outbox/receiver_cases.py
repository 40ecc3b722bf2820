"""Receivers for tests: a DICOM node, a STOW-RS server and a FHIR server, each on a free port."""

from __future__ import annotations

import contextlib
import http.client
import json
import socketserver
import threading
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pydicom
from pynetdicom import AE, evt
from pynetdicom.sop_class import Comprehensive3DSRStorage

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Received:
    """What a receiver was sent: the latest instance or resource by name, and how many in total."""

    kept: dict[str, Any] = field(default_factory=dict)
    times: int = 0
    arrived: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    status: int = 0  # what to answer instead of success
    body: Any = None  # with which content

    def keep(self, name: str, content: Any) -> None:
        self.kept[name] = content
        self.times += 1
        self.arrived.set()


@contextlib.contextmanager
def started(node: AE, port: int = 0, *handlers: Any) -> Iterator[int]:
    """Run a DICOM node; yield its port.

    Its connections are closed at the end, because pynetdicom leaves those whose peer has gone to
    the garbage collector, which may come in the middle of another test.
    """
    sockets: list[Any] = []
    on_open = (evt.EVT_CONN_OPEN, lambda event: sockets.append(event.assoc.dul.socket.socket))
    server = node.start_server(("127.0.0.1", port), block=False, evt_handlers=[on_open, *handlers])
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()
        for association in server.active_associations:
            association.join(5)
        for opened in sockets:
            opened.close()


@contextlib.contextmanager
def dicom_node(
    received: Received, *, takes: str = Comprehensive3DSRStorage, title: str = ""
) -> Iterator[int]:
    """Run a C-STORE SCP that keeps what it is sent; yield its port."""

    def on_store(event: Any) -> int:
        if received.status:
            return received.status
        ds = event.dataset
        ds.file_meta = event.file_meta
        received.keep(str(ds.SOPInstanceUID), ds)
        return 0

    node = AE(ae_title="ARCHIVE")
    node.require_called_aet = bool(title)
    node.add_supported_context(takes)
    with started(node, received.port, (evt.EVT_C_STORE, on_store)) as port:
        received.port = port
        yield port


class _Quiet(BaseHTTPRequestHandler):
    received: Received

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def answer(self, status: int, content: Any, kind: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Stow(_Quiet):
    def do_POST(self) -> None:
        data = self.body()
        if self.received.status:
            self.answer(self.received.status, self.received.body or {}, "application/dicom+json")
            return
        assert self.path == "/studies"
        message = message_from_bytes(
            b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + data
        )
        stored = []
        for part in message.get_payload():
            content = part.get_payload(decode=True)  # type: ignore[union-attr]
            ds = pydicom.dcmread(BytesIO(content))  # type: ignore[arg-type]
            self.received.keep(str(ds.SOPInstanceUID), ds)
            stored.append(sop_instance(str(ds.SOPInstanceUID)))
        self.answer(200, {"00081199": {"vr": "SQ", "Value": stored}}, "application/dicom+json")


def sop_instance(uid: str) -> dict[str, Any]:
    """Return an item of ReferencedSOPSequence that names an instance."""
    return {"00081155": {"vr": "UI", "Value": [uid]}}


class _Fhir(_Quiet):
    def do_GET(self) -> None:
        self.answer(200, b"<html>Welcome</html>", "text/html")

    def do_POST(self) -> None:
        bundle = json.loads(self.body())
        if self.received.status:
            self.answer(self.received.status, self.received.body or {}, "application/fhir+json")
            return
        assert (bundle["type"], self.headers["Content-Type"]) == (
            "transaction",
            "application/fhir+json",
        )
        for entry in bundle["entry"]:
            assert entry["request"]["method"] == "PUT"
            self.received.keep(entry["request"]["url"], entry["resource"])
        done = [{"response": {"status": "200 OK"}} for _ in bundle["entry"]]
        self.answer(
            200,
            {"resourceType": "Bundle", "type": "transaction-response", "entry": done},
            "application/fhir+json",
        )


@contextlib.contextmanager
def _web(received: Received, kind: type[_Quiet]) -> Iterator[str]:
    server = ThreadingHTTPServer(
        ("127.0.0.1", received.port), type("Bound", (kind,), {"received": received})
    )
    received.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{received.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def stow_server(received: Received) -> contextlib.AbstractContextManager[str]:
    """Run a server that accepts instances by STOW-RS; yield its address."""
    return _web(received, _Stow)


def fhir_server(received: Received) -> contextlib.AbstractContextManager[str]:
    """Run a server that accepts FHIR transactions; yield its address."""
    return _web(received, _Fhir)


@contextlib.contextmanager
def raw_server(
    *chunks: bytes, endless: bytes = b"", pause: float = 0, is_http: bool = True
) -> Iterator[str]:
    """Run a server that answers every request with the same bytes; yield its address.

    If `endless` is set, it is sent again and again after the chunks, with pauses between.
    """
    ending = threading.Event()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            if is_http:
                self.rfile.readline()  # the request line
                headers = http.client.parse_headers(self.rfile)
                self.rfile.read(int(headers.get("Content-Length") or 0))
            with contextlib.suppress(OSError):  # the client has read enough
                for chunk in chunks:
                    self.wfile.write(chunk)
                while endless and not ending.wait(pause):
                    self.wfile.write(endless)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True  # one may wait for a client that reads no more

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            ending.set()
            server.shutdown()
            thread.join()


def free_port() -> int:
    """Return a port that nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
