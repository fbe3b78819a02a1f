"""Hair removal: hairs go, skin stays, odd pictures do no harm, and memory does not grow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd.config import HairRemoval
from edgekd.errors import UsageError
from edgekd.imaging.decode import read_image
from edgekd.imaging.hair import hair_mask, remove_hair
from edgekd.imaging.opencv import cv2
from hair_pictures import skin, with_hairs

METHODS = (HairRemoval.ADEPU2023, HairRemoval.ORIENTED)


def test_none_is_the_picture_itself() -> None:
    image = skin(40, 50, 1)
    assert remove_hair(image, HairRemoval.NONE) is image
    assert not hair_mask(image, HairRemoval.NONE).any()


@pytest.mark.parametrize("method", METHODS)
def test_only_the_mask_is_changed_and_the_input_is_left_alone(method: HairRemoval) -> None:
    image, _ = with_hairs(skin(180, 240, 2), 2)
    image.setflags(write=False)
    before = image.copy()
    out, mask = remove_hair(image, method), hair_mask(image, method)
    np.testing.assert_array_equal(image, before)
    assert set(np.unique(mask)) == {0, 255}
    np.testing.assert_array_equal(out[mask == 0], image[mask == 0])
    assert (out.dtype, out.shape) == (np.uint8, image.shape)
    np.testing.assert_array_equal(out, remove_hair(np.asfortranarray(image), method))


def _enlarged(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR), np.uint8)


def test_oriented_finds_hairs_and_brings_the_skin_back() -> None:
    """Straight hairs over even skin, also at three times the size."""
    for scale in (1, 3):
        for seed in range(5):
            clean = skin(256, 340, seed)
            hairy, marked = with_hairs(clean, seed)
            clean, hairy, marked = (_enlarged(one, scale) for one in (clean, hairy, marked))
            truth = marked > 127
            mask = hair_mask(hairy, HairRemoval.ORIENTED) > 0
            near = cv2.dilate(truth.astype(np.uint8), np.ones((6 * scale + 1,) * 2, np.uint8)) > 0
            assert mask[truth].mean() > 0.98
            assert near[mask].mean() > 0.99
            error = np.abs(remove_hair(hairy, HairRemoval.ORIENTED).astype(int) - clean)[truth].mean()
            # Untouched they are more than 100 levels off; the noise of 2 levels cannot be brought back.
            assert error < 4


def test_oriented_leaves_dots_patches_and_soft_edges_alone() -> None:
    image = skin(256, 256, 3)
    for x in range(30, 250, 40):
        cv2.circle(image, (x, 60), 4, (90, 60, 50), cv2.FILLED, cv2.LINE_AA)
        cv2.rectangle(image, (x, 180), (x + 12, 192), (90, 60, 50), cv2.FILLED)
    assert not hair_mask(image, HairRemoval.ORIENTED).any()
    assert hair_mask(image, HairRemoval.ADEPU2023).any()


@pytest.mark.parametrize("method", METHODS)
def test_even_skin_is_returned_as_it_is(method: HairRemoval) -> None:
    image = skin(256, 300, 4, grain=0.5)
    np.testing.assert_array_equal(remove_hair(image, method), image)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (1, 500), (500, 1), (3, 900), (7, 5), (40, 2000)]
)
def test_any_shape_gives_the_same_shape(method: HairRemoval, shape: tuple[int, int]) -> None:
    rng = np.random.Generator(np.random.PCG64([7, *shape]))
    grey = np.repeat(rng.integers(0, 256, (*shape, 1), np.uint8), 3, axis=2)
    pictures = (
        rng.integers(0, 256, (*shape, 3), np.uint8),
        grey,
        np.zeros((*shape, 3), np.uint8),
        np.full((*shape, 3), 255, np.uint8),
    )
    for image in pictures:
        out, mask = remove_hair(image, method), hair_mask(image, method)
        assert (out.shape, mask.shape) == (image.shape, shape)
        np.testing.assert_array_equal(out[mask == 0], image[mask == 0])
    for constant in pictures[2:]:
        np.testing.assert_array_equal(remove_hair(constant, method), constant)


@pytest.mark.parametrize("method", METHODS)
def test_a_grey_picture_stays_grey(method: HairRemoval) -> None:
    hairy, _ = with_hairs(skin(160, 160, 8), 8)
    grey = np.repeat(cv2.cvtColor(hairy, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    out = remove_hair(grey, method)
    assert not np.array_equal(out, grey)
    assert np.ptp(out.astype(int), axis=2).max() <= 1


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_anything_else_is_refused(image: NDArray[np.uint8]) -> None:
    for call in (remove_hair, hair_mask):
        for method in HairRemoval:
            with pytest.raises(UsageError, match=r"hair: expected uint8 \[H, W, 3\]"):
                call(image, method)


@pytest.mark.real
def test_clean_skin_is_hardly_touched_by_the_oriented_method(shared: Path) -> None:
    changed: dict[HairRemoval, list[float]] = {method: [] for method in METHODS}
    for path in sorted((shared / "data/hair/control").glob("*.jpg")):
        image = read_image(path)
        for method, shares in changed.items():
            shares.append(float((hair_mask(image, method) > 0).mean()))
    assert np.mean(changed[HairRemoval.ORIENTED]) < 0.5 * np.mean(changed[HairRemoval.ADEPU2023])
    assert np.mean(changed[HairRemoval.ORIENTED]) < 0.01


_MANY = """
import resource, sys
import numpy as np
from edgekd.config import HairRemoval
from edgekd.imaging.hair import remove_hair
from hair_pictures import skin, with_hairs
pictures = [with_hairs(skin(150 + 7 * n, 200 + 5 * n, n), n)[0] for n in range(8)]
def peak():
    for number in range(int(sys.argv[1])):
        for method in HairRemoval:
            remove_hair(pictures[number % 8], method)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak(), peak(), peak())
"""


def test_memory_does_not_grow_with_the_number_of_pictures() -> None:
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {tests!r})\n{_MANY}", "80"],
        check=True,
        capture_output=True,
        text=True,
    )
    first, second, third = map(int, done.stdout.split())
    # Kilobytes; one picture held back each time would be 160 × 150 kB = 24 MB.
    assert third - first < 4_000
    assert second <= third
