"""The example adapter of `deploy/notify`, with messages signed by the Standard Webhooks library."""

import importlib.util
import json
import threading
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone
from http.server import ThreadingHTTPServer

import pytest
from conftest import REPOSITORY
from standardwebhooks import Webhook

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

spec = importlib.util.spec_from_file_location("webhook", REPOSITORY / "deploy/notify/webhook.py")
adapter = importlib.util.module_from_spec(spec)
spec.loader.exec_module(adapter)


@pytest.fixture
def serve(tmp_path):
    """Starts the adapter with a command; gives its address. What it sent stays over restarts."""
    running = []

    def start(command=None):
        sent = adapter.Sent(tmp_path / "sent.ndjson")
        server = ThreadingHTTPServer(("127.0.0.1", 0), adapter.handler(adapter.key_from(KEY), sent, command))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in running:
        server.shutdown()


def signed(notice, at=None, key=KEY):
    body = json.dumps(notice)
    at = at or datetime.now(timezone.utc)
    return body.encode(), {
        "webhook-id": notice["id"],
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(key).sign(notice["id"], at, body),
    }


def post(address, body, headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def test_a_signed_notice_is_handed_on_once(serve, tmp_path):
    calls = tmp_path / "calls"
    command = f"cat >> {calls}; echo >> {calls}; echo sms-1"
    message = signed({"id": "a1.2.wang", "kind": "smoke"})
    address = serve(command)
    assert post(address, *message) == (200, {"message_id": "sms-1"})
    assert post(address, *message) == (200, {"message_id": "sms-1"})
    assert post(serve("echo another"), *message) == (200, {"message_id": "sms-1"}), "known after a restart"
    assert calls.read_text().splitlines() == ['{"id": "a1.2.wang", "kind": "smoke"}']


def test_what_is_not_from_hearth_or_old_is_refused(serve):
    address = serve()
    notice = {"id": "a1.2.wang", "kind": "smoke"}
    body, headers = signed(notice)
    assert post(address, body.replace(b"smoke", b"water"), headers)[0] == 401
    assert post(address, body, {**headers, "webhook-id": "a1.2.li"})[0] == 401
    assert post(address, *signed(notice, key="whsec_" + "A" * 32))[0] == 401
    old = datetime.now(timezone.utc) - timedelta(minutes=6)
    assert post(address, *signed(notice, at=old))[0] == 401
    assert post(address, body, {})[0] == 401
    assert post(address, body, headers)[0] == 200


def test_a_command_that_fails_is_tried_again(serve, tmp_path):
    ready = tmp_path / "ready"
    address = serve(f"test -e {ready} && echo sms-2")
    message = signed({"id": "a1.3.wang"})
    assert post(address, *message)[0] == 503
    ready.touch()
    assert post(address, *message) == (200, {"message_id": "sms-2"})
