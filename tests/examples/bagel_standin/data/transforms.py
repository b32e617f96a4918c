class ImageTransform:
    def __init__(self, max_image_size, min_image_size, image_stride, max_pixels=14 * 14 * 9 * 1024):
        self.sizes = (max_image_size, min_image_size, image_stride)
