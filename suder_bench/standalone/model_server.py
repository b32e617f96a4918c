"""Serves three functions of a script as a model behind an address, in OpenAI's protocol.

    python model_server.py --script FILE.py [--port 8000] [--name NAME]

FILE.py defines what its model can do, and loads it:

    def generate(prompt, *, seed, ...) -> PIL.Image.Image
    def answer(images, question, *, ...) -> str
    def loglikelihood(context, target, *, ...) -> [float, ...]

`images` are RGB pictures. `context` and `target` are lists of texts and pictures; the answer is the natural logarithm of the
probability of each token of the target. What a function has as a keyword, the caller may set: `generate` size (width, height),
guidance_scale, num_inference_steps, negative_prompt, temperature; `answer` seed, temperature, max_tokens, system;
`loglikelihood` seed. The others are refused, never passed over: a score must not depend on a setting that nobody heeded.

FILE.py may also say NAME, WEIGHTS (a folder or file; its files' sizes and times are told as part of the revision, so that a
run does not go on with other weights), or REVISION instead, DTYPE, LICENCE, IMAGE_SIZE = (width, height),
SCORES = ("score_text", "score_image") and ESTIMATOR = {"score_text": "exact"}. One request is worked on at a time; the others
wait.

Only this machine can ask, unless MODEL_SERVER_TOKEN holds a token that callers must send, and --host says so.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import hmac
import importlib.util
import inspect
import io
import json
import math
import os
import socket
import sys
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from PIL import Image

TOKEN = "MODEL_SERVER_TOKEN"
LOCAL = ("127.0.0.1", "localhost", "::1")
MOST_MB = 64
"""Megabytes of a request: some twenty pictures."""

MOST_PIXELS = 64_000_000
"""Of all pictures of a request, looked at before any is unpacked: a small file can hold a picture that fills the memory."""

FORMATS = ("PNG", "JPEG", "WEBP")
SECONDS = 60
"""For a caller that has begun to send a request and does not go on."""

IMAGE_SETTINGS = ("seed", "size", "guidance_scale", "num_inference_steps", "negative_prompt", "temperature")
CHAT_SETTINGS = ("seed", "temperature", "max_tokens")
KINDS = {
    "seed": int,
    "size": str,
    "guidance_scale": (int, float),
    "num_inference_steps": int,
    "negative_prompt": str,
    "temperature": (int, float),
    "max_tokens": int,
}
PASSED_OVER = {"n": 1, "response_format": "b64_json", "output_format": "png", "stream": False}
"""What a request may say besides, with the one value that is served."""


class Refusal(Exception):
    """What a caller did wrong, with its HTTP status and OpenAI's code for it."""

    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code = status, code


class Script:
    """The functions of a script, and what /v1/models says of them."""

    def __init__(self, path, name=None):
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()[:16]
        module = _imported(path)
        stem = os.path.splitext(os.path.basename(path))[0]
        self.name = name or getattr(module, "NAME", stem)
        found = {what: getattr(module, what, None) for what in ("generate", "answer", "loglikelihood")}
        self.functions = {what: function for what, function in found.items() if callable(function)}
        if not self.functions:
            raise SystemExit("model_server: %s defines none of %s" % (path, ", ".join(found)))
        scores = list(getattr(module, "SCORES", ("score_text",))) if "loglikelihood" in self.functions else []
        estimators = dict(getattr(module, "ESTIMATOR", {}))
        self.estimator = {score: estimators.get(score, "exact") for score in scores}
        self.umm = {
            "tasks": [what for what in ("generate", "answer") if what in self.functions] + scores,
            "estimator": self.estimator,
            "settings": {what: self.settings(what) for what in self.functions},
            "revision": str(getattr(module, "REVISION", digest + _stamp(getattr(module, "WEIGHTS", None)))),
        }
        for key, constant in (("image_size", "IMAGE_SIZE"), ("dtype", "DTYPE"), ("licence", "LICENCE")):
            if hasattr(module, constant):
                self.umm[key] = getattr(module, constant)
        self.lock = threading.Lock()

    def settings(self, what):
        """The keywords that a function takes."""
        parameters = list(inspect.signature(self.functions[what]).parameters.values())
        return sorted(one.name for one in parameters if one.kind == one.KEYWORD_ONLY)

    def call(self, what, arguments, settings):
        """Raises Refusal for what the function does not take, or says that it cannot do."""
        if what not in self.functions:
            raise Refusal(422, "unsupported_task", "%s has no %s" % (self.name, what))
        taken = self.settings(what)
        for setting in settings:
            if setting not in taken:
                raise Refusal(400, "unsupported_parameter", "%s takes no %s" % (self.name, setting))
        try:
            with self.lock:
                return self.functions[what](*arguments, **settings)
        except NotImplementedError as error:
            raise Refusal(422, "unsupported_task", str(error) or "%s cannot do this" % self.name) from None


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address, script, token=None):
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Handler)
        self.script, self.token = script, token


