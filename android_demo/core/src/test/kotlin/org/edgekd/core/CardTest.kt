package org.edgekd.core

import java.util.Random
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class CardTest {
    private fun card(old: String = "", new: String = ""): Card {
        check(old in TestBundle.CARD) { old }
        return Card.parse(TestBundle.CARD.replace(old, new).toByteArray())
    }

    private inline fun <reified T : EdgekdError> refuses(old: String, new: String): T =
        assertThrows("$old -> $new", T::class.java) { card(old, new) }

    @Test
    fun everyField() {
        val card = card()
        assertEquals("edgekd.card/1", card.schema)
        assertEquals("tiny-int8", card.name)
        assertEquals("int8", card.precision)
        assertEquals(2, card.inputPx)
        assertEquals(listOf("mel", "nv", "bkl"), card.labels)
        assertEquals(listOf("mel"), card.malignant)
        assertEquals("sensitivity_at_least(0.9)", card.operatingPoint.rule)
        assertEquals(-1.25, card.operatingPoint.threshold, 0.0)
        assertEquals("validation", card.operatingPoint.fittedOn)
        assertEquals(0.5, card.operatingPoint.borderlineHalfwidth!!, 0.0)
        assertEquals("r", card.operatingPoint.borderlineRule)
        assertEquals(2.0, card.temperature, 0.0)
        assertNull(card.margin)
        assertEquals(0.02, card("\"margin\": null", "\"margin\": 0.02").margin!!, 0.0)
        assertEquals("Research.", card.intendedUse)
        assertEquals(listOf("a", "b"), card.limits)
        assertNull(card.patient)
        assertEquals(mapOf("edgekd" to "0.1.0"), card.provenance)
    }

    @Test
    fun whatCannotBeServedIsRefused() {
        assertEquals("edgekd.card/2", refuses<EdgekdError.UnknownSchema>("card/1", "card/2").found)
        assertEquals("none", refuses<EdgekdError.UnknownSchema>("\"schema\": \"edgekd.card/1\",", "").found)
        assertEquals(
            "dullrazor",
            refuses<EdgekdError.NeedsHairRemoval>("\"hair_removal\": \"none\"", "\"hair_removal\": \"dullrazor\"").kind,
        )
        assertEquals("pixel_rule", refuses<EdgekdError.UnknownRule>("resample/1", "resample/2").field)
        assertEquals("score_rule", refuses<EdgekdError.UnknownRule>("logsumexp(malignant", "max(malignant").field)
        refuses<EdgekdError.NotVerified>("\"operating_point\": {", "\"operating_point\": null, \"x\": {")
    }

    @Test
    fun contradictionsAreRefused() {
        val wrong = mapOf(
            "\"input_px\": 2" to listOf("0", "-1", "4097", "2.5", "\"2\"", "null", "1e2"),
            "\"labels\": [\"mel\", \"nv\", \"bkl\"]" to listOf("[]", "[\"mel\", \"mel\"]", "[1]", "\"mel\""),
            "\"malignant\": [\"mel\"]" to listOf("[]", "[\"x\"]", "[\"mel\", \"nv\", \"bkl\"]"),
            "\"temperature\": 2.0" to listOf("0", "-1", "1e999", "true"),
            "\"threshold\": -1.25" to listOf("null", "1e400", "\"0\""),
            "\"borderline_halfwidth\": 0.5" to listOf("-0.5"),
            "\"name\": \"tiny-int8\"" to listOf("1", "\"a\", \"name\": \"b\""),
            "\"margin\": null" to listOf("null, \"second_threshold\": 1"),
        )
        for ((old, values) in wrong) {
            for (value in values) refuses<EdgekdError.Malformed>(old, "${old.substringBefore(':')}: $value")
        }
        refuses<EdgekdError.Malformed>("\"name\": \"tiny-int8\",", "")
    }

    /** Advice, not a gate: a rule or a measure that is not known here is named and passed over. */
    @Test
    fun thePhotosItCanJudge() {
        assertNull(card().quality)
        val limit = """{"measure": "sharpness", "low": 24.14, "high": null, "rule": "r", "missed": null}"""
        fun quality(limits: String, rule: String = "edgekd.quality/1") = card(
            "\"margin\": null",
            """"margin": null, "quality": {"rule": "$rule", "limits": [$limits], "colours": "${"1".repeat(256)}",
            "fitted_on": "validation", "images": 148, "refused": 5}""",
        ).quality!!
        val known = quality(limit)
        val sharpness = known.limits.single()
        assertEquals(listOf(24.14, null, 148, 5), listOf(sharpness.low, sharpness.high, known.images, known.refused))
        assertEquals("blurred (sharpness 13.1, at least 24.1 expected)", sharpness.reason(13.123))
        assertNull(sharpness.reason(24.14))
        assertEquals(256, known.colours.count { it })
        assertEquals(listOf(false, false, false, true), known.colours.take(4))
        val newer = quality("$limit, " + limit.replace("sharpness", "depth"))
        assertEquals(listOf("depth"), newer.unknown)
        assertEquals(listOf("sharpness"), newer.limits.map { it.measure })
        assertEquals(listOf("edgekd.quality/2"), quality(limit, "edgekd.quality/2").unknown)
        assertThrows(EdgekdError.Malformed::class.java) { quality(limit.replace("null, \"rule", "1, \"rule")) }
        assertThrows(EdgekdError.Malformed::class.java) { quality(limit.replace("24.14", "null")) }
    }

    @Test
    fun aSingleLogitIsMalignantItself() {
        val single = TestBundle.CARD.replace("[\"mel\", \"nv\", \"bkl\"]", "[\"mel\"]")
        assertEquals(3.5, Score(Card.parse(single.toByteArray())).of(floatArrayOf(3.5f)), 0.0)
    }

    @Test
    fun theBand() {
        val score = Score(card())
        val near = listOf(-1.76, -1.74, -1.25, -0.76, -0.74)
        assertEquals(listOf(false, true, true, true, false), near.map(score::borderline))
        assertEquals(listOf(false, true, true), listOf(-1.26, -1.25, 9.0).map(score::malignant))
        val without = Score(card(", \"borderline_halfwidth\": 0.5, \"borderline_rule\": \"r\"", ""))
        assertNull(without.borderline(-1.25))
        assertFalse(without.malignant(-1.3))
    }

    @Test
    fun brokenCardsNeverCrash() {
        val random = Random(11)
        var refused = 0
        repeat(20_000) {
            try {
                Card.parse(altered(TestBundle.CARD.toByteArray(), random))
            } catch (error: EdgekdError) {
                check(error.message.endsWith(".")) { error.message }
                refused++
            }
        }
        assertTrue("$refused refused", refused > 10_000)
    }
}
