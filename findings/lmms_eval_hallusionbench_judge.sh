#!/bin/sh
# lmms-eval marks HallusionBench's answers with a judge behind an address. Where a request cannot be sent in all its tries (the server is
# away, a name is not found, time is up), the answer silently gets the mark of the question before it: the reply of the last request
# that worked is read once more. A refusal (HTTP 500) counts as "unclear" instead. Both go into the score like any other mark.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip="$folder/venv/bin/pip install --quiet --disable-pip-version-check"
$pip loguru==0.7.3 numpy==2.4.6 requests==2.34.2 tqdm==4.70.1
$pip --no-deps lmms-eval==0.7.3 # without its sixty dependencies: the file that judges needs the four above
cd "$folder"
NO_PROXY='*' OPENAI_API_KEY=key "$folder/venv/bin/python" - 2> progress <<'PY'
import importlib.util
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import distribution

from loguru import logger

logger.remove()


class Judge(BaseHTTPRequestHandler):
    """Finds the sky blue, refuses to judge grass, and hangs up on anything about snow."""

    def do_POST(self):
        prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][0]["content"]
        if "snow" in prompt:
            self.close_connection = True
            return
        said = "correct" if "Prediction answer:It is blue." in prompt else "incorrect"
        reply = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
        self.send_response(500 if "grass" in prompt else 200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Judge)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["OPENAI_API_URL"] = f"http://127.0.0.1:{server.server_port}/v1/chat/completions"

package = distribution("lmms-eval")
file = str(package.locate_file("lmms_eval/tasks/hallusion_bench/utils.py"))
spec = importlib.util.spec_from_file_location("hallusion_bench_utils", file)
utils = importlib.util.module_from_spec(spec)
spec.loader.exec_module(utils)
utils.time.sleep = lambda seconds: None

rows = [
    {"question": f"Is the {thing} {colour}?", "gt_answer_details": f"The {thing} is {colour}.", "answer": answer}
    for thing, colour, answer in (
        ("sky", "blue", "It is blue."),
        ("snow", "white", "It is black."),
        ("sky", "blue", "It is red."),
        ("snow", "white", "It is white."),
        ("grass", "green", "It is green."),
    )
]
marked = utils.evaluate_by_chatgpt(rows, "answer", "mark", save_json_path="marks.json")
words = {"0": "incorrect", "1": "correct", "2": "unclear"}
print(f"lmms-eval {package.version}, HallusionBench's judge, which hangs up on snow and refuses grass:")
for row in marked:
    print(f"  {row['question']:<20} {row['answer']:<14} marked {words[row['mark']]}")
sys.exit([row["mark"] for row in marked] != ["1", "1", "0", "0", "2"])
PY