class Handler(BaseHTTPRequestHandler):
    timeout = SECONDS
    server_version, sys_version = "model-server", ""

    def do_GET(self):
        self.reply(self.get)

    def do_POST(self):
        self.reply(self.post)

    def reply(self, make):
        try:
            self.check_caller()
            status, document = 200, make()
        except Refusal as refusal:
            status, document = refusal.status, _error(str(refusal), "invalid_request_error", refusal.code)
        except Exception as error:  # the model's own: the caller may try again
            traceback.print_exc()
            status, document = 500, _error("%s: %s" % (type(error).__name__, error), "server_error", None)
        body = json.dumps(document).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # the caller left, or does not read
            self.close_connection = True

    def check_caller(self):
        """The token where there is one; else the name that the caller used must be this machine's, or a page in a browser here
        could reach this server through a name of its own."""
        if self.server.token:
            given = (self.headers.get("Authorization") or "").encode("utf-8", "replace")
            if not hmac.compare_digest(given, b"Bearer " + self.server.token.encode()):
                raise Refusal(401, "invalid_api_key", "send the token of %s as a bearer token" % TOKEN)
        elif _hostname(self.headers.get("Host") or "localhost") not in LOCAL:
            raise Refusal(403, "forbidden", "this server is asked as localhost only")

    def get(self):
        script = self.server.script
        if self.path == "/health":
            return {"status": "ok"}
        if self.path == "/v1/models":
            return {
                "object": "list",
                "data": [{"id": script.name, "object": "model", "owned_by": "suder-bench", "umm": script.umm}],
            }
        raise Refusal(404, "not_found", "there is no %s here" % self.path)

    def post(self):
        work = {
            "/v1/images/generations": generated,
            "/v1/chat/completions": answered,
            "/v1/loglikelihood": scored,
        }.get(self.path)
        if work is None:
            raise Refusal(404, "not_found", "there is no %s here" % self.path)
        request = self.body()
        if request.get("model") != self.server.script.name:
            raise Refusal(404, "model_not_found", "the model here is %s" % self.server.script.name)
        return work(self.server.script, request)

    def body(self):
        if (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower() != "application/json":
            raise Refusal(415, "unsupported_media_type", "send application/json")  # which no page may send without asking
        length = self.headers.get("Content-Length") or ""
        if not length.isdigit():
            raise Refusal(411, "length_required", "send Content-Length")
        if int(length) > MOST_MB * 1_000_000:
            raise Refusal(413, "request_too_large", "a request has at most %d MB" % MOST_MB)
        try:
            received = self.rfile.read(int(length))
        except OSError:
            raise Refusal(408, "request_timeout", "the request did not come whole in time") from None
        try:
            request = json.loads(received)
        except (ValueError, RecursionError):
            raise Refusal(400, "invalid_json", "the request is no JSON") from None
        if not isinstance(request, dict):
            raise Refusal(400, "invalid_json", "the request is no JSON object")
        return request

    def log_message(self, format, *arguments):
        sys.stderr.write("model_server: %s\n" % (format % arguments))


def generated(script, request):
    """POST /v1/images/generations."""
    prompt = _text(request.get("prompt"), "prompt")
    settings = _settings(request, IMAGE_SETTINGS, ("model", "prompt"))
    if "size" in settings:
        settings["size"] = _size(settings["size"])
    picture = script.call("generate", [prompt], settings)
    encoded = io.BytesIO()
    picture.convert("RGB").save(encoded, format="PNG")
    data = [{"b64_json": base64.b64encode(encoded.getvalue()).decode()}]
    return {"created": int(time.time()), "data": data, "output_format": "png"}


def answered(script, request):
    """POST /v1/chat/completions: one turn of the user's, perhaps with a system's before it."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise Refusal(400, "invalid_messages", "messages is no list of messages")
    roles = [one.get("role") for one in messages]
    if roles not in (["user"], ["system", "user"]):
        raise Refusal(400, "invalid_messages", "one turn of the user's is answered, perhaps with a system's before it")
    settings = _settings(request, CHAT_SETTINGS, ("model", "messages"))
    if roles[0] == "system":
        settings["system"] = _joined(_parts(messages[0].get("content")))
    parts = _parts(messages[-1].get("content"))
    images = [part for part in parts if not isinstance(part, str)]
    text = script.call("answer", [images, _joined(parts)], settings)
    choice = {"index": 0, "message": {"role": "assistant", "content": str(text)}, "finish_reason": "stop"}
    return {"object": "chat.completion", "created": int(time.time()), "model": script.name, "choices": [choice]}


def scored(script, request):
    """POST /v1/loglikelihood: items of a context and a target, of which one holds the picture."""
    items = request.get("items")
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise Refusal(400, "invalid_items", "items is no list of {context, target}")
    settings = _settings(request, ("seed",), ("model", "items", "estimator", "samples"))
    pixels = [MOST_PIXELS]
    pairs = [(_parts(item.get("context"), pixels), _parts(item.get("target"), pixels)) for item in items]
    tasks = {_task(*pair) for pair in pairs}
    for task in sorted(tasks):
        if task not in script.estimator:
            raise Refusal(422, "unsupported_task", "%s cannot %s" % (script.name, task))
    data = []
    for index, pair in enumerate(pairs):
        values = [float(value) for value in script.call("loglikelihood", list(pair), settings)]
        if not values or not all(math.isfinite(value) for value in values):
            raise ValueError("loglikelihood gave no finite numbers for item %d" % index)
        total = math.fsum(values)
        data.append({"index": index, "sum": total, "tokens": len(values), "mean": total / len(values), "per_token": values})
    estimator = script.estimator[sorted(tasks)[0]]
    return {"model": script.name, "estimator": estimator, "samples": 1, "seed": settings.get("seed"), "data": data}


def _task(context, target):
    sides = [any(not isinstance(part, str) for part in side) for side in (context, target)]
    if sides[0] == sides[1]:
        raise Refusal(400, "invalid_items", "exactly one of context and target holds a picture")
    return "score_text" if sides[0] else "score_image"


def _settings(request, known, others):
    """What of `known` the request sets. Raises Refusal for what is neither known nor of no effect here."""
    for key, value in request.items():
        if key in known or key in others or value is None:
            continue
        if PASSED_OVER.get(key) != value:
            raise Refusal(400, "unsupported_parameter", "%s=%s is not served here" % (key, json.dumps(value)[:80]))
    found = {key: request[key] for key in known if request.get(key) is not None}
    for key, value in found.items():
        if isinstance(value, bool) or not isinstance(value, KINDS[key]):
            raise Refusal(400, "invalid_" + key, "%s=%s is of the wrong kind" % (key, json.dumps(value)[:80]))
    return found


def _hostname(host):
    try:
        return urlsplit("//" + host).hostname
    except ValueError:
        return None


def _size(text):
    width, cross, height = str(text).partition("x")
    if not (cross and width.isdigit() and height.isdigit() and 0 < int(width) * int(height) <= MOST_PIXELS):
        raise Refusal(400, "invalid_size", "size is not WIDTHxHEIGHT")
    return int(width), int(height)


def _text(value, what):
    if not isinstance(value, str) or not value.strip():
        raise Refusal(400, "invalid_" + what, "%s is no text" % what)
    return value


def _parts(content, pixels=None):
    """Texts and pictures of a message's content; `pixels` is a list of one number, of the pixels that may still come."""
    pixels = [MOST_PIXELS] if pixels is None else pixels
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list) or not content:
        raise Refusal(400, "invalid_content", "content is neither a text nor a list of parts")
    return [_part(part, pixels) for part in content]


