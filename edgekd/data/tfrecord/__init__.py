"""TFRecord shards of prepared images, written and read without TensorFlow."""
