"""The losses of CycleGAN with least squares (Zhu et al. 2017, sections 3 and 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekd import lazy

tf = lazy.tensorflow()


@dataclass(frozen=True, kw_only=True)
class Translated:
    """A batch of photographs x of one kind, float32 [n, px, px, 3], and what became of it.

    `cycled` is x turned into the other kind and back; `same` is x through the generator that makes its own
    kind, which should leave it alone; `judged` is what the discriminator of the other kind says of x turned
    into it, [n, k, k, 1].
    """

    photographs: Any
    cycled: Any
    same: Any
    judged: Any


def least_squares(answers: Any, target: float) -> Any:
    """The mean of (answer − target)² (Mao et al. 2017, arXiv 1611.04076), a scalar."""
    return tf.reduce_mean(tf.square(answers - target))


def absolute(one: Any, other: Any) -> Any:
    """The mean of |one − other| over all pixels and channels, a scalar."""
    return tf.reduce_mean(tf.abs(one - other))


def generator_losses(*kinds: Translated, cycle_weight: float, identity_weight: float) -> dict[str, Any]:
    """What both generators minimise, summed over both kinds of pictures.

    `loss` = `adversarial` + `cycle_weight` · `cycle` + `identity_weight` · `identity`, the terms being
    (D(G(x)) − 1)², |F(G(x)) − x| and |F(x) − x|.
    """
    adversarial = tf.add_n([least_squares(kind.judged, 1.0) for kind in kinds])
    cycle = tf.add_n([absolute(kind.cycled, kind.photographs) for kind in kinds])
    identity = tf.add_n([absolute(kind.same, kind.photographs) for kind in kinds])
    loss = adversarial + cycle_weight * cycle + identity_weight * identity
    return {"generators": loss, "adversarial": adversarial, "cycle": cycle, "identity": identity}


def discriminator_loss(real: Any, made: Any) -> Any:
    """What a discriminator minimises: half of (D(real) − 1)² + D(made)², a scalar; both [n, k, k, 1]."""
    return 0.5 * (least_squares(real, 1.0) + least_squares(made, 0.0))
