package org.edgekd.app

import android.app.Activity
import android.os.Bundle
import android.view.ViewGroup
import android.widget.LinearLayout
import android.widget.TextView
import org.edgekd.core.Card
import org.edgekd.core.Bundle as ModelBundle

/** The model card: what the model is for, what it does not know, and where it comes from. */
class CardActivity : Activity() {
    private val session by lazy { (application as App).session }
    private val listener: (State) -> Unit = ::show
    private var shown: ModelBundle? = null

    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.card)
    }

    override fun onStart() {
        super.onStart()
        session.watch(listener)
    }

    override fun onStop() {
        session.forget(listener)
        super.onStop()
    }

    private fun show(state: State) {
        val bundle = state.bundle
        val name = part<TextView>(R.id.name)
        if (bundle == null) name.text = getString(R.string.card_none, state.refusal.orEmpty())
        if (bundle == null || bundle === shown) return
        name.text = bundle.card.name
        shown = bundle
        for ((title, body) in sections(bundle)) add(title, body)
    }

    private fun sections(bundle: ModelBundle): List<Pair<Int, String>> {
        val card = bundle.card
        return listOf(
            R.string.card_use to "${getString(R.string.notice_title)}. ${card.intendedUse}",
            R.string.card_limits to card.limits.joinToString("\n\n").ifEmpty { getString(R.string.card_no_limits) },
            R.string.card_point to point(bundle),
            R.string.card_labels to card.labels.joinToString("\n") {
                if (it in card.malignant) getString(R.string.logit_malignant, it) else it
            },
            R.string.card_score to "${card.scoreRule}\n${getString(R.string.card_temperature, "${card.temperature}")}",
            R.string.card_quality to quality(card),
            R.string.card_person to person(card),
            R.string.card_pixels to card.pixelRule.replace("input_px", "${card.inputPx} px"),
            R.string.card_file to file(bundle),
            R.string.card_provenance to (card.provenance + bundle.manifest.tools).entries
                .joinToString("\n") { (name, value) -> getString(R.string.card_line, name, value) },
        )
    }

    private fun point(bundle: ModelBundle): String {
        val card: Card = bundle.card
        val point = card.operatingPoint
        val width = point.borderlineHalfwidth
        return listOfNotNull(
            Words(resources, card).meaning(),
            getString(R.string.card_point_body, "${point.threshold}", point.rule),
            width?.let { getString(R.string.card_band, "$it", point.borderlineRule.orEmpty()) },
            card.margin?.let { getString(R.string.card_margin, "$it") },
            bundle.manifest.verdict?.let { Words.verified(resources, it) },
        ).joinToString("\n\n")
    }

    private fun quality(card: Card): String = card.quality?.limits.orEmpty().joinToString("\n") { limit ->
        val low = limit.low
        if (low != null) {
            getString(R.string.card_at_least, limit.measure, "$low")
        } else {
            getString(R.string.card_at_most, limit.measure, "${limit.high}")
        }
    }.ifEmpty { getString(R.string.card_quality_none) }

    /** What the model takes of a person; numbers with the ends seen in training. */
    private fun person(card: Card): String = card.patient?.run {
        fields.joinToString("\n") { field ->
            val column = columns.first { it.field == field }
            val range = getString(R.string.card_range, "${column.low}", "${column.high}")
            val takes = categories(field).joinToString(", ").ifEmpty { range }
            getString(R.string.card_line, getString(PersonForm.nameOf(field)), takes)
        }
    } ?: getString(R.string.card_person_none)

    private fun file(bundle: ModelBundle): String = getString(
        R.string.card_file_body,
        bundle.modelPath,
        bundle.card.precision,
        "${bundle.modelSizeBytes / BYTES_PER_KB}",
        bundle.modelSha256,
    )

    private fun add(title: Int, body: String) {
        val sections = part<LinearLayout>(R.id.sections)
        val section = layoutInflater.inflate(R.layout.section, sections, false) as ViewGroup
        section.part<TextView>(R.id.section_title).setText(title)
        section.part<TextView>(R.id.section_body).text = body
        sections.addView(section)
    }

    private companion object {
        const val BYTES_PER_KB = 1000
    }
}
