"""Networks: the catalogue, their scaling, their first weights, and quantization-aware copies."""
