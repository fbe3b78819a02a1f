"""What a CycleGAN learns by: losses against NumPy, the pool of earlier pictures, the schedule, the grid."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgekd.errors import UsageError
from tolerances import LOSS_FLOAT32

pytestmark = pytest.mark.tf


def numbers(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def test_the_generators_loss_is_that_of_the_paper() -> None:
    from edgekd.training.synthesis.losses import Translated, generator_losses

    kinds = []
    expected = {"adversarial": 0.0, "cycle": 0.0, "identity": 0.0}
    for kind in range(2):
        x, cycled, same = (numbers(3, 8, 8, 3, seed=10 * kind + n) for n in range(3))
        judged = numbers(3, 2, 2, 1, seed=10 * kind + 3)
        kinds.append(Translated(photographs=x, cycled=cycled, same=same, judged=judged))
        expected["adversarial"] += np.mean((judged.astype(np.float64) - 1) ** 2)
        expected["cycle"] += np.mean(np.abs(cycled.astype(np.float64) - x))
        expected["identity"] += np.mean(np.abs(same.astype(np.float64) - x))
    found = generator_losses(*kinds, cycle_weight=10.0, identity_weight=0.5)
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, abs=LOSS_FLOAT32)
    whole = expected["adversarial"] + 10 * expected["cycle"] + 0.5 * expected["identity"]
    assert float(found["generators"]) == pytest.approx(whole, abs=10 * LOSS_FLOAT32)


def test_the_discriminators_loss_wants_ones_and_zeros() -> None:
    from edgekd.training.synthesis.losses import discriminator_loss

    real, made = numbers(2, 3, 3, 1, seed=1), numbers(2, 3, 3, 1, seed=2)
    expected = 0.5 * (np.mean((real.astype(np.float64) - 1) ** 2) + np.mean(made.astype(np.float64) ** 2))
    assert float(discriminator_loss(real, made)) == pytest.approx(expected, abs=LOSS_FLOAT32)
    assert (
        float(discriminator_loss(np.ones((1, 2, 2, 1), np.float32), np.zeros((1, 2, 2, 1), np.float32))) == 0
    )


def pictures(first: int, count: int) -> np.ndarray:
    """Pictures of one pixel that hold their number."""
    return np.arange(first, first + count, dtype=np.float32).reshape(-1, 1, 1, 1).repeat(3, axis=3)


def test_the_pool_hands_on_what_it_keeps_until_it_is_full() -> None:
    from edgekd.training.synthesis.pool import ImagePool

    pool = ImagePool(6, seed=1, name="p")
    for step in range(3):
        np.testing.assert_array_equal(pool.exchange(pictures(2 * step, 2), step), pictures(2 * step, 2))
    np.testing.assert_array_equal(np.stack(pool.kept), pictures(0, 6))


def test_a_full_pool_exchanges_half_and_loses_nothing() -> None:
    from edgekd.training.synthesis.pool import ImagePool

    pool = ImagePool(50, seed=1, name="p")
    shown = [pool.exchange(pictures(4 * step, 4), step) for step in range(500)]
    assert len(pool.kept) == 50
    later = np.concatenate(shown[13:])[:, 0, 0, 0]
    new = np.arange(52, 2000)
    # 1,948 fair coins: four standard deviations are 0.045.
    assert np.mean(later == new) == pytest.approx(0.5, abs=0.045)
    kept = [float(picture[0, 0, 0]) for picture in pool.kept]
    handed = np.concatenate(shown)[:, 0, 0, 0].tolist()
    # The first fifty were handed on as they came, and again when they left; all others once, or are kept.
    assert sorted([*handed, *kept]) == sorted([*range(50), *range(2000)])


def test_a_pool_of_nothing_changes_nothing_and_chance_depends_on_the_step_alone() -> None:
    from edgekd.training.synthesis.pool import ImagePool

    none = ImagePool(0, seed=1, name="p")
    np.testing.assert_array_equal(none.exchange(pictures(0, 3), 0), pictures(0, 3))
    assert none.kept == []
    one, other = ImagePool(4, seed=1, name="p"), ImagePool(4, seed=1, name="p")
    for step in range(9):
        one.exchange(pictures(step, 1), step)
    other.kept = list(one.kept)
    np.testing.assert_array_equal(one.exchange(pictures(50, 9), 9), other.exchange(pictures(50, 9), 9))


def test_the_rate_is_whole_for_half_of_the_steps_and_then_falls_to_nothing() -> None:
    from edgekd.training.synthesis.gan import linear_decay

    parts = [linear_decay(step, 8) for step in range(9)]
    assert parts == pytest.approx([1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0])


def test_a_grid_shows_every_picture_in_its_place() -> None:
    from edgekd.training.synthesis.pictures import grid

    columns = [np.full((2, 64, 64, 3), shade, np.uint8) for shade in (10, 20, 30)]
    columns[1][1] = 99
    sheet = grid(columns)
    assert sheet.shape == (2 * 130 + 2, 3 * 130 + 2, 3)
    assert [int(sheet[60, left, 0]) for left in (60, 190, 320)] == [10, 20, 30]
    assert sheet[190, 190, 0] == 99
    assert sheet[1, 1, 0] == sheet[131, 60, 0] == 255


def test_a_png_holds_the_pixels(tmp_path) -> None:
    from edgekd.imaging.decode import read_image
    from edgekd.training.synthesis.pictures import write_png

    picture = np.random.default_rng(1).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture)
    assert cv2.imread(str(tmp_path / "a.png"))[0, 0].tolist() == picture[0, 0, ::-1].tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"px": 30}, "px is 30"),
        ({"width": 0.0}, "width is 0.0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"count": -1}, "count is -1"),
        ({"beta_1": 1.0}, "beta_1 is 1.0"),
    ],
)
def test_a_contradictory_wish_is_refused(change: dict[str, float], message: str) -> None:
    from edgekd.training.synthesis.config import SynthesisConfig

    with pytest.raises(UsageError, match=message):
        SynthesisConfig(**change)
