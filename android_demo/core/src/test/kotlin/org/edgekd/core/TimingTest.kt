package org.edgekd.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class TimingTest {
    /** As numpy.quantile(…, method="inverted_cdf"). */
    @Test
    fun nearestRank() {
        val values = (1..50).map { it.toDouble() }.shuffled()
        assertEquals(listOf(25.0, 45.0, 48.0, 50.0), listOf(0.5, 0.9, 0.95, 0.99).map { Timing.percentile(values, it) })
        assertEquals(3.0, Timing.percentile(listOf(3.0), 0.5), 0.0)
        assertEquals(2.5, Timing.median(listOf(4.0, 1.0, 3.0, 2.0)), 0.0)
        assertEquals(3.0, Timing.median(listOf(9.0, 1.0, 3.0)), 0.0)
    }

    @Test
    fun atLeastAsManyRunsAsAsked() {
        var runs = 0
        assertEquals(7, Timing.runs(7, 0.0) { runs++ }.size)
        assertEquals(7, runs)
        assertTrue(Timing.runs(1, 5.0) { Thread.sleep(1) }.sum() >= 5.0)
        assertTrue(Timing.precisionMs() > 0)
    }
}
