package org.edgekd.core

import kotlin.math.sqrt

/**
 * Measures photos as `edgekd.quality/1` defines it (edgekd/imaging/quality.py), bit for bit: sums of whole
 * numbers, and one or two operations on doubles in the order given there.
 *
 * For pictures of [px] × [px], at least [SMALLEST]. One thread at a time.
 */
internal class PhotoMeasures(private val px: Int) {
    private val area = px * px
    private val positions = (px - 2 * MARGIN).toLong() * (px - 2 * MARGIN)
    private val luma = IntArray(area)

    /** What [quality] says of [pixels], RGB bytes as the network sees them. */
    fun judge(quality: PhotoQuality, pixels: ByteArray): PhotoFindings {
        val values = measure(pixels, quality.colours)
        return PhotoFindings(values, quality.limits.mapNotNull { it.reason(values.getValue(it.measure)) })
    }

    /** Every measure by name; [known] colours by their number. */
    fun measure(pixels: ByteArray, known: BooleanArray): Map<String, Double> {
        for (p in 0 until area) {
            val weighted = 77 * byte(pixels, 3 * p) + 150 * byte(pixels, 3 * p + 1) + 29 * byte(pixels, 3 * p + 2)
            luma[p] = weighted + 128 shr 8
        }
        val (finest, fine, coarse) = listOf(1, 2, 4).map(::energies)
        return mapOf(
            "sharpness" to ratios(fine, coarse).min(),
            "grain" to ratios(finest, fine).max(),
            "brightness" to brightness(),
            "clipped" to share(pixels) { r, g, b -> r == 255 || g == 255 || b == 255 },
            "contrast" to contrast(pixels),
            "roughness" to sqrt(coarse.sum().toDouble() / (4 * positions)),
            "redness" to redness(pixels),
            "skin" to share(pixels) { r, g, b -> known[((r - g shr 4) + 16) * 32 + (g - b shr 4) + 16] },
        )
    }

    /** The sum of (2 Y[p] − Y[p − d·u] − Y[p + d·u])² for each direction u and d = [distance]. */
    private fun energies(distance: Int): LongArray =
        longArrayOf(energy(distance), energy(distance * px), energy(distance * (px + 1)), energy(distance * (px - 1)))

    private fun energy(step: Int): Long {
        var sum = 0L
        for (row in MARGIN until px - MARGIN) {
            for (p in row * px + MARGIN until (row + 1) * px - MARGIN) {
                val line = (2 * luma[p] - luma[p - step] - luma[p + step]).toLong()
                sum += line * line
            }
        }
        return sum
    }

    private fun ratios(near: LongArray, far: LongArray): List<Double> =
        near.indices.map { (100 * near[it]).toDouble() / (far[it] + positions) }

    /** The smallest grey level with more than half of the pixels at or below it. */
    private fun brightness(): Double {
        val counts = IntArray(256)
        for (grey in luma) counts[grey]++
        var below = 0
        for (grey in counts.indices) {
            below += counts[grey]
            if (below > area / 2) return grey.toDouble()
        }
        error("the counts do not add up to $area")
    }

    private inline fun share(pixels: ByteArray, counted: (Int, Int, Int) -> Boolean): Double {
        var count = 0L
        for (p in 0 until area) {
            if (counted(byte(pixels, 3 * p), byte(pixels, 3 * p + 1), byte(pixels, 3 * p + 2))) count++
        }
        return (100 * count).toDouble() / area
    }

    /** By how many grey levels of green the middle differs from block to block. */
    private fun contrast(pixels: ByteArray): Double {
        val block = px / BLOCKS
        val first = (px - BLOCKS * block) / 2 + EDGE * block
        val across = BLOCKS - 2 * EDGE
        val sums = LongArray(across * across)
        for (row in 0 until across * block) {
            for (column in 0 until across * block) {
                val green = byte(pixels, 3 * ((first + row) * px + first + column) + 1)
                sums[row / block * across + column / block] += green.toLong()
            }
        }
        return (sums.max() - sums.min()).toDouble() / (block * block)
    }

    private fun redness(pixels: ByteArray): Double {
        var sum = 0L
        for (p in 0 until area) sum += byte(pixels, 3 * p) - byte(pixels, 3 * p + 2)
        return sum.toDouble() / area
    }

    private fun byte(pixels: ByteArray, at: Int): Int = pixels[at].toInt() and 0xFF

    companion object {
        /** The smallest side that is measured. */
        const val SMALLEST = 32

        private const val MARGIN = 4
        private const val BLOCKS = 16
        private const val EDGE = 3
    }
}
