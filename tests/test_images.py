"""Pins the reading of image files: orientation, 16 bits, pages, types, the limit of their size."""

import io
import math
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from dtgan import images


def _encode(array, kind, **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    file.seek(0)
    return file


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("tag", "upright"),
    [
        (1, lambda a: a),
        (2, np.fliplr),
        (3, lambda a: np.rot90(a, 2)),
        (4, np.flipud),
        (5, np.transpose),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a, 2).T),
        (8, np.rot90),
    ],
)
def test_files_are_turned_as_viewers_turn_them(kind, tag, upright):
    stored, exif = np.zeros((16, 24), np.uint8), Image.Exif()
    stored[:8, :8], stored[:8, 16:] = 255, 128
    exif[0x0112] = tag
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
    picture = images.decode(_encode(stored, kind, exif=exif, **options))
    assert picture.orientation == tag
    read = images.to_array(picture, 1)[..., 0].astype(int)
    assert read.shape == upright(stored).shape
    assert np.abs(read - upright(stored)).max() < 8


def test_broken_exif_data_are_ignored_as_viewers_do():
    stored = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for broken in (b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12"):
        read = images.read_image(_encode(stored, "PNG", exif=broken))
        np.testing.assert_array_equal(read[..., 0], stored)


@pytest.mark.parametrize(("kind", "order"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2")])
def test_white_is_a_value_of_16_bit_files_alone(kind, order):
    values = np.asarray([[0, 8, 9, 2048], [4094, 4095, 4096, 65535]], np.uint16)
    mode = "I;16B" if order == ">u2" else "I;16"
    file = io.BytesIO()
    Image.frombytes(mode, (4, 2), values.astype(order).tobytes()).save(file, kind)
    picture = images.decode(file)
    assert picture.wide and not picture.narrowed
    read = images.to_array(picture, 1, white=4095)[..., 0]
    np.testing.assert_array_equal(read, [[0, 0, 1, 128], [255, 255, 255, 255]])
    eight = images.read_image(_encode(np.full((2, 2), 9, np.uint8), "PNG"), white=4095)
    assert (eight == 9).all()


def _wide_colour(values):
    """Encode uint16 [H, W, 3] as a PNG, which Pillow does not write."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


def test_16_bit_colour_is_told_from_8_bit_colour():
    values = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert not images.decode(_encode(values, "PNG")).wide
    picture = images.decode(_wide_colour(values.astype(np.uint16) * 257))
    assert picture.wide and picture.narrowed
    np.testing.assert_array_equal(images.to_array(picture), values)


@pytest.mark.parametrize(("kind", "pages"), [("TIFF", 3), ("GIF", 3), ("WEBP", 3), ("PNG", 3)])
def test_pages_are_counted_and_the_first_is_read(kind, pages):
    frames = [Image.fromarray(np.full((8, 8), 60 * k, np.uint8)) for k in range(pages)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    picture = images.decode(file)
    assert picture.pages == pages and images.to_array(picture, 1).max() < 8


def test_large_files_are_refused_by_our_limit_and_read_below_it(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    file = _encode(np.zeros((32, 32), np.uint8), "PNG")
    with pytest.raises(images.TooLarge, match=r"0.002 megapixels, above data.max_megapixels=0.001"):
        images.read_image(file, max_megapixels=0.001)
    file.seek(0)
    assert images.read_image(file).shape == (32, 32, 1)
    file.seek(0)
    assert images.read_image(file, max_megapixels=math.inf).shape == (32, 32, 1)
    assert Image.MAX_IMAGE_PIXELS == 50


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ({"max_megapixels": 0.007}, "0.008 megapixels, above data.max_megapixels=0.007"),
        ({"max_compression": 5.0}, r"times the bytes .*, above data.max_compression=5; raise it"),
    ],
)
def test_a_format_that_takes_memory_as_it_is_opened_is_refused_before(
    tmp_path, monkeypatch, limit, told
):
    file = tmp_path / "large.webp"
    Image.new("L", (100, 80)).save(file)
    opened = []
    monkeypatch.setattr("PIL._webp.WebPAnimDecoder", lambda *_: opened.append(1))
    monkeypatch.setattr(images, "_SMALL", 0.0)
    with pytest.raises(images.TooLarge, match=told):
        images.read_image(file, **limit)
    assert not opened


@pytest.mark.parametrize(
    ("mode", "options"),
    [("RGB", {}), ("RGB", {"lossless": True}), ("RGBA", {"exif": b"Exif\0\0"})],
    ids=["VP8", "VP8L", "VP8X"],
)
def test_the_head_of_webp_tells_its_size(request, mode, options):
    file = io.BytesIO()
    Image.new(mode, (101, 79), 7).save(file, "WEBP", **options)
    assert file.getvalue()[12:16].decode().strip() in request.node.name
    assert images._webp_pixels(file) == 101 * 79


def test_many_pixels_of_few_bytes_are_refused_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(images, "_SMALL", 0.0)
    file = _encode(np.zeros((256, 256), np.uint8), "PNG")
    with pytest.raises(images.TooLarge, match=r"max_compression=20; raise it .*max_compression="):
        images.read_image(file, max_compression=20.0)
    file.seek(0)
    assert images.read_image(file, max_compression=1e6).shape == (256, 256, 1)
    noise = np.random.default_rng(0).integers(0, 256, (256, 256), np.uint8)
    assert images.read_image(_encode(noise, "PNG"), max_compression=20.0).shape == (256, 256, 1)


def test_formats_of_other_programs_are_not_opened(tmp_path, monkeypatch):
    """PostScript, which Pillow hands to Ghostscript, under the name of a PNG."""
    (tmp_path / "a.png").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    )
    with Image.open(tmp_path / "a.png") as known:
        assert known.format == "EPS"
    with pytest.raises(UnidentifiedImageError):
        images.read_image(tmp_path / "a.png")


@pytest.mark.parametrize("values", [[[-1, 5]], [[0, 65536]], [[2**31 - 1, 0]]])
def test_values_beyond_16_bits_are_refused_not_clipped(values):
    file = _encode(np.array(values, np.int32), "TIFF")
    with pytest.raises(images.OutOfRange, match="convert it to 16 bit"):
        images.read_image(file)


@pytest.mark.parametrize("suffix", images.SUFFIXES)
def test_every_suffix_is_read(suffix, tmp_path):
    kind = Image.registered_extensions()[suffix]
    stored = np.full((16, 16), 255, np.uint8)
    Image.fromarray(stored).convert("1" if suffix == ".pbm" else "RGB").save(tmp_path / "a", kind)
    assert abs(int(images.read_image(tmp_path / "a", 1).mean()) - 255) < 3


def test_cmyk_and_palettes_are_colours():
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    for image, kind in (
        (Image.fromarray(red).convert("CMYK"), "JPEG"),
        (Image.fromarray(red).quantize(4), "PNG"),
        (Image.fromarray(red).convert("RGBA"), "PNG"),
    ):
        file = io.BytesIO()
        image.save(file, kind)
        assert np.abs(images.read_image(file, 3)[0, 0].astype(int) - (255, 0, 0)).max() < 8
