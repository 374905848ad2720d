"""A program of its own: an image on standard input, its thumbnail on standard output.

It has limits on memory and time and knows no secret, because it decodes what others have made: a picture that
unpacks to gigabytes, or that breaks a decoder, ends only this process. `files.thumbnails` starts it.
"""

import io
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageOps

MEMORY_BYTES = 512 * 2**20
CPU_S = 20
# 8K (7680 × 4320) and a little more: checked in the file's header, before anything is unpacked.
MAX_PIXELS = 36_000_000
LONGEST_SIDE = 384
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF")
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
FAILED = 1


def main() -> int:
    limit_process()
    try:
        thumbnail = make_thumbnail(sys.stdin.buffer.read())
    except Exception:  # decoders raise errors of many kinds, and each means the same: there is no thumbnail
        return FAILED
    sys.stdout.buffer.write(thumbnail)
    return 0


def make_thumbnail(data: bytes) -> bytes:
    """A WebP of at most LONGEST_SIDE pixels, upright; of an animation the first frame. Raises if it fails."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS or image.mode not in MODES:
            raise ValueError("the image is too large, or not shown on screens")
        # A JPEG is decoded at a reduced size already.
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), reducing_gap=2.0)
        upright = ImageOps.exif_transpose(image)
        shown = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    target = io.BytesIO()
    shown.save(target, "WEBP", quality=80)
    return target.getvalue()


def limit_process() -> None:
    """What a system does not offer is left out: the limits in `make_thumbnail` hold everywhere."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    # It gives way to the service, but gets its share of a busy processor.
    with suppress(OSError):
        os.nice(4)
    # Where memory runs out, Linux is to end this process rather than the service.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    sys.exit(main())
