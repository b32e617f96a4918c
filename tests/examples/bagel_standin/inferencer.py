import torch
from PIL import Image


class InterleaveInferencer:
    """Draws one colour by the prompt, the guidance and torch's seed; says what it was shown."""

    def __init__(self, model, vae_model, tokenizer, vae_transform, vit_transform, new_token_ids):
        assert model.language_model.weight.dtype == torch.bfloat16
        assert not model.training
        assert (vae_transform.sizes, vit_transform.sizes) == ((1024, 512, 16), (980, 224, 14))

    def interleave_inference(
        self,
        input_lists,
        think=False,
        understanding_output=False,
        max_think_token_n=1000,
        do_sample=False,
        text_temperature=0.3,
        cfg_text_scale=3.0,
        cfg_img_scale=1.5,
        cfg_interval=(0.4, 1.0),
        timestep_shift=3.0,
        num_timesteps=50,
        cfg_renorm_min=0.0,
        cfg_renorm_type="global",
        image_shapes=(1024, 1024),
        enable_taylorseer=False,
    ):
        assert think is False
        if understanding_output:
            sizes = [part.size for part in input_lists[:-1]]
            return [f"{sizes} {input_lists[-1]} {do_sample} {max_think_token_n}"]
        assert (timestep_shift, cfg_renorm_type, list(cfg_interval)) == (3.0, "global", [0.4, 1.0])
        red, green = torch.randint(0, 256, (2,)).tolist()
        shade = (len(input_lists[0]) + int(10 * cfg_text_scale) + num_timesteps) % 256
        height, width = image_shapes
        return [Image.new("RGB", (width // 16, height // 16), (red, green, shade))]
