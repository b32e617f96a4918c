#!/bin/sh
# An evaluation that asks its judge through the openai client gets an answer to nothing where the address redirects: after a 301 or 302
# the client sends a GET without model and messages, and hands back whatever comes as the judge's completion. After a 307 or 308 it sends
# the whole conversation to the other host. It follows without a word, and only the key stays behind.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openai==3.57.0 httpx2==2.16.2
NO_PROXY='*' "$folder/venv/bin/python" - <<'PY'
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import openai

message = {"role": "assistant", "content": "correct"}
COMPLETION = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


class Judge(BaseHTTPRequestHandler):
    """Answers at once; on the path /STATUS/... it redirects to itself under another name, which is another host to a client."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status = self.path.split("/")[1]
        self.send_response(int(status) if status.isdigit() else 200)
        if status.isdigit():
            self.send_header("Location", f"http://localhost:{self.server.server_port}/chat/completions")
            reply = b""
        else:
            seen.append((self.command, len(body), self.headers.get("Authorization")))
            reply = json.dumps(COMPLETION).encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    do_GET = do_POST

    def log_message(self, *_):
        pass


seen = []
server = HTTPServer(("127.0.0.1", 0), Judge)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"openai {openai.__version__}: a judge at 127.0.0.1 that redirects to localhost")
as_seen = True
for status, method, whole in ((301, "GET", False), (302, "GET", False), (307, "POST", True), (308, "POST", True)):
    seen.clear()
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/{status}", api_key="key", max_retries=0)
    reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Is the ball red?"}])
    print(f"{status}: the other host got {seen} (method, bytes, key); the client returned {reply.choices[0].message.content!r}")
    as_seen &= seen == [(method, seen[0][1], None)] and (seen[0][1] > 0) == whole
sys.exit(not as_seen)
PY
