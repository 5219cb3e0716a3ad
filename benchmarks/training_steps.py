"""Trains a network on random images, a step for each line of stdin, and prints how many seconds it took.

python training_steps.py MeliusNet22 16 --set precision=mixed_bfloat16
"""

import time

import click

from larq_melius.zoo.data import load_data, training_batches
from larq_melius.zoo.recipes import load_recipe
from larq_melius.zoo.training.network import precision, training_network
from larq_melius.zoo.training.optimization import learning_rate, optimizer_for
from larq_melius.zoo.training.steps import FlipCounter, Steps


@click.command()
@click.argument("network")
@click.argument("batch_size", type=int)
@click.option("--size", type=int, default=224, show_default=True, help="Side of the images in pixels.")
@click.option("--set", "settings", multiple=True, help="A field of the recipe.")
def main(network: str, batch_size: int, size: int, settings: tuple[str, ...]) -> None:
    """Times the steps of one network."""
    recipe = load_recipe(network, dataset="synthetic", settings=[f"batch_size={batch_size}", *settings])
    data = load_data("synthetic", image_size=size)
    with precision(recipe.precision):
        model = training_network(recipe, data)
        optimizer = optimizer_for(recipe, learning_rate(recipe, data.sizes["train"] // batch_size))
        optimizer.build(model.trainable_variables)
        steps = Steps(model, optimizer, recipe, FlipCounter(model, recipe.flips))
        batches = training_batches(data, augmentation="none", batch_size=batch_size, epoch=1, seed=1)
        # One batch again and again: the input pipeline is not what is measured.
        images = iter(batches.take(1).cache().repeat().prefetch(2))
        steps.train(images, 1)
        print("ready", flush=True)
        for _ in iter(input, "end"):
            started = time.monotonic()
            steps.train(images, 1)
            steps.read()
            print(time.monotonic() - started, flush=True)


if __name__ == "__main__":
    main()
