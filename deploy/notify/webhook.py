#!/usr/bin/env python3
"""An example of what stands between hearth's outbox and the telephone.

Takes the signed POST of each notice, verifies it, and hands it to a command, or prints it. Each
notice is handed on once, however often it comes: its id is written down before it is answered.

    webhook.py --secret-file key --port 9100 --sent sent.ndjson --command ./send-sms

The command gets the notice as JSON on standard input; what it prints is the provider's message id.
A command that fails makes hearth try again later. Needs nothing but Python 3.9.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY_BYTES_MAX = 64 * 1024
# How far the sender's clock may be from ours: what is older may be somebody's copy.
CLOCK_S = 300
COMMAND_S = 8


def key_from(text):
    """The key as hearth reads it: `whsec_` and base64, or any text."""
    text = text.strip()
    if text.startswith("whsec_"):
        return base64.b64decode(text[len("whsec_"):])
    return text.encode()


def verified(key, headers, body, now_s):
    """Whether a message is from who has the key, and fresh. See https://www.standardwebhooks.com."""
    ident, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not ident or not stamp.isdigit() or abs(now_s - int(stamp)) > CLOCK_S:
        return False
    wanted = hmac.new(key, f"{ident}.{stamp}.".encode() + body, hashlib.sha256).digest()
    wanted = "v1," + base64.b64encode(wanted).decode()
    # Several signatures may come while a key is changed.
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(wanted, each) for each in given)


class Sent:
    """What was handed on, by id, on disk."""

    def __init__(self, path):
        self.lock = threading.Lock()
        self.message_ids = {}
        self.busy = set()
        path = pathlib.Path(path)
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    line = json.loads(line)
                except ValueError:
                    # Half a line of a power cut: that notice was not answered and comes again.
                    continue
                self.message_ids[line["id"]] = line["message_id"]
        self.file = open(path, "a", encoding="utf-8")
        if path.stat().st_size and not path.read_text().endswith("\n"):
            self.file.write("\n")

    def write(self, notice, message_id):
        self.message_ids[notice["id"]] = message_id
        line = {"id": notice["id"], "message_id": message_id, "notice": notice}
        self.file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())


def hand_on(command, notice):
    """Gives the notice to whoever sends it; the provider's id of the message."""
    if not command:
        print(json.dumps(notice, ensure_ascii=False), flush=True)
        return f"printed-{notice['id']}"
    done = subprocess.run(
        command, shell=True, input=json.dumps(notice), text=True, capture_output=True, timeout=COMMAND_S
    )
    if done.returncode != 0:
        raise RuntimeError(f"the command ended with {done.returncode}: {done.stderr[:200]}")
    return done.stdout.strip() or notice["id"]


def handler(key, sent, command):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status, said):
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            length = int(self.headers.get("content-length") or 0)
            if length > BODY_BYTES_MAX:
                self.close_connection = True
                self.answer(413, {"error": f"at most {BODY_BYTES_MAX} bytes"})
                return
            body = self.rfile.read(length)
            if not verified(key, self.headers, body, time.time()):
                self.answer(401, {"error": "the signature or its time is wrong"})
                return
            notice = json.loads(body)
            if notice["id"] != self.headers["webhook-id"]:
                self.answer(400, {"error": "the id of the body is another one than the header's"})
                return
            status, said = self.once(notice)
            self.answer(status, said)

        def once(self, notice):
            """Hands a notice on, unless that was done or is being done."""
            with sent.lock:
                known = sent.message_ids.get(notice["id"])
                if known is not None:
                    return 200, {"message_id": known}
                if notice["id"] in sent.busy:
                    return 409, {"error": "it is being sent"}
                sent.busy.add(notice["id"])
            try:
                message_id = hand_on(command, notice)
                with sent.lock:
                    sent.write(notice, message_id)
                return 200, {"message_id": message_id}
            except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                print(error, file=sys.stderr, flush=True)
                return 503, {"error": str(error)}
            finally:
                with sent.lock:
                    sent.busy.discard(notice["id"])

        def log_message(self, *_):
            pass

    return Handler


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--secret-file", required=True)
    parser.add_argument("--sent", default="sent.ndjson", help="what was handed on, kept over restarts")
    parser.add_argument("--command", help="sends one notice; without it notices are printed")
    args = parser.parse_args()
    key = key_from(pathlib.Path(args.secret_file).read_text())
    server = ThreadingHTTPServer((args.host, args.port), handler(key, Sent(args.sent), args.command))
    server.daemon_threads = True
    print(f"listening on {args.host}:{server.server_port}", file=sys.stderr, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
