package org.edgekd.core

/**
 * The coefficients of `edgekd.resample/1` for a line of [size] samples resized to [px].
 *
 * Output i is the sum of `taps[first(i) + t]` times sample `start(i) + t`, t from 0; the taps are ≥ 0 and add
 * up to 2¹⁶. The definition in 32-bit integers, as edgekd/imaging/resample.py gives it: the remainder of the
 * running sum is carried, so that nothing is larger than 2 · 10⁴ · 2¹⁶ + 2 · 10⁸ < 2³¹.
 */
internal class Coefficients(val size: Int, val px: Int) {
    private val reach = 2 * maxOf(size, px)

    /** The first sample each output sees. */
    val starts: IntArray = IntArray(px)

    /** Where the taps of each output begin; one more at the end. */
    val firsts: IntArray = IntArray(px + 1)

    /** The taps of all outputs, one after the other. */
    val taps: IntArray

    /** The most outputs that wait for samples at the same time. */
    val open: Int

    init {
        for (i in 0 until px) {
            val (start, stop) = seen(i)
            starts[i] = start
            firsts[i + 1] = firsts[i] + stop - start
        }
        taps = IntArray(firsts[px])
        for (i in 0 until px) fill(i)
        open = mostOpen()
    }

    /** The sample after the last one output [i] sees. */
    fun stop(i: Int): Int = starts[i] + firsts[i + 1] - firsts[i]

    /** The samples of weight above 0, and perhaps one beside them at either end. */
    private fun seen(i: Int): Pair<Int, Int> {
        val centre = (2 * i + 1) * size
        val start = Math.floorDiv(centre - reach - px, 2 * px)
        val stop = Math.floorDiv(centre + reach - px, 2 * px) + 2
        return maxOf(0, start) to minOf(size, stop)
    }

    private fun weight(i: Int, j: Int): Int =
        maxOf(0, reach - Math.abs((2 * j + 1) * px - (2 * i + 1) * size))

    private fun fill(i: Int) {
        val start = starts[i]
        var total = 0
        for (j in start until stop(i)) total += weight(i, j)
        var remainder = total / 2
        for (j in start until stop(i)) {
            val value = (weight(i, j) shl PixelPath.BITS) + remainder
            taps[firsts[i] + j - start] = value / total
            remainder = value % total
        }
    }

    private fun mostOpen(): Int {
        var most = 1
        var low = 0
        for (i in 0 until px) {
            while (stop(low) <= starts[i]) low++
            most = maxOf(most, i - low + 1)
        }
        return most
    }
}
