package org.edgekd.core

import kotlin.math.ln
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

class ScoreTest {
    private val score = Score(Card.parse(TestBundle.CARD.toByteArray()))

    @Test
    fun logOdds() {
        assertEquals(1.0 - ln(Math.exp(0.5) + Math.exp(-2.0)), score.of(floatArrayOf(1f, 0.5f, -2f)), 1e-15)
        assertEquals(-ln(2.0), score.of(floatArrayOf(7f, 7f, 7f)), 1e-15)
    }

    @Test
    fun extremesStayFinite() {
        val most = Float.MAX_VALUE
        assertEquals(2.0 * most, score.of(floatArrayOf(most, -most, -most)), 1e25)
        assertEquals(-2.0 * most, score.of(floatArrayOf(-most, most, -most)), 1e25)
        assertEquals(0.0, score.probability(-2.0 * most), 0.0)
        assertEquals(1.0, score.probability(2.0 * most), 0.0)
        assertEquals(0.5, score.probability(0.0), 0.0)
    }

    @Test
    fun brokenAnswersAreRefused() {
        for (broken in listOf(Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY)) {
            assertThrows(EdgekdError.EngineFailed::class.java) { score.of(floatArrayOf(0f, broken, 0f)) }
        }
    }
}
