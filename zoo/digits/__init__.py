"""The network that the package ships: MeliusNetTiny, trained on scikit-learn's handwritten digits."""
