import torch


class _Tokenizer:
    pad_token_id, eos_token_id, eos_token = 1, 2, "<|im_end|>"

    def __len__(self):
        return 256

    def __call__(self, text, add_special_tokens):
        assert add_special_tokens is False
        return {"input_ids": list(text.encode())}

    def decode(self, ids, skip_special_tokens):
        return bytes(token for token in ids.tolist() if token > 31).decode()


def get_text_tokenizer(model_path, add_showo_tokens=True, return_showo_token_ids=False, llm_name="qwen2_5"):
    assert add_showo_tokens
    assert return_showo_token_ids
    names = ("bos_id", "eos_id", "boi_id", "eoi_id", "bov_id", "eov_id", "img_pad_id", "vid_pad_id", "img_id")
    return _Tokenizer(), dict(zip(names, (3, 2, 4, 5, 6, 7, 8, 9, 10), strict=False))


def prepare_gen_input(
    prompts, text_tokenizer, num_image_tokens, bos_id, eos_id, boi_id, eoi_id, pad_id, img_pad_id, max_text_len, device
):
    rows = [text_tokenizer(prompt, add_special_tokens=False)["input_ids"][:max_text_len] for prompt in prompts]

    def laid(row):
        return [bos_id, *row, boi_id, *[img_pad_id] * num_image_tokens, eoi_id, eos_id, *[pad_id] * (max_text_len - len(row))]

    def places(row):
        return [[len(row) + 2, num_image_tokens]]

    full, empty = [laid(row) for row in rows], [laid([]) for _ in rows]
    where, nowhere = [places(row) for row in rows], [places([]) for _ in rows]
    return tuple(torch.tensor(each, device=device) for each in (full, empty, where, nowhere))
