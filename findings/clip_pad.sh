#!/bin/sh
# LLaVA-1.5's checkpoints name CLIP's image processor, and its published evaluations pad pictures to a square. transformers' CLIP image
# processor takes do_pad=True, keeps it among its settings and saves it, but cuts the middle square out of the picture all the same;
# only LLaVA's own image processor heeds it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - 2>/dev/null <<'PY'
import sys
from importlib.metadata import version

from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

wide = Image.new("RGB", (800, 400), "blue")
wide.paste((255, 0, 0), (0, 0, 200, 400))  # red at both ends, which the square in the middle lacks
wide.paste((255, 0, 0), (600, 0, 800, 400))
settings = {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}, "do_pad": True}
print("transformers", version("transformers"))
red = {}
for kind in (CLIPImageProcessorPil, LlavaImageProcessorPil):
    processor = kind(**settings)
    pixels = processor(images=wide, return_tensors="np")["pixel_values"][0]
    red[kind.__name__] = bool(pixels[0, 168, 4] > pixels[2, 168, 4])
    print(f"{kind.__name__}: do_pad is {processor.do_pad}, the left end of the picture is {'there' if red[kind.__name__] else 'cut off'}")
sys.exit(red != {"CLIPImageProcessorPil": False, "LlavaImageProcessorPil": True})
PY
