"""A real YAML language server, driven over standard input and output as an editor drives it (LSP 3.17)."""

import json
import queue
import subprocess
import threading
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).parent / "node_modules/yaml-language-server/bin/yaml-language-server"
SETTINGS = {
    "yaml": {
        "validate": True,
        "hover": True,
        "completion": True,
        "schemaStore": {"enable": False},  # asks the network
        "kubernetesCRDStore": {"enable": False},
    }
}
PATIENCE = 60.0  # seconds for an answer, on a machine that does much else


class Server:
    """One language server; files are opened with `open`, and then asked about."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._process = subprocess.Popen(
            ["node", str(PROGRAM), "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._last = 0
        self._diagnostics: dict[str, list[dict[str, Any]]] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.ask("initialize", {"processId": None, "rootUri": root.as_uri(), "capabilities": CAPABILITIES})
        self._send({"method": "initialized", "params": {}})
        self._send({"method": "workspace/didChangeConfiguration", "params": {"settings": SETTINGS}})

    def close(self) -> None:
        """End it."""
        with self._process:
            self._process.kill()
            self._reader.join()

    def open(self, path: str, text: str) -> list[dict[str, Any]]:
        """Open a file with this text, which need not be what is on the disk; the diagnostics of it."""
        uri = self._uri(path)
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._diagnostics.pop(uri, None)
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        while uri not in self._diagnostics:
            self._handle(self._answers.get(timeout=PATIENCE))
        return self._diagnostics[uri]

    def hover(self, path: str, line: int, column: int) -> str:
        """What is shown of a place (both from 0)."""
        found = self._at("textDocument/hover", path, line, column)
        return str(found["contents"]["value"]) if found else ""

    def complete(self, path: str, line: int, column: int) -> dict[str, dict[str, Any]]:
        """What is offered at a place, by its label."""
        found = self._at("textDocument/completion", path, line, column)
        return {item["label"]: item for item in found["items"]}

    def ask(self, method: str, params: Any) -> Any:
        """One request's result."""
        self._last += 1
        self._send({"id": self._last, "method": method, "params": params})
        while True:
            message = self._answers.get(timeout=PATIENCE)
            if message.get("id") == self._last and "method" not in message:
                assert "error" not in message, message
                return message["result"]
            self._handle(message)

    def _at(self, method: str, path: str, line: int, column: int) -> Any:
        place = {"line": line, "character": column}
        return self.ask(method, {"textDocument": {"uri": self._uri(path)}, "position": place})

    def _uri(self, path: str) -> str:
        return (self.root / path).as_uri()

    def _handle(self, message: dict[str, Any]) -> None:
        if message.get("method") == "textDocument/publishDiagnostics":
            self._diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "id" in message and message.get("method") == "workspace/configuration":
            asked = message["params"]["items"]
            self._send({"id": message["id"], "result": [SETTINGS.get(item["section"]) for item in asked]})
        elif "id" in message and "method" in message:
            self._send({"id": message["id"], "result": None})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while head := stream.readline():
            length = int(head.partition(b":")[2])
            while stream.readline() != b"\r\n":
                pass
            self._answers.put(json.loads(stream.read(length)))


CAPABILITIES = {
    "workspace": {"configuration": True, "didChangeConfiguration": {"dynamicRegistration": True}},
    "textDocument": {
        "completion": {"completionItem": {"snippetSupport": True, "documentationFormat": ["markdown"]}},
        "hover": {"contentFormat": ["markdown"]},
        "publishDiagnostics": {},
    },
}
