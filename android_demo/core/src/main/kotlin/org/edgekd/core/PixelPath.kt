package org.edgekd.core

/**
 * Makes the pixels of a network whose input is [px] × [px]: the centre square of an upright picture, resized
 * by `edgekd.resample/1`, as RGB bytes. Bit for bit what `edgekd.imaging.prepare` gives in Python.
 *
 * Transparent pixels are laid over white: `(colour · alpha + 255 · (255 − alpha) + 127) / 255`, as there.
 * Memory: a band of at most [BAND_PIXELS] pixels or one row, whatever the picture; it is kept, so that a
 * second picture of the same size allocates nothing. One thread at a time.
 */
public class PixelPath(public val px: Int) {
    init {
        require(px in 1..PictureLimits.MAX_INPUT_PX) { "px is $px, 1 to ${PictureLimits.MAX_INPUT_PX} is expected" }
    }

    /** The number of bytes that come out. */
    public val byteCount: Int = px * px * CHANNELS

    private val line = IntArray(px * CHANNELS)
    private var band = IntArray(0)
    private var across = Coefficients(px, px)
    private var down = across
    private var sums = Array(down.open) { IntArray(line.size) }

    /**
     * Writes the centre square of [picture] at the size of the network, RGB, row-major, to [into].
     *
     * @throws EdgekdError.PictureTooLarge see [PictureLimits]
     * @throws EdgekdError.EmptyPicture it has no pixels
     */
    public fun prepare(picture: Picture, into: ByteArray) {
        val side = minOf(picture.width, picture.height)
        resize(picture, (picture.width - side) / 2, (picture.height - side) / 2, side, side, into)
    }

    /** Writes the whole [picture] to [into], distorted where it is not square; otherwise as [prepare]. */
    public fun resize(picture: Picture, into: ByteArray) {
        if (maxOf(picture.width, picture.height) > PictureLimits.MAX_SIDE) {
            throw EdgekdError.PictureTooLarge(picture.width, picture.height)
        }
        resize(picture, 0, 0, picture.width, picture.height, into)
    }

    private fun resize(picture: Picture, left: Int, top: Int, width: Int, height: Int, into: ByteArray) {
        require(into.size == byteCount) { "into holds ${into.size} bytes, $byteCount are expected" }
        PictureLimits.check(picture.width, picture.height)
        fit(width, height)
        val rows = minOf(height, maxOf(1, BAND_PIXELS / width))
        var first = 0 // the first output row that is not finished
        var y = 0
        while (y < height) {
            val count = minOf(rows, height - y)
            picture.read(left, top + y, width, count, band)
            overWhite(width * count)
            for (row in 0 until count) {
                shrink(row * width)
                first = add(y + row, first, into)
            }
            y += count
        }
    }

    /** Coefficients and memory for a part of [width] × [height]. */
    private fun fit(width: Int, height: Int) {
        if (across.size != width) across = if (down.size == width) down else Coefficients(width, px)
        if (down.size != height) down = if (across.size == height) across else Coefficients(height, px)
        if (sums.size < down.open) sums = Array(down.open) { IntArray(line.size) }
        val pixels = maxOf(width, minOf(BAND_PIXELS, width * height))
        if (band.size < pixels) band = IntArray(pixels)
    }

    private fun overWhite(count: Int) {
        var all = -1
        for (at in 0 until count) all = all and band[at]
        if (all ushr 24 == OPAQUE) return
        for (at in 0 until count) {
            val pixel = band[at]
            val alpha = pixel ushr 24
            if (alpha != OPAQUE) {
                band[at] = over(pixel ushr 16, alpha) shl 16 or (over(pixel ushr 8, alpha) shl 8) or over(pixel, alpha)
            }
        }
    }

    private fun over(colour: Int, alpha: Int): Int =
        ((colour and 0xFF) * alpha + 255 * (OPAQUE - alpha) + 127) / 255

    /**
     * The first pass: the row of pixels from [offset] on, resized to [px] and rounded, into [line].
     *
     * Red and blue share the halves of a long: a sum is at most 255 · 2¹⁶ + 2¹⁵ < 2²⁴, so neither reaches the
     * other.
     */
    private fun shrink(offset: Int) {
        val starts = across.starts
        val firsts = across.firsts
        val taps = across.taps
        val band = band
        var out = 0
        for (i in 0 until px) {
            var at = offset + starts[i]
            var redBlue = HALF.toLong() shl 32 or HALF.toLong()
            var green = HALF
            for (tap in firsts[i] until firsts[i + 1]) {
                val pixel = band[at++]
                val weight = taps[tap]
                redBlue += weight * ((pixel and 0xFF0000).toLong() shl 16 or (pixel and 0xFF).toLong())
                green += weight * (pixel ushr 8 and 0xFF)
            }
            line[out++] = (redBlue ushr 32 + BITS).toInt()
            line[out++] = green ushr BITS
            line[out++] = redBlue.toInt() ushr BITS
        }
    }

    /**
     * The second pass: adds [line], row [y], to the output rows that see it, of which [first] is the first not
     * finished; those for which it was the last are written. The first not finished afterwards.
     */
    private fun add(y: Int, first: Int, into: ByteArray): Int {
        var low = first
        var i = first
        while (i < px && down.starts[i] <= y) {
            val sum = sums[i % sums.size]
            val weight = down.taps[down.firsts[i] + y - down.starts[i]]
            if (y == down.starts[i]) start(sum, weight) else accumulate(sum, weight)
            if (y == down.stop(i) - 1) {
                write(sum, i, into)
                low = i + 1
            }
            i++
        }
        return low
    }

    private fun start(sum: IntArray, weight: Int) {
        val line = line
        for (c in sum.indices) sum[c] = HALF + weight * line[c]
    }

    private fun accumulate(sum: IntArray, weight: Int) {
        val line = line
        for (c in sum.indices) sum[c] += weight * line[c]
    }

    private fun write(sum: IntArray, row: Int, into: ByteArray) {
        val offset = row * sum.size
        for (c in sum.indices) into[offset + c] = (sum[c] ushr BITS).toByte()
    }

    internal companion object {
        const val BITS: Int = 16
        const val BAND_PIXELS: Int = 1 shl 16
        private const val HALF = 1 shl BITS - 1
        private const val CHANNELS = 3
        private const val OPAQUE = 0xFF
    }
}
