import torch


def omni_attn_mask_naive(B, LEN, modalities, device, inverted=True):
    mask = torch.tril(torch.ones((B, 1, LEN, LEN), dtype=torch.long)).to(device)
    for b in range(B):
        for offset, length in modalities[b]:
            mask[b, :, offset : offset + length, offset : offset + length] = 1
    return (1 - mask) * torch.iinfo(torch.long).min if inverted else mask


class WanVAE:
    def __init__(self, vae_pth, dtype, device):
        assert vae_pth == "Wan2.1_VAE.pth"

    def sample(self, videos):
        assert videos.dim() == 5
        return torch.nn.functional.avg_pool3d(videos, (1, 2, 2))

    def batch_decode(self, latents):
        assert latents.dim() == 5
        return latents


class _Embeds(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed_tokens = torch.nn.Embedding(256, 6)


class _Language(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = _Embeds()


class Showo2Qwen2_5(torch.nn.Module):
    @classmethod
    def from_pretrained(cls, path, use_safetensors):
        assert use_safetensors is False  # the published weights are no safetensors
        return cls()

    def __init__(self):
        super().__init__()
        self.showo = _Language()
        self.image_position_ids = torch.arange(4)[None]
        self.position_embedding = torch.nn.Embedding(4, 3)

    def image_embedder_und(self, latents):
        return torch.nn.functional.avg_pool2d(latents, 2).flatten(2).transpose(1, 2)

    image_embedder_gen = image_embedder_und

    def und_trans(self, embeds):
        return {"last_hidden_state": embeds}

    def fusion_proj(self, embeds):
        return embeds

    def time_embed(self, t, dtype):
        return t[..., None].expand(1, 1, 6).to(dtype)

    def t2i_generate(
        self,
        image_latents=None,
        t=None,
        text_tokens=None,
        attention_mask=None,
        modality_positions=None,
        first_frame_as_cond=False,
        only_denoise_last_image=False,
        max_seq_len=None,
        guidance_scale=0.0,
        **kwargs,
    ):
        assert attention_mask.shape == (len(text_tokens), 1, max_seq_len, max_seq_len) == (len(image_latents), 1, 64, 64)
        (offset, length), *_ = modality_positions[0].tolist()
        assert text_tokens[0, offset : offset + length].eq(8).all()
        shade = text_tokens.float().mean(dim=1)[:, None, None, None].expand_as(image_latents) / 100
        if guidance_scale > 0:
            told, untold = shade.chunk(2)
            shade = torch.cat([untold + guidance_scale * (told - untold)] * 2)
        return shade

    def mmu_generate(
        self, input_embeds=None, attention_mask=None, max_new_tokens=100, temperature=1.0, top_k=None, eos_token=None
    ):
        assert attention_mask.dtype == input_embeds.dtype == torch.float32
        assert attention_mask.shape[-1] == input_embeds.shape[1]
        open_places = int((attention_mask[0, 0].triu(1) == 0).sum() - torch.ones(attention_mask.shape[-2:]).tril().sum())
        said = f"{abs(input_embeds.sum().item()):.1f} {open_places} {top_k}"
        return [torch.tensor(byte) for byte in said.encode()[:max_new_tokens]]

    def lm_generate(
        self,
        input_ids=None,
        attention_mask=None,
        tokenizer=None,
        max_new_tokens=100,
        boi_token=None,
        temperature=1.0,
        top_k=None,
        top_p=None,
        device=None,
    ):
        return f"{sum(input_ids)} of no picture<|im_end|>"
