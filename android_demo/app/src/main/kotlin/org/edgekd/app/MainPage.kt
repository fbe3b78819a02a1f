package org.edgekd.app

import android.graphics.Rect
import android.view.LayoutInflater
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.ImageView
import android.widget.RadioButton
import android.widget.ScrollView
import android.widget.TableLayout
import android.widget.TextView
import org.edgekd.core.Card
import org.edgekd.core.EngineFacts

/** The views of the first screen, and how a [State] looks in them; [tell] hears what is told of the person. */
class MainPage(private val page: ScrollView, tell: (Told) -> Unit = {}) {
    private val resources = page.resources
    private val person = PersonForm(page.part(R.id.person), tell)
    private var shown: Answer? = null

    /** Makes the page look like [state]. */
    fun show(state: State) {
        showVerdict(state)
        showProblem(state)
        showStatus(state)
        showEngine(state)
        val card = state.bundle?.card
        val answer = state.answer
        person.show(card?.patient, state.told)
        if (state.stale && shown != null) keepInView(R.id.person)
        show(R.id.answer, answer != null)
        show(R.id.details, answer != null)
        if (card != null && answer != null && answer !== shown) showAnswer(Words(resources, card), card, answer)
        shown = answer
    }

    private fun showVerdict(state: State) {
        val verdict = state.bundle?.manifest?.verdict?.takeIf { it != Words.PASSED }
        show(R.id.notice_verdict, verdict != null)
        verdict?.let { text(R.id.notice_verdict, Words.verified(resources, it)) }
    }

    private fun showProblem(state: State) {
        val problem = state.refusal ?: state.problem
        show(R.id.problem, problem != null)
        val title = if (state.refusal != null) R.string.refused_title else R.string.problem_title
        if (problem == null) return
        text(R.id.problem_title, resources.getString(title))
        text(R.id.problem_body, problem)
    }

    private fun showStatus(state: State) {
        val status = when (state.busy) {
            Busy.OPENING -> R.string.engine_opening
            Busy.LOOKING -> R.string.working
            null -> when {
                state.refusal != null -> R.string.waiting_for_model
                state.running == null -> R.string.waiting_for_engine
                state.told.person == null -> R.string.waiting_for_age
                state.stale -> R.string.person_changed
                else -> R.string.ready
            }
        }
        text(R.id.status, resources.getString(status))
        show(R.id.busy, state.busy != null)
        val usable = state.running != null && state.busy == null && state.told.person != null
        for (id in listOf(R.id.choose, R.id.take, R.id.again)) page.part<Button>(id).isEnabled = usable
        show(R.id.again, state.stale)
        for (id in listOf(R.id.about, R.id.bench)) {
            page.part<Button>(id).isEnabled = state.bundle != null
        }
    }

    private fun showEngine(state: State) {
        page.part<RadioButton>(R.id.cpu).isChecked = state.asked == Accelerator.CPU
        page.part<RadioButton>(R.id.gpu).isChecked = state.asked == Accelerator.GPU
        text(R.id.engine, state.running?.let(::engine) ?: resources.getString(R.string.engine_none))
    }

    private fun engine(facts: EngineFacts): String = resources.getString(
        R.string.engine_running,
        facts.accelerator.uppercase(),
        facts.name,
        facts.version,
        facts.kernels,
    )

    private fun showAnswer(words: Words, card: Card, answer: Answer) {
        val found = answer.assessment
        for (id in listOf(R.id.call, R.id.logits_title, R.id.logits)) show(id, Words.judged(found))
        text(R.id.verdict, words.verdict(found))
        text(R.id.verdict_body, words.verdictBody(found))
        text(R.id.score, words.score(found))
        text(R.id.meaning, words.meaning())
        val known = words.person(answer.told, found)
        show(R.id.known, known != null)
        text(R.id.known, known.orEmpty())
        text(R.id.probability, words.probability(found))
        page.part<ScoreView>(R.id.gauge).show(card, found.score, found.malignant, words.gauge(found))
        page.part<ImageView>(R.id.seen).setImageBitmap(answer.seen)
        text(R.id.seen_caption, resources.getString(R.string.input_seen, card.inputPx))
        showTimes(words, answer)
        showLogits(words, card, answer)
        page.post { page.smoothScrollTo(0, 0) } // the answer stands right below the notice
    }

    private fun showTimes(words: Words, answer: Answer) {
        val timings = answer.assessment.timings
        val rows = listOf(
            R.string.time_opening to answer.openingNs,
            R.string.time_preprocessing to timings.preprocessNs,
            R.string.time_inference to timings.inferenceNs,
            R.string.time_total to answer.totalNs,
        )
        table(R.id.times, rows.map { (name, ns) -> resources.getString(name) to words.milliseconds(ns) })
    }

    private fun showLogits(words: Words, card: Card, answer: Answer) {
        val rows = card.labels.zip(answer.assessment.logits) { label, logit ->
            val name = if (label in card.malignant) resources.getString(R.string.logit_malignant, label) else label
            name to words.signed(logit.toDouble())
        }
        table(R.id.logits, rows)
    }

    private fun table(id: Int, rows: List<Pair<String, String>>) {
        val table = page.part<TableLayout>(id)
        table.removeAllViews()
        for ((name, value) in rows) {
            val row = LayoutInflater.from(page.context).inflate(R.layout.row, table, false) as ViewGroup
            row.part<TextView>(R.id.row_name).text = name
            row.part<TextView>(R.id.row_value).text = value
            table.addView(row)
        }
    }

    /** What stood above is gone: who is at the form should not have to look for it. */
    private fun keepInView(id: Int) {
        page.post {
            val view = page.part<View>(id)
            view.requestRectangleOnScreen(Rect(0, 0, view.width, view.height))
        }
    }

    private fun text(id: Int, text: String) {
        page.part<TextView>(id).text = text
    }

    private fun show(id: Int, visible: Boolean) {
        page.part<View>(id).visibility = if (visible) View.VISIBLE else View.GONE
    }
}
