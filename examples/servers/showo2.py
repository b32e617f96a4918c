"""Show-o2, from its own repository (github.com/showlab/Show-o, folder show-o2), as a model behind an address.

    SHOWO2_REPO=~/Show-o/show-o2 SHOWO2_CONFIG=~/Show-o/show-o2/configs/showo2_1.5b_demo_432x432.yaml suder-bench model-server \
        --python ~/showo2-venv/bin/python --script examples/servers/showo2.py

The Python is that of the repository's requirements; the configuration names the weights, Wan2.1_VAE.pth among them. Where a
request leaves a setting out, it is the configuration's. Float32, as the repository's script of questions: its loop over the
tokens of an answer makes a float32 mask, which half-precision attention does not take.
"""

import os
import sys

REPO = os.environ.get("SHOWO2_REPO", ".")
sys.path.insert(0, REPO)  # its own `datasets` must come before the library of that name

import torch  # noqa: E402
from datasets.utils import image_transform  # noqa: E402
from models import Showo2Qwen2_5, WanVAE, omni_attn_mask_naive  # noqa: E402
from models.misc import get_text_tokenizer, prepare_gen_input  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402
from PIL import Image  # noqa: E402
from transport import Sampler, create_transport  # noqa: E402
from utils import denorm, get_hyper_params, path_to_llm_name  # noqa: E402

NAME = "show-o2"
DTYPE = "float32"
LICENCE = "Apache-2.0"
SYSTEM = "system\nYou are a helpful assistant.<|im_end|>"

PLACE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CONFIG = OmegaConf.load(os.environ["SHOWO2_CONFIG"])
SHOWO, SIZES, FLOW = CONFIG.model.showo, CONFIG.dataset.preprocessing, CONFIG.transport
WEIGHTS = SHOWO.pretrained_model_path if os.path.isdir(SHOWO.pretrained_model_path) else None  # else a hub id

TOKENIZER, IDS = get_text_tokenizer(
    SHOWO.llm_model_path, add_showo_tokens=True, return_showo_token_ids=True, llm_name=path_to_llm_name[SHOWO.llm_model_path]
)
SHOWO.llm_vocab_size = len(TOKENIZER)
VAE = WanVAE(vae_pth=CONFIG.model.vae_model.pretrained_model_path, dtype=torch.float32, device=PLACE)
MODEL = Showo2Qwen2_5.from_pretrained(SHOWO.pretrained_model_path, use_safetensors=False).to(PLACE).float().eval()
if SHOWO.add_time_embeds:
    SIZES.num_image_tokens += 1  # the time stands before the picture's tokens
(IMAGE_TOKENS, _, LENGTH, TEXT_LENGTH, CHANNELS, PATCH, WIDTH, HEIGHT, PAD, BOS, EOS, BOI, EOI, _, _, IMAGE_PAD, _, GUIDANCE) = (
    get_hyper_params(CONFIG, TOKENIZER, IDS)
)
SAMPLER = Sampler(
    create_transport(
        path_type=FLOW.path_type,
        prediction=FLOW.prediction,
        loss_weight=FLOW.loss_weight,
        train_eps=FLOW.train_eps,
        sample_eps=FLOW.sample_eps,
        snr_type=FLOW.snr_type,
        do_shift=FLOW.do_shift,
        seq_len=SIZES.num_image_tokens,
    )
)


@torch.no_grad()
def generate(prompt, *, seed, guidance_scale=GUIDANCE, num_inference_steps=FLOW.num_inference_steps):
    asked, nothing, places, places_of_nothing = prepare_gen_input(
        [prompt], TOKENIZER, IMAGE_TOKENS, BOS, EOS, BOI, EOI, PAD, IMAGE_PAD, TEXT_LENGTH, PLACE
    )
    noise = torch.randn(1, CHANNELS, HEIGHT * PATCH, WIDTH * PATCH, generator=torch.Generator().manual_seed(seed)).to(PLACE)
    if guidance_scale > 0:
        noise, asked = torch.cat([noise, noise]), torch.cat([asked, nothing])
        places = torch.cat([places, places_of_nothing])
    solve = SAMPLER.sample_ode(
        sampling_method=FLOW.sampling_method,
        num_steps=num_inference_steps,
        atol=FLOW.atol,
        rtol=FLOW.rtol,
        reverse=FLOW.reverse,
        time_shifting_factor=FLOW.time_shifting_factor,
    )
    latents = solve(
        noise,
        MODEL.t2i_generate,
        text_tokens=asked,
        attention_mask=omni_attn_mask_naive(asked.size(0), LENGTH, places, PLACE).float(),
        modality_positions=places,
        output_hidden_states=True,
        max_seq_len=LENGTH,
        guidance_scale=guidance_scale,
    )[-1][:1]
    return Image.fromarray(denorm(VAE.batch_decode(latents.unsqueeze(2)).squeeze(2))[0])


@torch.no_grad()
def answer(images, question, *, seed, temperature, max_tokens):
    if len(images) > 1:
        raise NotImplementedError("Show-o2's repository asks about one picture")
    torch.manual_seed(seed)
    chosen = {"temperature": temperature or 1.0, "top_k": None if temperature else 1, "max_new_tokens": max_tokens}
    before = [BOS, *ids(SYSTEM), *ids("\n<|im_start|>user\n")]
    after = [*ids(question), *ids("\n<|im_start|>assistant\n")]
    if not images:
        said = MODEL.lm_generate(input_ids=before + after, tokenizer=TOKENIZER, boi_token=BOI, device=PLACE, **chosen)
        return said.partition("<|im_end|>")[0].partition(TOKENIZER.eos_token)[0]
    parts = [embedded([*before, BOI]), *time(), seen(images[0]), embedded([EOI, *after])]
    whole = torch.cat(parts, dim=1)
    start = len(before) + (2 if SHOWO.add_time_embeds else 1)
    places = torch.tensor([[[start, IMAGE_TOKENS]]], device=PLACE)
    mask = omni_attn_mask_naive(B=1, LEN=whole.size(1), modalities=places, device=PLACE, inverted=True).to(whole.dtype)
    said = MODEL.mmu_generate(input_embeds=whole, attention_mask=mask, eos_token=TOKENIZER.eos_token_id, **chosen)
    return TOKENIZER.decode(torch.stack(said).flatten(), skip_special_tokens=True)


def ids(text):
    return TOKENIZER(text, add_special_tokens=False)["input_ids"]


def embedded(tokens):
    return MODEL.showo.model.embed_tokens(torch.tensor([tokens], device=PLACE))


def time():
    """What stands before a picture that is whole: the end of the flow's time."""
    if not SHOWO.add_time_embeds:
        return []
    end = MODEL.time_embed(torch.ones(1, 1, device=PLACE), torch.float32)
    return [MODEL.time_embed_proj(end) if hasattr(MODEL, "time_embed_proj") else end]


def seen(image):
    """(1, tokens, width) of a picture, cut to its middle square as in the repository's script."""
    pixels = image_transform(image, resolution=SIZES.resolution).to(PLACE)[None]
    latents = VAE.sample(pixels.unsqueeze(2)).squeeze(2).float()
    meaning = MODEL.image_embedder_und(latents) + MODEL.position_embedding(MODEL.image_position_ids)
    meaning = MODEL.und_trans(meaning)["last_hidden_state"]
    return MODEL.fusion_proj(torch.cat([meaning, MODEL.image_embedder_gen(latents)], dim=-1))
