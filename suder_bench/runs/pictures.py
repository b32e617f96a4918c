"""Pictures of responses, decoded before they are judged."""

from __future__ import annotations

from dataclasses import dataclass, replace

from PIL import Image

from suder_bench.errors import PictureError
from suder_bench.records import Answered, open_image
from suder_bench.runs.seen import picture_digest


@dataclass(frozen=True, kw_only=True)
class Decoded(Answered):
    """A response with its picture in memory."""

    picture: Image.Image

    def open_image(self) -> Image.Image:
        return self.picture


def decoded(one: Answered) -> Answered | PictureError:
    """With its picture in memory, and the picture's digest where the response has none yet; a text stays what it is.

    A picture that cannot be read is an answer too, for the others must be judged.
    """
    if one.source is None:
        return one
    try:
        picture = open_image(one.source)
    except PictureError as error:
        return error
    response = one.response if one.response.digest else replace(one.response, digest=picture_digest(picture))
    return Decoded(one.sample, response, one.source, picture=picture)
