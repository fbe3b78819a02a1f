"""Run by MediaPipe's Python: MODEL IMAGES.npy ANSWER.json → lists of [index, name, value], one per image."""

import json
import sys
from pathlib import Path

import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision

model, images, answer = sys.argv[1:]
options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=model))
with vision.ImageClassifier.create_from_options(options) as classifier:
    results = [
        classifier.classify(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image))
        for image in np.load(images)
    ]
answers = [
    [[found.index, found.category_name, found.score] for found in result.classifications[0].categories]
    for result in results
]
Path(answer).write_text(json.dumps(answers))
