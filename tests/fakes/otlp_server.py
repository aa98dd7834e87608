"""A small real OTLP/HTTP receiver that tests tell how to behave, and a collector of others (rotel) in front of it."""

import asyncio
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from server_process import ServerProcess, low_port


class OtlpServer:
    """Keeps every record it accepts. May be stopped and started again on its port."""

    def __init__(self, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self.records: list[LogRecord] = []
        self.resources: list[dict[str, str]] = []  # of each request's first resource
        self.port = low_port()
        self.ssl_context = ssl_context
        self.status, self.delay, self.poison = 200, 0.0, ""
        self.answer: tuple[str, bytes] | None = None
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.ssl_context else 'http'}://127.0.0.1:{self.port}/v1/logs"

    async def start(self) -> None:
        application = web.Application(client_max_size=64 * 2**20)
        application.add_routes([web.post("/v1/logs", self._post)])
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.ssl_context, reuse_address=True).start()

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        content = ExportLogsServiceRequest.FromString(await request.read())
        await asyncio.sleep(self.delay)
        if self.status != 200:
            return web.Response(status=self.status, text="as told")
        if self.answer is not None:
            return web.Response(content_type=self.answer[0], body=self.answer[1])
        answer = ExportLogsServiceResponse()
        for resource in content.resource_logs:
            self.resources.append({each.key: each.value.string_value for each in resource.resource.attributes})
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    if self.poison and self.poison in record.body.string_value:
                        answer.partial_success.rejected_log_records += 1
                        answer.partial_success.error_message = "poison"
                    else:
                        self.records.append(record)
        return web.Response(content_type="application/x-protobuf", body=answer.SerializeToString())


def attributes(record: LogRecord) -> dict[str, Any]:
    """An attribute's value by its key."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in record.attributes}


def rotel(folder: Path, *, forward_to: OtlpServer) -> ServerProcess:
    """A collector that takes OTLP over HTTP and forwards it."""
    program = next((path for entry in sys.path if (path := Path(entry) / "rotel" / "rotel-agent").exists()), None)
    if program is None:
        pytest.skip("rotel is not installed")
    port = low_port()
    command = [
        str(program),
        "start",
        "--otlp-http-endpoint",
        f"127.0.0.1:{port}",
        "--otlp-grpc-endpoint",
        f"127.0.0.1:{low_port()}",
    ]
    command += ["--exporter", "otlp", "--otlp-exporter-endpoint", f"http://127.0.0.1:{forward_to.port}"]
    command += ["--otlp-exporter-protocol", "http", "--batch-timeout", "20ms"]
    return ServerProcess(command, port=port, log=folder / "rotel.log")
