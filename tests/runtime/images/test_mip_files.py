import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcdd_runtime.errors import ImageError
from fcdd_runtime.images import mip_files
from fcdd_runtime.images.mip_files import find_images, is_image_folder, read_image

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)


def save(image: Image.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.TIFF"])
def test_grey_images_are_read_as_they_are(name: str, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_image(save(Image.fromarray(GREY), tmp_path / name)), GREY)


def test_grey_in_three_channels_and_with_transparency_counts_as_grey(tmp_path: Path) -> None:
    for mode in ("RGB", "RGBA", "LA"):
        np.testing.assert_array_equal(read_image(save(Image.fromarray(GREY).convert(mode), tmp_path / "a.png")), GREY)


def test_images_are_found_at_any_depth_in_sorted_order(tmp_path: Path) -> None:
    for name in ("b.png", "a/z.tiff", "a/b/c.tif"):
        save(Image.fromarray(GREY), tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    assert [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)] == [
        "a/b/c.tif",
        "a/z.tiff",
        "b.png",
    ]


def test_images_that_would_mislead_are_refused(tmp_path: Path) -> None:
    colour = np.dstack([GREY, GREY, GREY + 1])
    pages = [Image.fromarray(GREY), Image.fromarray(GREY)]
    deep = save(Image.fromarray(GREY.astype(np.uint16) * 300), tmp_path / "deep.tiff")
    pages[0].save(tmp_path / "pages.tiff", save_all=True, append_images=pages[1:])
    (tmp_path / "text.png").write_text("no image")
    whole = save(Image.fromarray(np.random.default_rng(0).integers(0, 255, (99, 99), np.uint8)), tmp_path / "cut.png")
    whole.write_bytes(whole.read_bytes()[:500])
    for path, words in (
        (save(Image.fromarray(colour), tmp_path / "colour.png"), "colours"),
        (deep, "not 8 bits"),
        (tmp_path / "pages.tiff", "several pages"),
        (tmp_path / "text.png", "cannot be read"),
        (whole, "cannot be read"),
    ):
        with pytest.raises(ImageError, match=f"{path.name}.*{words}"):
            read_image(path)


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=tmp_path.name):
        find_images(tmp_path)


def test_pictures_beside_dicom_files_do_not_make_an_image_folder(tmp_path: Path) -> None:
    save(Image.fromarray(GREY), tmp_path / "thumbnail.png")
    assert is_image_folder(tmp_path)
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM" + bytes(10))
    assert not is_image_folder(tmp_path)


def png(mode: int, bits: int, row: bytes) -> bytes:
    """A PNG of one row: colour type, bit depth, and the row's bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 2, 1, bits, mode, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("mode", "bits", "row"),
    [(0, 16, bytes(4)), (2, 16, bytes(12)), (4, 16, bytes(8)), (0, 1, b"\xc0")],
    ids=["grey 16", "RGB 16", "grey and alpha 16", "grey 1"],
)
def test_other_depths_than_8_bits_are_refused_however_pillow_shows_them(
    mode: int, bits: int, row: bytes, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(png(mode, bits, row))
    with pytest.raises(ImageError, match="not 8 bits"):
        read_image(tmp_path / "a.png")


def test_the_same_builder_makes_a_png_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(0, 8, bytes([3, 200])))
    assert read_image(tmp_path / "a.png").tolist() == [[3, 200]]


def test_names_are_sorted_as_text(tmp_path: Path) -> None:
    for name in ("a/1.png", "a-b/1.png"):
        save(Image.fromarray(GREY), tmp_path / name)
    assert [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)] == ["a-b/1.png", "a/1.png"]


def test_a_folder_holds_so_many_images_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mip_files, "MAX_IMAGES", 3)
    for number in range(3):
        save(Image.fromarray(GREY), tmp_path / f"{number}.png")
    assert len(find_images(tmp_path)) == 3
    save(Image.fromarray(GREY), tmp_path / "3.png")
    with pytest.raises(ImageError, match="holds more than 3 images; give them in several parts"):
        find_images(tmp_path)
