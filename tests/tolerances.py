"""Every tolerance the tests use, each derived in a comment."""

# metrics: a few dozen float64 operations on numbers of order one, each within 1.1e-16 relative.
EXACT_ARITHMETIC = 1e-12

# synthetic: a pixel may differ by one grey level where vector units round exp, atan2 and resize differently;
# a mean over 8 × 8 pixels then moves by far less than half a level.
SYNTHETIC_BLOCK_MEAN = 0.5

# imaging: resize against Pillow's BILINEAR, in grey levels. Both round after the first pass, where the exact
# values agree to 255 · n · 2⁻¹⁷ and so differ by at most 1 after rounding; an average of such values differs
# by at most 1 before the second rounding, hence by at most 2. Two needs a tie in both passes at once: with
# photographs, whose neighbours differ little in their rounding, it is not seen.
RESIZE_AGAINST_PILLOW = 2
RESIZE_AGAINST_PILLOW_ON_PHOTOGRAPHS = 1

# imaging: OpenCV and Pillow turn CMYK into RGB by the same product of two bytes / 255, one rounding it and
# the other cutting it off: one grey level.
CMYK_AGAINST_PILLOW = 1

# training: losses in float32 against float64. Logits up to 8 / T and log-probabilities up to 16 are exact to
# 16 · 2⁻²³ ≈ 2e-6; a sum over at most 8 classes, weighted by probabilities, stays within 4e-6, and T² ≤ 16
# multiplies it.
LOSS_FLOAT32 = 1e-4

# training: gradients of the same losses, divided by T before T² multiplies them: T · 2e-6 with T ≤ 200.
GRADIENT_FLOAT32 = 4e-4

# training: 1 − Pearson of float32 rows of order one with a spread of at least 0.1 of their size: mean and
# variance lose two of seven digits.
PEARSON_FLOAT32 = 1e-4

# training: an average of twenty float32 numbers of order one, each step rounded to 2⁻²⁴.
AVERAGE_FLOAT32 = 2e-6

# training: weights of order one after twenty steps of an optimizer in float32: a rounding to 2⁻²⁴ per step,
# and moves of up to 0.1 that are right to eight roundings.
TWENTY_STEPS = 20 * (2**-24 + 0.1 * 8 * 2**-24) * 2

# training: the same batches as sums over two processes. Adadelta at learning rate 1 hands a change of the
# gradient on to the weight at most as it is (√(E[Δ²] + ε) / √ε: 1 at the first step, below 2 for a dozen).
# Gradients below 1 are sums of at most 8 · 30² products, rounded in another order: √7200 · 2⁻²⁴ = 5e-6 each;
# twelve of them of random sign make √12 · 2 · 5e-6. A worker that takes another's rows moves weights by
# Adadelta's own steps, √ε / √0.05 = 1.4e-3 each.
SPREAD_WEIGHTS = 4e-5

# runtimes: kernels that sum the same float32 products in another order. A logit is a sum of some hundred
# products behind four layers of such sums: 4 · √500 · 2⁻²⁴ ≈ 5e-6 of the range of the outputs; with room for
# one unlucky image, a tenth of a step of an 8-bit output at most.
FLOAT_KERNELS_RELATIVE = 5e-5

# converters: an int8 file against its fake-quantized Keras twin, in steps of the output. Both round at the
# same places; the file multiplies in integers and may land on the neighbouring step in any of five layers, of
# which the output sees less than one step on average and three at worst.
INT8_MEAN_STEPS = 0.5
INT8_MAX_STEPS = 3

# converters: weights rounded to 8 bits (dynamic) or to 11 (fp16), the twin's are not. One 8-bit step is the
# range / 255; random errors of half a step per weight mostly cancel in sums of hundreds.
ROUNDED_WEIGHTS_MEAN_STEPS = 1.0

# imaging: OpenCV's colour transform of bytes rounds its nine coefficients to 1/1024 (½ of that on each of
# three channels up to 255) and its result to a whole number.
COLOUR_MAP = 0.5 + 3 * 255 * 0.5 / 1024
# imaging: a hue change turns I and Q of YIQ; as a turn of HSV's hue that angle is stretched or compressed by
# the hexagon's shape, at most 2 : √3 per sector, and by the unequal gains of I and Q (0.5959 and 0.5227).
HUE_TURN_RELATIVE = 2.0
# imaging: a square of 30 of 100 pixels clipped at the edge, its centre rounded to a pixel: one row of 30.
SQUARE_ROUNDING = 0.003

# Input scaling: |x| ≤ 4.4 before and after the offset, where float32 steps are 4.8e-7; a product and a sum
# round to half a step each, in the network and in Keras' own function.
SCALING_ABSOLUTE = 1e-6

# Int8 file against the fake-quantized Keras model, in steps of the output: they add in different orders, so
# a value near the middle of two steps may fall to either side, once in the last layer and once before it.
QUANTIZED_OUTPUT_STEPS = 2

# models: a dead channel of offset 2.5 gets one tap of 2 · 2.5 · 1.5e-5; times inputs up to 6, through kernels
# whose absolute sums are below 4, twice.
MENDED_CHANNEL = 2 * 2.5 * 1.5e-5 * 6 * 4 * 4

# Core ML: weights rounded to half precision (2⁻¹¹ relative each), and with it the values between five layers;
# a logit is a sum of hundreds of such terms, whose errors mostly cancel: a few 2⁻¹¹ of the range.
HALF_PRECISION_RELATIVE = 4 * 2.0**-11

# Core ML: weights from a palette of 16 values found by k-means, an error of about a tenth of their spread;
# over sums of hundreds of terms and three layers, some percent of the range of the outputs: up to 20 of 255.
PALETTE_MEAN_STEPS = 20.0

# Core ML: the same sums in another order behind fifty layers that no training made stable: each layer adds
# rounding of 2⁻²⁴ · √500 of its range and may pass on more than it gets; 50 · 1.3e-6 and a factor 3 for that.
FLOAT_DEEP_RELATIVE = 2e-4

# runtimes: an 8-bit file on XNNPACK against the built-in kernels, in steps of the output. One rounds a
# product once, the other twice, so a value near the middle of two steps lands on the neighbouring one: in any
# of five layers, of which the output sees less than one step each, hardly ever more than two together.
INT8_KERNELS_MAX_STEPS = 2

# runtimes: a dynamic-range file in another runtime. The kernels round the input of every layer to 8 bits
# while running, each with ranges and ties of its own: a value lands up to half a step elsewhere. Half steps
# of random sign mostly cancel in sums of hundreds, as those of rounded weights do: less than one step of 255
# in the output on average.
DYNAMIC_KERNELS_MEAN_STEPS = 1.0

# imaging: an affine warp against OpenCV's exact linear resize. The warp knows positions to 1/32 of a pixel,
# hence to half of that, and rounds: on a picture whose neighbours differ by at most 20 levels in either
# direction, 2 · 20 / 64 and two roundings of ½.
WARP_ROUNDING = 2
# imaging: coordinates read off a picture that rises by one level a pixel, each rounded to ½ and 1/64 of a
# pixel; a straight line fitted to at least 500 of them over 20 pixels is off by far less than 0.02.
WARP_POSITION = 0.02

# report: coordinates in float32, sums of 20 products of float32 features up to 45: 20 · 45 · 2⁻²⁴.
PROJECTION_FLOAT32 = 6e-5
