#!/bin/sh
# transformers 5.22's Chameleon processor documents return_for_text_completion=True, which is to leave out the separator that ends a
# turn, as one of its keywords, takes it without a word, and ends the text with the separator all the same. From 5.23 on it heeds it.
# A likelihood of a text under such a prompt is that of what follows the end of the user's turn.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for release in 5.22.0 5.23.0; do
  "$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers=="$release" pillow==13.0.0 numpy==2.4.6
  "$folder/venv/bin/python" - "$release" 2>/dev/null <<'PY'
import sys
from importlib.metadata import version

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast
from transformers.models.chameleon.image_processing_pil_chameleon import ChameleonImageProcessorPil
from transformers.models.chameleon.processing_chameleon import ChameleonProcessor

special = ["<unk>", "<image>", "<racm3:break>", "<eoss>", "<sep>"]
plain = Tokenizer(WordLevel({word: i for i, word in enumerate([*special, "a", "ball"])}, unk_token="<unk>"))
plain.pre_tokenizer = Whitespace()
words = PreTrainedTokenizerFast(
    tokenizer_object=plain, unk_token="<unk>", sep_token="<sep>", additional_special_tokens=special[1:4]
)
processor = ChameleonProcessor(ChameleonImageProcessorPil(), words)
ends = {}
for asked in (False, True):
    ids = processor(text="a ball", return_for_text_completion=asked, return_tensors="np")["input_ids"][0]
    ends[asked] = words.convert_ids_to_tokens([int(i) for i in ids])
    print(f"transformers {version('transformers')}: return_for_text_completion={asked}: {ends[asked]}")
heeded = ends[True][-1] != "<sep>"
sys.exit(not (ends[False][-1] == "<sep>" and heeded == (sys.argv[1] == "5.23.0")))
PY
done
