"""BAGEL, from its own repository (github.com/ByteDance-Seed/Bagel), as a model behind an address.

    BAGEL_REPO=~/Bagel BAGEL_WEIGHTS=~/Bagel/models/BAGEL-7B-MoT suder-bench model-server \
        --python ~/bagel-venv/bin/python --script examples/servers/bagel.py

The Python is that of the repository's requirements. Where a request leaves a setting out, it is what the repository's demo
(app.py) has; thinking is off. The demo's own seeding passes over seed 0, so that seeds are set here.
"""

import os
import sys

WEIGHTS = os.environ["BAGEL_WEIGHTS"]
sys.path.insert(0, os.environ.get("BAGEL_REPO", "."))

import torch  # noqa: E402
from accelerate import init_empty_weights, load_checkpoint_and_dispatch  # noqa: E402
from data.data_utils import add_special_tokens  # noqa: E402
from data.transforms import ImageTransform  # noqa: E402
from inferencer import InterleaveInferencer  # noqa: E402
from modeling.autoencoder import load_ae  # noqa: E402
from modeling.bagel import Bagel, BagelConfig, Qwen2Config, Qwen2ForCausalLM, SiglipVisionConfig, SiglipVisionModel  # noqa: E402
from modeling.qwen2 import Qwen2Tokenizer  # noqa: E402

NAME = "BAGEL-7B-MoT"
DTYPE = "bfloat16"
LICENCE = "Apache-2.0"
IMAGE_SIZE = (1024, 1024)


def load():
    """The demo's model on one device, whole."""
    text = Qwen2Config.from_json_file(os.path.join(WEIGHTS, "llm_config.json"))
    text.qk_norm, text.tie_word_embeddings, text.layer_module = True, False, "Qwen2MoTDecoderLayer"
    sight = SiglipVisionConfig.from_json_file(os.path.join(WEIGHTS, "vit_config.json"))
    sight.rope = False
    sight.num_hidden_layers -= 1  # the last layer's features are not used
    vae, vae_config = load_ae(local_path=os.path.join(WEIGHTS, "ae.safetensors"))
    config = BagelConfig(
        visual_gen=True,
        visual_und=True,
        llm_config=text,
        vit_config=sight,
        vae_config=vae_config,
        vit_max_num_patch_per_side=70,
        connector_act="gelu_pytorch_tanh",
        latent_patch_size=2,
        max_latent_size=64,
    )
    with init_empty_weights():
        model = Bagel(Qwen2ForCausalLM(text), SiglipVisionModel(sight), config)
        model.vit_model.vision_model.embeddings.convert_conv2d_to_linear(sight, meta=True)
    tokenizer, new_token_ids, _ = add_special_tokens(Qwen2Tokenizer.from_pretrained(WEIGHTS))
    place = "cuda:0" if torch.cuda.is_available() else "cpu"
    weights = os.path.join(WEIGHTS, "ema.safetensors")
    model = load_checkpoint_and_dispatch(
        model,
        weights,
        device_map={"": place},
        dtype=torch.bfloat16,
        force_hooks=True,  # the repository leaves it to these to move what a layer is given
    ).eval()
    return InterleaveInferencer(
        model=model,
        vae_model=vae,  # the latents stay on the CPU, where their noise is drawn
        tokenizer=tokenizer,
        vae_transform=ImageTransform(1024, 512, 16),
        vit_transform=ImageTransform(980, 224, 14),
        new_token_ids=new_token_ids,
    )


BAGEL = load()


def generate(prompt, *, seed, size=IMAGE_SIZE, guidance_scale=4.0, num_inference_steps=50):
    torch.manual_seed(seed)
    drawn = BAGEL.interleave_inference(
        [prompt],
        image_shapes=(size[1], size[0]),  # height first
        cfg_text_scale=guidance_scale,
        cfg_interval=[0.4, 1.0],
        timestep_shift=3.0,
        num_timesteps=num_inference_steps,
        cfg_renorm_min=0.0,
        cfg_renorm_type="global",
    )
    return drawn[-1]


def answer(images, question, *, seed, temperature, max_tokens):
    torch.manual_seed(seed)
    said = BAGEL.interleave_inference(
        [*images, question],
        understanding_output=True,
        do_sample=temperature > 0,
        text_temperature=temperature or 1.0,
        max_think_token_n=max_tokens,
    )
    return said[-1]
