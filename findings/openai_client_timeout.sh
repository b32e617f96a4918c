#!/bin/sh
# An evaluation that gives the openai client `timeout=1` for its judge has not bounded a reply: the limit is on the gap between two
# pieces, each time anew. A reply that drips for three seconds is returned as if it were in time, and one that drips for a day would be.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openai==3.57.0 httpx2==2.16.2
NO_PROXY='*' "$folder/venv/bin/python" - <<'PY'
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import openai

message = {"role": "assistant", "content": "correct"}
COMPLETION = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


class Judge(BaseHTTPRequestHandler):
    """Sends its completion in pieces, whose number and pause stand in the path: /10/0.3/..."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        count, pause = int(self.path.split("/")[1]), float(self.path.split("/")[2])
        reply = json.dumps(COMPLETION).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        size = -(-len(reply) // count)
        for start in range(0, len(reply), size):
            time.sleep(pause)
            self.wfile.write(reply[start : start + size])
            self.wfile.flush()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Judge)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"openai {openai.__version__}, timeout=1")
found = []
for count, pause in ((10, 0.3), (2, 1.5)):
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/{count}/{pause}", api_key="key", timeout=1, max_retries=0)
    begun = time.monotonic()
    try:
        reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}]).choices[0].message.content
    except openai.APITimeoutError:
        reply = None
    found.append((reply, time.monotonic() - begun > 2))
    print(f"{count} pieces, each after {pause} s: {'timed out' if reply is None else repr(reply)} after {time.monotonic() - begun:.1f} s")
sys.exit(found != [("correct", True), (None, False)])
PY
