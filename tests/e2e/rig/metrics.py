"""A Prometheus whose series the tests set, each with an exporter of its own."""

import json
import threading
import time
import urllib.parse
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import yaml

from rig import tools
from rig.net import LOOPBACK, Server, answers, free_ports, get_json
from rig.processes import Process, Supervisor
from rig.waiting import READY_SECONDS, wait_until

SCRAPE_INTERVAL = "1s"
Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass
class Series:
    """A value that stays, or grows with time like a counter under load."""

    text: str
    value: float
    per_second: float = 0.0
    since: float = 0.0

    def at(self, moment: float) -> float:
        """Return the value at a moment of the monotonic clock."""
        return self.value + self.per_second * (moment - self.since)


class Exporter:
    """An HTTP server with the series that a test steers."""

    def __init__(self) -> None:
        self._series: dict[Key, Series] = {}
        self._lock = threading.Lock()
        self._silent = False
        self._server = Server(self._handler())
        self.address = f"{LOOPBACK}:{self._server.port}"

    def set(self, metric: str, value: float, **labels: str) -> None:
        """Give a series a fixed value."""
        with self._lock:
            key = _key(metric, labels)
            self._series[key] = Series(_text(key), value)

    def grow(self, metric: str, per_second: float, **labels: str) -> None:
        """Let a counter grow at this rate from its present value on."""
        key = _key(metric, labels)
        with self._lock:
            known, now = self._series.get(key), time.monotonic()
            text = known.text if known else _text(key)
            self._series[key] = Series(text, known.at(now) if known else 0.0, per_second, now)

    def forget(self, metric: str, **labels: str) -> None:
        """Take a series away."""
        with self._lock:
            self._series.pop(_key(metric, labels), None)

    def silence(self, silent: bool = True) -> None:
        """Answer scrapes with an error, as an application that is down does."""
        self._silent = silent

    def text(self) -> str:
        """Return the exposition format: all series as of one moment, or buckets would contradict each other."""
        with self._lock:
            now = time.monotonic()
            return "".join(f"{series.text} {series.at(now)!r}\n" for series in self._series.values())

    def close(self) -> None:
        """End the server."""
        self._server.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = exporter.text().encode()
                self.send_response(503 if exporter._silent else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Keep quiet."""

        return Handler


def _key(metric: str, labels: dict[str, str]) -> Key:
    return metric, tuple(sorted(labels.items()))


def _text(key: Key) -> str:
    """A series' name and labels; made once, since a test may have thousands and be scraped each second."""
    metric, labels = key
    pairs = ",".join(f"{name}={json.dumps(text)}" for name, text in labels)
    return f"{metric}{{{pairs}}}"


@dataclass
class Prometheus:
    """A running Prometheus that scrapes, each second, the exporters of all tests."""

    url: str
    process: Process
    targets: Path

    @classmethod
    def start(cls, supervisor: Supervisor, directory: Path) -> "Prometheus":
        """Start Prometheus and wait until it is ready; it scrapes what stands in `targets`."""
        targets = directory / "targets"
        targets.mkdir(parents=True)
        config = directory / "prometheus.yml"
        config.write_text(yaml.safe_dump(_prometheus_config(targets)))
        port = free_ports(1)[0]
        process = supervisor.start(
            "prometheus",
            [
                tools.prometheus(),
                f"--config.file={config}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={LOOPBACK}:{port}",
                "--log.level=warn",
            ],
        )
        prometheus = cls(f"http://{LOOPBACK}:{port}", process, targets)
        wait_until(prometheus._ready, "Prometheus is ready", READY_SECONDS)
        return prometheus

    def _ready(self) -> bool:
        self.process.check()
        return answers(f"{self.url}/-/ready")


def query(url: str, expression: str, moment: float | None = None) -> list[float]:
    """Return the values of an instant query to the Prometheus at `url`."""
    asked = {"query": expression} | ({} if moment is None else {"time": str(moment)})
    found = get_json(f"{url}/api/v1/query?{urllib.parse.urlencode(asked)}")["data"]["result"]
    return [float(sample["value"][1]) for sample in found]


def scraped(url: str, target: str) -> None:
    """Wait until the Prometheus at `url` has scraped a target."""
    up = f'up{{instance="{target}"}} == 1'
    wait_until(lambda: query(url, up), f"Prometheus has scraped {target}", READY_SECONDS)


def _prometheus_config(targets: Path) -> dict[str, object]:
    found = {"files": [str(targets / "*.json")], "refresh_interval": SCRAPE_INTERVAL}
    job = {"job_name": "steered", "honor_labels": True, "file_sd_configs": [found]}
    timing = {"scrape_interval": SCRAPE_INTERVAL, "scrape_timeout": SCRAPE_INTERVAL}
    return {"global": {**timing, "evaluation_interval": SCRAPE_INTERVAL}, "scrape_configs": [job]}
