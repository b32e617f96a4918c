#!/bin/sh
# TRL 1.16's CPOConfig(loss_type="simpo") is not SimPO (arXiv:2405.14734, equation 6): cpo_alpha, 1 unless it is given, adds the mean
# negative log-likelihood of the chosen answer to the loss. Only with cpo_alpha=0 is a step's loss SimPO's own.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    trl==1.16.0 transformers==5.23.0 torch==2.13.0 accelerate==1.15.0 datasets==5.2.0 numpy==2.4.6
cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - 2>/dev/null <<'PY'
import math
import sys
from importlib.metadata import version

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl.experimental.cpo import CPOConfig, CPOTrainer

words = ["[PAD]", "[EOS]", "[UNK]", "draw", "a", "red", "blue", "ball", "and", "no", "cup"]
tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", eos_token="[EOS]", bos_token="[EOS]", unk_token="[UNK]")
pair = Dataset.from_list([{"prompt": "draw a ", "chosen": "red ball and no cup", "rejected": "blue cup"}])
size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
right = []
for alpha in (None, 0.0):
    torch.manual_seed(0)
    given = {} if alpha is None else {"cpo_alpha": alpha}
    settings = CPOConfig(
        output_dir="out", loss_type="simpo", beta=2.0, max_steps=1, logging_steps=1, per_device_train_batch_size=1,
        report_to=[], log_level="error", use_cpu=True, bf16=False, disable_tqdm=True, **given,
    )
    trainer = CPOTrainer(
        LlamaForCausalLM(LlamaConfig(vocab_size=len(words), **size)), settings, train_dataset=pair, processing_class=fast
    )
    trainer.train()
    step = next(entry for entry in trainer.state.log_history if "loss" in entry)
    simpo = math.log1p(math.exp(-(2.0 * (step["logps/chosen"] - step["logps/rejected"]) - 0.5)))
    extra = step["loss"] - simpo
    expected = -step["logps/chosen"] if alpha is None else 0.0
    right.append(abs(extra - expected) < 1e-3)
    told = "unset" if alpha is None else alpha
    print(f"trl {version('trl')}, cpo_alpha {told}: loss {step['loss']:.4f}, SimPO's {simpo:.4f}, beyond it {extra:.4f}; "
          f"mean -log p of the chosen {-step['logps/chosen']:.4f}")
sys.exit(not all(right))
PY
