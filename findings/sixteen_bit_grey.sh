#!/bin/sh
# A picture evaluator with two readers sees a 16-bit greyscale PNG as two pictures: OpenCV, which detectors read with, keeps the high
# byte of every shade; Pillow's convert("RGB"), which CLIP's and BLIP's transforms start with, cuts shades off at 255, so that nearly
# all of the picture is white. Neither says a word.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 opencv-python-headless==4.13.0.92
"$folder/venv/bin/python" - "$folder/ramp.png" <<'PY'
import sys

import cv2
import numpy as np
import PIL
from PIL import Image

file = sys.argv[1]
ramp = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
Image.fromarray(ramp).save(file)

opencv = cv2.imread(file, cv2.IMREAD_COLOR)[..., 0]
with Image.open(file) as opened:
    mode, pillow = opened.mode, np.asarray(opened.convert("RGB"))[..., 0]

print(f"OpenCV {cv2.__version__}, Pillow {PIL.__version__}: a ramp of 65,536 shades, saved as PNG, mode {mode}")
print(f"OpenCV: mean {opencv.mean():.1f}, white {np.mean(opencv == 255):.1%}, the high byte everywhere: {bool((opencv == ramp >> 8).all())}")
print(f"Pillow: mean {pillow.mean():.1f}, white {np.mean(pillow == 255):.1%}, cut off at 255: {bool((pillow == np.minimum(ramp, 255)).all())}")
sys.exit(not ((opencv == ramp >> 8).all() and (pillow == np.minimum(ramp, 255)).all()))
PY
