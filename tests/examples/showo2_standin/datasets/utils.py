import numpy as np
import torch


def image_transform(image, resolution=256, normalize=True):
    return torch.tensor(np.asarray(image.resize((resolution, resolution)))).permute(2, 0, 1) / 127.5 - 1
