"""From the bytes of an image file to the uint8 RGB pixels a network sees.

`decode` reads files (`headers` looks at them first), `hair` takes hairs out, `resample` is the definition of
crop and resize, `augment` makes training views, `opencv` is where the house gets OpenCV from.
"""
