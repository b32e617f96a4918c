from pathlib import Path

import torch


def load_ae(local_path):
    assert Path(local_path).name == "ae.safetensors"
    return torch.nn.Identity(), {"z_channels": 16}
