package org.edgekd.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test

class GoldenReportTest {
    private fun report(difference: Float, bytes: Int? = 0, sameCall: Boolean = true): GoldenReport {
        val items = listOf(GoldenResult("a", 0, 0f, 0.0, true), GoldenResult("b", bytes, difference, 0.0, sameCall))
        return GoldenReport(items, 0.5f)
    }

    /** 8-bit answers lie on a grid: two of its steps; float answers do not: two hundredths of their range. */
    @Test
    fun tolerance() {
        val grid = listOf(floatArrayOf(-1.5f, 0.25f, 2f), floatArrayOf(0.5f, -1.5f, 10f))
        assertEquals(0.5f, GoldenReport.tolerance(grid), 1e-4f)
        val fine = listOf(floatArrayOf(-1.5f, 0.25f, 2f), floatArrayOf(0.2500001f, -1.5f, 8.5f))
        assertEquals(0.2f, GoldenReport.tolerance(fine), 1e-6f)
    }

    @Test
    fun whatPasses() {
        assertTrue(report(0.5f).passed && report(0f, bytes = null).passed)
        assertEquals("All 2 golden pictures give the answer of Python.", report(0.5f).sentence)
        val near = report(0.4f, sameCall = false)
        assertTrue(near.passed && "1 of them lie so close" in near.sentence)
    }

    @Test
    fun whatDoesNot() {
        for (wrong in listOf(report(0.51f), report(0f, bytes = 1), report(Float.NaN))) assertFalse(wrong.passed)
        assertEquals(
            "Of 2 golden pictures 1 have other pixels than in Python and 1 other answers.",
            report(0.6f, bytes = 7).sentence,
        )
    }
}
