"""RAdam, the optimizer that the paper's networks were trained with (section 4.1)."""

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf


@tf.keras.utils.register_keras_serializable(package="larq_melius")
class RAdam(tf.keras.optimizers.Optimizer):
    """Adam whose step is rectified while few gradients have been seen (Liu et al., arXiv 1908.03265).

    With the moments ``m`` and ``v`` of Adam after update ``t``, and ``rho = rho_inf - 2 t beta_2^t / (1 - beta_2^t)``
    where ``rho_inf = 2 / (1 - beta_2) - 1``, a weight moves by ``-lr * m / (1 - beta_1^t)``, and as soon as
    ``rho > 5`` also times ``r * sqrt(1 - beta_2^t) / (sqrt(v) + epsilon)``, where ``r^2 = (rho - 4) (rho - 2) rho_inf
    / ((rho_inf - 4) (rho_inf - 2) rho)``. This is what ``torch.optim.RAdam`` computes, with decoupled weight decay.

    ``t`` counts updates. Keras' ``iterations``, which schedules go by, also counts the batches that a
    ``LossScaleOptimizer`` skips because of a gradient that is not finite.

    A saved model that was compiled with it loads without ``custom_objects`` once this module is imported.

    Args:
        learning_rate: A number or a schedule.
        beta_1: Decay of the first moment. The authors' code, as that of its MXNet, has 0.95 and not Adam's 0.9.
        beta_2: Decay of the second moment.
        epsilon: Added to the root of the second moment; 1e-5 in the authors' code.
        weight_decay: Decoupled weight decay: the share of a weight, per step and unit of learning rate.
        clipnorm: Largest norm of a gradient.
        clipvalue: Largest absolute value in a gradient.
        global_clipnorm: Largest norm of all gradients together.
        use_ema: Whether to keep an exponential moving average of the weights.
        ema_momentum: Its decay.
        ema_overwrite_frequency: Steps after which the average replaces the weights; never if ``None``.
        jit_compile: Whether XLA compiles the update; Keras does so on GPUs only.
        name: Name of the optimizer.
        **kwargs: What Keras stores in a config beside these.

    Raises:
        ValueError: If a beta is not at least 0 and below 1, or epsilon not above 0.
    """

    def __init__(
        self,
        learning_rate: float | tf.keras.optimizers.schedules.LearningRateSchedule = 0.002,
        beta_1: float = 0.95,
        beta_2: float = 0.999,
        epsilon: float = 1e-5,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        jit_compile: bool = True,
        name: str = "RAdam",
        **kwargs: Any,
    ) -> None:
        for label, beta in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= beta < 1:
                raise ValueError(f"{label} must be at least 0 and below 1, got {beta}.")
        # A weight that never had a gradient would be moved by 0 / 0.
        if not epsilon > 0:
            raise ValueError(f"epsilon must be above 0, got {epsilon}.")
        super().__init__(
            name=name,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            jit_compile=jit_compile,
            **kwargs,
        )
        self._learning_rate = self._build_learning_rate(learning_rate)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        with tf.init_scope():
            self._updates = self.add_variable([], tf.int64, name="updates")
            # What follows from the count alone: computed once for an update, and not for each of hundreds of weights.
            self._rectified = tf.Variable(False, trainable=False, name="rectified")
            self._scale = tf.Variable(1.0, dtype=tf.float64, trainable=False, name="scale")

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        """Makes the moments of every variable."""
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        self._built = True
        self._first_moments = [self.add_variable_from_reference(variable, "m") for variable in var_list]
        self._second_moments = [self.add_variable_from_reference(variable, "v") for variable in var_list]

    def apply_gradients(
        self,
        grads_and_vars: Iterable[tuple[Any, tf.Variable]],
        name: str | None = None,
        skip_gradients_aggregation: bool = False,
        **kwargs: Any,
    ) -> tf.Variable:
        """Updates the variables, as every optimizer of Keras does."""
        grads_and_vars = list(grads_and_vars)
        if grads_and_vars:
            self._count_update()
        return super().apply_gradients(grads_and_vars, name, skip_gradients_aggregation, **kwargs)

    def _count_update(self) -> None:
        self._updates.assign_add(1)
        # Float32 has not the digits for rho, a difference of numbers near 2000.
        count = tf.cast(self._updates, tf.float64)
        decayed = tf.constant(self.beta_2, tf.float64) ** count
        debias_1 = 1 - tf.constant(self.beta_1, tf.float64) ** count
        debias_2 = 1 - decayed
        rho_inf = 2 / (1 - self.beta_2) - 1
        rho = rho_inf - 2 * count * decayed / debias_2
        rectified = rho > 5
        # Up to 5 the root is not used, and may not exist.
        rho, rho_inf = tf.maximum(rho, 5), max(rho_inf, 5)
        rectification = (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)
        self._rectified.assign(rectified)
        self._scale.assign(tf.where(rectified, tf.sqrt(rectification * debias_2), 1) / debias_1)

    def update_step(self, gradient: Any, variable: tf.Variable) -> None:
        """Moves one variable along its gradient."""
        index = self._index_dict[self._var_key(variable)]
        first, second = self._first_moments[index], self._second_moments[index]
        if isinstance(gradient, tf.IndexedSlices):
            first.assign_add(-first * (1 - self.beta_1))
            first.scatter_add(tf.IndexedSlices(gradient.values * (1 - self.beta_1), gradient.indices))
            second.assign_add(-second * (1 - self.beta_2))
            second.scatter_add(tf.IndexedSlices(tf.square(gradient.values) * (1 - self.beta_2), gradient.indices))
        else:
            first.assign_add((gradient - first) * (1 - self.beta_1))
            second.assign_add((tf.square(gradient) - second) * (1 - self.beta_2))
        rate = tf.cast(self.learning_rate, variable.dtype) * tf.cast(self._scale, variable.dtype)
        divisor = tf.where(self._rectified, tf.sqrt(second) + self.epsilon, 1)
        variable.assign_sub(rate * first / divisor)
        # Keras averages first and applies the constraint later, so the average would break it.
        if self.use_ema and variable.constraint is not None:
            variable.assign(variable.constraint(variable))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "learning_rate": self._serialize_hyperparameter(self._learning_rate),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }
