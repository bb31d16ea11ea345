"""A dashboard that is none: it answers as Ray's does where jobs are concerned, from a script."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "the-cluster's-own"


@dataclass
class Dashboard:
    address: str = ""
    open: bool = False
    jobs: list[dict[str, Any]] = field(default_factory=list)  # as GET /api/jobs/ gives them
    logs: list[str] = field(default_factory=list)  # what it has printed, at each request
    away: int = 0  # so many requests are not answered
    trouble: list[int] = field(default_factory=list)  # statuses of the next requests, whatever they are
    sent: list[dict[str, Any]] = field(default_factory=list)
    packages: list[bytes] = field(default_factory=list)  # what was uploaded
    final: dict[str, Any] = field(default_factory=dict)  # what becomes of a job when its last log was read

    def add(self, name: str, run: str, *, status: str, entrypoint: str = "python launch/tune.py") -> None:
        about = {"type": "SUBMISSION", "submission_id": name, "status": status, "entrypoint": entrypoint}
        self.jobs.append({**about, "metadata": {"asd_run": run}, "start_time": len(self.jobs)})

    def answer(self, method: str, path: str, body: bytes, token: str | None) -> tuple[int, Any]:
        if self.trouble:
            return self.trouble.pop(0), "in trouble"
        if not self.open and token is None:
            return 401, "Unauthorized: Missing authentication token"
        if not self.open and token != f"Bearer {TOKEN}":
            return 403, "Forbidden: Invalid authentication token"
        if path.startswith("/api/version"):
            return 200, {"version": "4", "ray_version": "2.60.0", "ray_commit": "0"}
        if path.startswith("/api/packages/"):
            if method == "PUT":
                self.packages.append(body)
            return (200 if method == "PUT" else 404), {}
        if method == "POST":
            self.sent.append(json.loads(body))
            name = self.sent[-1]["submission_id"]
            return 200, {"job_id": name, "submission_id": name}
        if path.endswith("/logs"):
            text = self.logs.pop(0) if len(self.logs) > 1 else self.logs[0]
            if len(self.logs) == 1:
                self.jobs[-1].update(self.final)
            return 200, {"logs": text}
        if path == "/api/jobs/":
            return 200, self.jobs
        found = [job for job in self.jobs if path == f"/api/jobs/{job['submission_id']}"]
        return (200, found[0]) if found else (404, "Job does not exist")


@contextmanager
def serving() -> Iterator[Dashboard]:
    dashboard = Dashboard()

    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if dashboard.away:
                dashboard.away -= 1
                self.connection.close()
                return
            code, answer = dashboard.answer(self.command, self.path, body, self.headers.get("Authorization"))
            data = answer if isinstance(answer, str) else json.dumps(answer)
            self.send_response(code)
            self.end_headers()
            self.wfile.write(data.encode())

        do_GET = do_POST = do_PUT = do  # noqa: N815

        def log_message(self, *words: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    dashboard.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield dashboard
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
