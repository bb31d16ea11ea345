"""A server that answers like Zenodo's API, and fails as told; and archives like those of DCASE 2020 Task 2."""

import hashlib
import io
import json
import threading
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import soundfile


@dataclass
class Faults:
    """What goes wrong with the next answers for one file; an answer without a fault is whole."""

    drop_after: list[int] = field(default_factory=list)  # bytes of each of the next answers, then silence
    wrong_bytes: int = 0  # so many answers with their first byte changed
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # instead of each of the next answers
    knows_ranges: bool = True
    listed_size: int | None = None  # what the record says of it, where that is not true
    extra: bytes = b""  # sent after the end


class Server:
    """Records with their files; `asked` lists what was asked for, as (name, first byte)."""

    def __init__(self) -> None:
        self.records: dict[int, dict[str, bytes]] = defaultdict(dict)
        self.faults: dict[str, Faults] = defaultdict(Faults)
        self.asked: list[tuple[str, int]] = []
        self.port = 0

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def listing(self, record: int) -> bytes:
        files = [
            {
                "id": "a field that nobody asked for",
                "key": name,
                "size": len(content) if (said := self.faults[name].listed_size) is None else said,
                "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
                "links": {"self": f"{self.api}/records/{record}/files/{name}/content"},
            }
            for name, content in self.records[record].items()
        ]
        return json.dumps({"id": record, "metadata": {"title": "…"}, "files": files}).encode()


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            _, _, _, record, *rest = self.path.split("/")
            name = rest[1] if rest else "listing"
            begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
            server.asked.append((name, begin))
            faults = server.faults[name]
            if faults.statuses:
                status, headers = faults.statuses.pop(0)
                self._answer(status, b"", headers)
            elif not rest:
                self._answer(200, server.listing(int(record)), {})
            elif name not in server.records[int(record)]:
                self._answer(404, b"", {})
            else:
                self._send(server.records[int(record)][name], begin if faults.knows_ranges else 0, faults)

        def _send(self, content: bytes, begin: int, faults: Faults) -> None:
            if begin >= len(content) > 0:
                self._answer(416, b"", {})
                return
            body = content[begin:]
            if faults.wrong_bytes and body:
                faults.wrong_bytes -= 1
                body = bytes([body[0] ^ 1]) + body[1:]
            body += faults.extra
            part = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"} if begin else {}
            self._answer(
                206 if begin else 200, body, part, cut=faults.drop_after.pop(0) if faults.drop_after else None
            )

        def _answer(self, status: int, body: bytes, headers: dict[str, str], *, cut: int | None = None) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):  # a client that has had enough goes
                self.wfile.write(body[:cut])
            self.close_connection = True

    return Handler


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(server)) as http:
        server.port = http.server_port
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def recording(seed: int) -> bytes:
    """A second of noise, as wav."""
    wave = np.random.default_rng(seed).integers(-900, 900, 16_000, dtype=np.int16)
    file = io.BytesIO()
    soundfile.write(file, wave, 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def put_dcase2020(server: Server, machine_types: Iterable[str]) -> None:
    """Small archives of the layout of the real ones, two clips a machine and split, and the list of labels."""
    labels: list[str] = []
    for number, name in enumerate(machine_types):
        wav = [recording(10 * number + seed) for seed in range(4)]
        server.records[3678171][f"dev_data_{name}.zip"] = zipped(
            {
                f"{name}/": b"",
                f"{name}/train/normal_id_00_00000000.wav": wav[0],
                f"{name}/train/normal_id_00_00000001.wav": wav[1],
                f"{name}/test/normal_id_00_00000000.wav": wav[2],
                f"{name}/test/anomaly_id_00_00000000.wav": wav[3],
                f"__MACOSX/{name}/train/._normal_id_00_00000000.wav": b"\0",
            }
        )
        server.records[3727685][f"eval_data_train_{name}.zip"] = zipped(
            {
                f"{name}/train/normal_id_01_00000000.wav": wav[3],
                f"{name}/train/normal_id_01_00000001.wav": wav[2],
            }
        )
        server.records[3841772][f"eval_data_test_{name}.zip"] = zipped(
            {f"{name}/test/id_01_00000000.wav": wav[1], f"{name}/test/id_01_00000001.wav": wav[0]}
        )
        labels += [
            name,
            "id_01_00000000.wav,normal_id_01_00000000.wav,0",
            "id_01_00000001.wav,anomaly_id_01_00000000.wav,1",
        ]
    server.records[3951620]["eval_data_list.csv"] = "\n".join(labels).encode()
