"""The webhook against a real collector: what goes over the wire, and over which wire."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import aiohttp
import collector as collector_module
import pytest
from collector import Collector
from manual_clock import ManualClock
from sink_alerts import committed_alert
from sink_certificates import Authority

from netmote.errors import Retryable
from netmote.sinks.webhook.config import WebhookConfig
from netmote.sinks.webhook.sink import WebhookSink

BATCH = [committed_alert(number) for number in range(1, 4)]


async def deliver(url: str, **fields: object) -> None:
    """One batch by a sink of its own."""
    sink = WebhookSink(WebhookConfig(type="webhook", url=url, timeout=3.0, **fields), clock=ManualClock())
    try:
        await sink.open()
        await sink.deliver(BATCH)
    finally:
        await sink.close()


async def test_what_is_posted(tmp_path: Path) -> None:
    """The media type of CloudEvents batches, gzip over 1 kB, a user agent, no cookies and no token unless configured."""
    async with Collector(tmp_path / "c.db") as collector:
        await deliver(collector.url)
        (headers,) = collector.requests
        assert headers["Content-Type"] == "application/cloudevents-batch+json"
        assert headers["Content-Encoding"] == "gzip"
        assert headers["User-Agent"] == "netmote"
        assert not {"Authorization", "Cookie"} & headers.keys()
        assert [event["data"]["finding_info"]["title"] for event in collector.events] == [row.alert.title for row in BATCH]


async def test_compression_can_be_left_out(tmp_path: Path) -> None:
    """For receivers that refuse Content-Encoding."""
    async with Collector(tmp_path / "c.db") as collector:
        await deliver(collector.url, compression="none")
        assert "Content-Encoding" not in collector.requests[0]
        assert len(collector.events) == 3


async def test_the_same_batch_again_is_no_second_alert(tmp_path: Path) -> None:
    """A resend has the same ids, so the collector counts it as received and keeps one."""
    async with Collector(tmp_path / "c.db") as collector:
        await deliver(collector.url)
        await deliver(collector.url)
        assert collector.tally() == {"events": 3, "received": 6, "requests": 2}


async def test_retry_after_reaches_the_caller(tmp_path: Path) -> None:
    """The receiver's own wish is in the error."""
    async with Collector(tmp_path / "c.db") as collector:
        collector.behave(status=429, headers={"Retry-After": "17"})
        with pytest.raises(Retryable) as caught:
            await deliver(collector.url)
        assert caught.value.after == 17.0


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    """Alerts and token go where the configuration says and nowhere else."""
    async with Collector(tmp_path / "a.db") as here, Collector(tmp_path / "b.db") as elsewhere:
        here.behave(status=307, headers={"Location": elsewhere.url})
        with pytest.raises(Retryable, match="redirects"):
            await deliver(here.url)
        assert elsewhere.tally()["requests"] == 0


async def test_token_is_sent_read_anew_and_never_shown(tmp_path: Path) -> None:
    """A refused token is read again from its file, so that a rotated one works without a restart."""
    secret = tmp_path / "token"
    secret.write_text("first-secret\n")
    async with Collector(tmp_path / "c.db") as collector:
        config = WebhookConfig(type="webhook", url=collector.url, token=f"file:{secret}")
        assert "first-secret" not in repr(config)
        sink = WebhookSink(config)
        await sink.open()
        collector.behave(status=401, body="no such token")
        with pytest.raises(Retryable, match="token") as caught:
            await sink.deliver(BATCH)
        assert "first-secret" not in str(caught.value)
        secret.write_text("second-secret\n")
        await sink.deliver(BATCH)
        await sink.close()
        assert [headers["Authorization"] for headers in collector.requests] == ["Bearer first-secret", "Bearer second-secret"]


@pytest.mark.parametrize("content", [None, "", "two\nlines", "t\u00f6ken"])
async def test_a_missing_or_damaged_token_waits(tmp_path: Path, content: str | None) -> None:
    """It may be provisioned later: `open` says so, and nothing of the content is in the message."""
    secret = tmp_path / "token"
    if content is not None:
        secret.write_text(content)
    sink = WebhookSink(WebhookConfig(type="webhook", url="http://127.0.0.1:9/", token=f"file:{secret}"))
    with pytest.raises(Retryable, match=str(secret)) as caught:
        await sink.open()
    assert not content or content not in str(caught.value)
    await sink.close()