def _part(part, pixels):
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return part["text"]
    url = part.get("image_url") if kind == "image_url" else None
    url = url.get("url") if isinstance(url, dict) else url
    if isinstance(url, str):
        return _picture(url, pixels)
    raise Refusal(400, "invalid_content", "a part is neither {type: text, text} nor {type: image_url, image_url: {url}}")


def _picture(url, pixels):
    """A picture of a data URI: no other address is opened, and nothing is unpacked that is larger than is allowed."""
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:image/") and head.endswith(";base64")):
        raise Refusal(400, "invalid_image_url", "a picture is a data:image/...;base64 address; no other is opened")
    try:
        opened = Image.open(io.BytesIO(base64.b64decode(data, validate=True)), formats=FORMATS)
        pixels[0] -= opened.width * opened.height
        if pixels[0] < 0:
            raise Refusal(400, "image_too_large", "the pictures of a request have at most %d pixels" % MOST_PIXELS)
        return opened.convert("RGB")
    except Refusal:
        raise
    except (binascii.Error, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise Refusal(400, "invalid_image", "a picture cannot be read (%s)" % error) from None


def _joined(parts):
    return "\n".join(part for part in parts if isinstance(part, str))


def _stamp(place):
    """A digest of the names, sizes and times of the files of a folder, or of a file; nothing for no place."""
    if place is None:
        return ""
    found = [os.path.join(folder, name) for folder, _, names in os.walk(place) for name in names] or [str(place)]
    listing = [(os.path.relpath(file, place), os.path.getsize(file), os.stat(file).st_mtime_ns) for file in sorted(found)]
    return "-" + hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:16]


