package org.edgekd.app

import android.widget.LinearLayout
import android.widget.TextView
import org.edgekd.core.Assessment
import org.edgekd.core.Bundle
import org.edgekd.core.Card
import org.edgekd.core.Timings
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner

/** What is said comes from the card, and from nowhere else. */
@RunWith(RobolectricTestRunner::class)
class CardAndWordsTest {
    private fun card(rule: String, band: Double? = null): Card {
        val json = JSONObject(String(golden("card.json")))
        val point = json.getJSONObject("operating_point").put("rule", rule)
        if (band != null) point.put("borderline_halfwidth", band).put("borderline_rule", "for a test")
        return Card.parse(json.toString().toByteArray())
    }

    private fun meaning(rule: String): String = Words(app.resources, card(rule)).meaning()

    private fun found(score: Double, malignant: Boolean, borderline: Boolean?) =
        Assessment(score, 0.25, malignant, borderline, listOf(), Timings(1, 2, 3))

    @Test
    fun `the rule of the operating point in plain words`() {
        val fitted = card("youden").operatingPoint.fittedOn
        fun said(id: Int, vararg arguments: Any) = app.getString(id, *arguments)
        assertEquals(said(R.string.meaning_sensitivity, 9, 10, fitted, 1), meaning("sensitivity_at_least(0.9)"))
        assertEquals(said(R.string.meaning_sensitivity, 95, 100, fitted, 5), meaning("sensitivity_at_least(0.95)"))
        assertEquals(said(R.string.meaning_sensitivity, 925, 1000, fitted, 75), meaning("sensitivity_at_least(0.925)"))
        assertEquals(said(R.string.meaning_sensitivity, 10, 10, fitted, 0), meaning("sensitivity_at_least(1)"))
        assertEquals(said(R.string.meaning_specificity, 8, 10, fitted), meaning("specificity_at_least(0.8)"))
        assertEquals(said(R.string.meaning_youden, fitted), meaning("youden"))
        assertEquals(said(R.string.meaning_other, "cost(5)", fitted), meaning("cost(5)"))
    }

    @Test
    fun `the call in plain words, a borderline one too`() {
        val words = Words(app.resources, card("youden", band = 0.5))
        fun said(id: Int) = app.getString(id)
        assertEquals(said(R.string.result_malignant), words.verdict(found(1.0, true, false)))
        assertEquals(said(R.string.result_benign), words.verdict(found(-1.0, false, null)))
        assertEquals(said(R.string.result_borderline), words.verdict(found(0.1, true, true)))
        assertEquals(said(R.string.result_borderline_benign), words.verdictBody(found(0.0, false, true)))
    }

    @Test
    fun `the card screen tells use, limits, operating point and hashes`() {
        val screen = Robolectric.buildActivity(CardActivity::class.java).setup().get()
        settle()
        val bundle = Bundle.open(app.files)
        val sections = screen.part<LinearLayout>(R.id.sections)
        val said = (1 until sections.childCount)
            .joinToString("\n") { sections.getChildAt(it).part<TextView>(R.id.section_body).text }
        assertEquals(bundle.card.name, screen.text(R.id.name))
        val expected = bundle.card.limits + bundle.card.labels + bundle.modelSha256 + bundle.card.intendedUse +
            app.getString(R.string.notice_title) + "${bundle.card.operatingPoint.threshold}" +
            Words.verified(app.resources, checkNotNull(bundle.manifest.verdict))
        for (one in expected) assertTrue(one, one in said)
        screen.picture("card")
    }

    @Test
    fun `what LiteRT does not tell is read from the file`() {
        val facts = TfliteFacts.of(golden("model.tflite"))
        val card = Bundle.open(app.files).card
        val engine = app.engines.open(Bundle.open(app.files), Accelerator.CPU)
        val input = facts.inputs.first { it.shape.size == 4 }
        assertEquals(TfliteFacts.UINT8, input.type)
        assertEquals(listOf(1, card.inputPx, card.inputPx, 3), input.shape)
        assertEquals(card.patient?.columns?.size ?: 0, facts.places.patientLength)
        assertEquals(card.labels.size, facts.output.shape.last())
        val item = Bundle.open(app.files).golden().items.first()
        val logits = FloatArray(engine.logitCount)
        engine.feed(golden(item.input), Bundle.open(app.files).golden().patient)
        engine.invoke()
        engine.read(logits)
        engine.close()
        if (facts.output.type == TfliteFacts.FLOAT32) return
        for (logit in logits) { // each is a whole number of steps of the scale
            val step = logit / facts.output.scale + facts.output.zeroPoint
            assertEquals(Math.round(step).toFloat(), step, 1e-3f)
        }
    }
}