async def test_tls_is_verified_against_the_configured_authority(tmp_path: Path) -> None:
    """A certificate of the authority is trusted; without it, or with another one, nothing is sent."""
    authority = Authority(tmp_path)
    async with Collector(tmp_path / "c.db", ssl_context=authority.server_context()) as collector:
        await deliver(collector.url, ca_file=authority.file)
        for wrong in ({}, {"ca_file": Authority(tmp_path, "another").file}):
            with pytest.raises(Retryable, match=r"(?i)certificate"):
                await deliver(collector.url, **wrong)
        with pytest.raises(Retryable, match=r"(?i)certificate|host"):
            await deliver(collector.url.replace("127.0.0.1", "localhost"), ca_file=authority.file)
        assert collector.tally()["requests"] == 1


async def test_client_certificate(tmp_path: Path) -> None:
    """A receiver that asks for one gets it; without it, delivery waits."""
    authority = Authority(tmp_path)
    client = authority.issue("sensor")
    async with Collector(tmp_path / "c.db", ssl_context=authority.server_context(wants_client=True)) as collector:
        with pytest.raises(Retryable):
            await deliver(collector.url, ca_file=authority.file)
        await deliver(collector.url, ca_file=authority.file, client_certificate=client.certificate, client_key=client.key)
        assert len(collector.events) == 3


async def test_a_renewed_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    """The authority's file may be mended while the sink lives."""
    authority, other = Authority(tmp_path), Authority(tmp_path, "another")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(other.file.read_bytes())
    async with Collector(tmp_path / "c.db", ssl_context=authority.server_context()) as collector:
        sink = WebhookSink(WebhookConfig(type="webhook", url=collector.url, ca_file=trusted))
        await sink.open()
        with pytest.raises(Retryable):
            await sink.deliver(BATCH)
        trusted.write_bytes(authority.file.read_bytes())
        await sink.deliver(BATCH)
        await sink.close()
        assert len(collector.events) == 3


async def test_unusable_certificate_files_wait(tmp_path: Path) -> None:
    """A file that is missing or no certificate is Retryable with its reason, as it may be provisioned later."""
    (tmp_path / "broken.pem").write_text("no certificate")
    for name in ("absent.pem", "broken.pem"):
        with pytest.raises(Retryable, match="certificates of sink"):
            await deliver("https://127.0.0.1:9/", ca_file=tmp_path / name)


async def test_an_answer_without_end_is_cut(tmp_path: Path) -> None:
    """A receiver cannot fill the sensor's memory."""

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Retryable, match="503") as caught:
            await deliver(f"http://127.0.0.1:{port}/")
        assert len(str(caught.value)) < 400


async def test_the_collector_as_a_process_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    """Killed without warning, it has every event that it answered for."""
    command = [sys.executable, collector_module.__file__, "--port", "0", "--database", str(tmp_path / "c.db")]

    def start() -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return process, process.stdout.readline().split()[-1]

    process, url = await asyncio.to_thread(start)
    try:
        await deliver(url)
        os.kill(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.communicate)
        process, url = await asyncio.to_thread(start)
        async with aiohttp.ClientSession() as client, client.get(f"{url}events") as response:
            events = json.loads(await response.text())
        assert [event["id"] for event in events] == [row.alert.event_id for row in BATCH]
    finally:
        process.terminate()
        await asyncio.to_thread(process.communicate)


def test_old_tls_is_not_spoken(tmp_path: Path) -> None:
    """TLS 1.2 is the least (RFC 9325 section 3.1.1)."""
    sink = WebhookSink(WebhookConfig(type="webhook", url="https://127.0.0.1/", ca_file=Authority(tmp_path).file))
    assert sink._http.tls is not None
    context = sink._http.tls.context()
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
