"""Reading and writing TFLite flatbuffers and what they say about themselves."""
