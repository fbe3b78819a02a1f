"""What a phone, browser or server project copies in: a model, its card, golden answers, and a manifest.

BUNDLE/manifest.json   edgekd.bundle/1: what the folder is, and sha256 and size of every other file
BUNDLE/model.tflite    (iOS: model.mlpackage/)
BUNDLE/card.json       edgekd.card/1: every fact an application needs
BUNDLE/golden/         edgekd.golden/1: pictures, the pixels made of them, and the logits they get
BUNDLE/LICENSE README.md
BUNDLE/model.sig       only when signed; with manifest.json the only file the manifest does not list
"""
