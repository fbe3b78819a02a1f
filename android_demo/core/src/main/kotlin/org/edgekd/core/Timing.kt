package org.edgekd.core

import kotlin.math.ceil

/** The clock of `edgekd bench`: warm-up until steady, timed runs, nearest-rank percentiles. */
internal object Timing {
    private const val BLOCK_RUNS = 5
    private const val BLOCK_MS = 20.0
    private const val STEADY_BLOCKS = 3
    private const val STEADY_WITHIN = 0.05
    private const val WARM_UP_MAX_MS = 3000.0
    private const val NS_PER_MS = 1e6

    /** The milliseconds of [run]. */
    inline fun once(run: () -> Unit): Double {
        val began = System.nanoTime()
        run()
        return (System.nanoTime() - began) / NS_PER_MS
    }

    /** The milliseconds of each of at least [minRuns] runs that together take at least [minMs]. */
    fun runs(minRuns: Int, minMs: Double, run: () -> Unit): List<Double> {
        val took = ArrayList<Double>()
        var total = 0.0
        while (took.size < minRuns || total < minMs) {
            val ms = once(run)
            took.add(ms)
            total += ms
        }
        return took
    }

    /** Runs in blocks until three medians in a row lie within 5 %; whether that came to pass within 3 s. */
    fun warmUp(run: () -> Unit): Boolean {
        val medians = ArrayList<Double>()
        var spent = 0.0
        while (spent < WARM_UP_MAX_MS) {
            val block = runs(BLOCK_RUNS, BLOCK_MS, run)
            spent += block.sum()
            medians.add(median(block))
            val last = medians.takeLast(STEADY_BLOCKS)
            if (last.size == STEADY_BLOCKS && last.max() <= last.min() * (1 + STEADY_WITHIN)) return true
        }
        return false
    }

    /** The smallest step of the clock that a thousand readings showed, in milliseconds. */
    fun precisionMs(): Double {
        val readings = LongArray(1000) { System.nanoTime() }
        val steps = (1 until readings.size).map { readings[it] - readings[it - 1] }.filter { it > 0 }
        return (steps.minOrNull() ?: 0L) / NS_PER_MS
    }

    /** The nearest-rank percentile: a value that happened; [q] in (0, 1]. */
    fun percentile(values: List<Double>, q: Double): Double =
        values.sorted()[maxOf(0, ceil(q * values.size).toInt() - 1)]

    fun median(values: List<Double>): Double {
        val ordered = values.sorted()
        return (ordered[(ordered.size - 1) / 2] + ordered[ordered.size / 2]) / 2
    }
}
