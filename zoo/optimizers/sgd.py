"""SGD as GluonCV trains 32-bit networks with it (paper, section 4.2)."""

from typing import Any

import tensorflow as tf


@tf.keras.utils.register_keras_serializable(package="larq_melius", name="CoupledSGD")
class SGD(tf.keras.optimizers.SGD):
    """Keras' SGD with weight decay as an L2 penalty: added to the gradient, and so accumulated in the momentum.

    With the rate ``lr`` and the momentum ``m``, a weight ``w`` of gradient ``g`` is updated by

        ``m = momentum * m - lr * (g + weight_decay * w)`` and ``w = w + m``,

    which is MXNet's ``sgd_mom_update``, and for a constant rate ``torch.optim.SGD``. Keras' own ``weight_decay`` is
    decoupled, ``w = w - lr * weight_decay * w + m``: at a momentum of 0.9, the weights decay ten times more slowly.

    Every trained parameter decays, the gammas, betas and biases too, as ``gluon.Trainer`` and GluonCV's
    ``scripts/classification/imagenet/train_imagenet.py`` have it unless its later option ``--no-wd`` is given. Decay
    is added after gradients are clipped. Use ``exclude_from_weight_decay`` to leave out variables.

    Args:
        learning_rate: A number or a schedule.
        momentum: Decay of the accumulated updates.
        weight_decay: Factor of the weight that is added to its gradient; none by default.
        **kwargs: The other arguments of ``tf.keras.optimizers.SGD``.
    """

    def __init__(
        self,
        learning_rate: float | tf.keras.optimizers.schedules.LearningRateSchedule = 0.1,
        momentum: float = 0.9,
        weight_decay: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, momentum=momentum, weight_decay=weight_decay, **kwargs)

    def _apply_weight_decay(self, variables: Any) -> None:
        """Leaves the variables alone: Keras' hook for decoupled decay."""

    def update_step(self, gradient: Any, variable: tf.Variable) -> None:
        """Moves one variable along its gradient."""
        if self.weight_decay is not None and self._use_weight_decay(variable):
            # The penalty's gradient is dense, whatever the loss's is.
            gradient = tf.convert_to_tensor(gradient) + self.weight_decay * variable
        super().update_step(gradient, variable)
