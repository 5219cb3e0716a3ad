"""Export of Keras models to TFLite flatbuffers, with proof that each is right."""