def _error(message, kind, code):
    return {"error": {"message": " ".join(message.split())[:500], "type": kind, "param": None, "code": code}}


def _imported(path):
    """The script as a module. Modules beside it can be imported, and none of this file's neighbours."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [place for place in sys.path if os.path.abspath(place or ".") != here]
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec = importlib.util.spec_from_file_location("model_script", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["model_script"] = module
    spec.loader.exec_module(module)
    return module


def main(argv=None):
    parser = argparse.ArgumentParser(prog="model_server", description="Serve the functions of a script as a model.")
    parser.add_argument("--script", required=True, help="a file that defines generate, answer or loglikelihood")
    parser.add_argument("--host", default="127.0.0.1", help="(default: 127.0.0.1, which only this machine reaches)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: 8000)")
    parser.add_argument("--name", help="the model's (default: the script's NAME, or its file's)")
    given = parser.parse_args(argv)
    token = os.environ.get(TOKEN, "").strip() or None
    if given.host not in LOCAL and token is None:
        parser.error("--host %s lets other machines ask; set %s to a token that they must send" % (given.host, TOKEN))
    if not os.path.isfile(given.script):
        parser.error("there is no script %s" % given.script)
    script = Script(given.script, given.name)
    try:
        server = Server((given.host, given.port), script, token)
    except (OSError, OverflowError) as error:
        parser.error("port %d of %s cannot be had (%s); give another --port" % (given.port, given.host, error))
    host = "[%s]" % given.host if ":" in given.host else given.host
    print("model_server: %s does %s" % (script.name, ", ".join(script.umm["tasks"])))
    print("model_server: --model openai:%s@http://%s:%d/v1" % (script.name, host, server.server_address[1]), flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
