package org.edgekd.app

import android.content.res.Resources
import org.edgekd.core.Assessment
import org.edgekd.core.Card
import org.edgekd.core.OperatingPoint
import java.math.BigDecimal
import java.util.Locale

/** An answer in plain words, made of nothing but the card and the answer itself. */
class Words(private val resources: Resources, private val card: Card) {
    private val locale: Locale = resources.configuration.locales[0]
    private val point: OperatingPoint = card.operatingPoint

    /** The call in two or three words. */
    fun verdict(found: Assessment): String = resources.getString(
        when {
            !judged(found) -> R.string.result_unfit
            found.borderline == true -> R.string.result_borderline
            found.malignant -> R.string.result_malignant
            else -> R.string.result_benign
        },
    )

    /** The call as a sentence, or why there is none. */
    fun verdictBody(found: Assessment): String = when {
        !judged(found) -> resources.getString(R.string.result_unfit_body, found.photo?.reason.orEmpty())
        found.borderline == true && found.malignant -> resources.getString(R.string.result_borderline_malignant)
        found.borderline == true -> resources.getString(R.string.result_borderline_benign)
        found.malignant -> resources.getString(R.string.result_malignant_body)
        else -> resources.getString(R.string.result_benign_body)
    }

    /** The score beside the operating point. */
    fun score(found: Assessment): String =
        resources.getString(R.string.score, signed(found.score), signed(point.threshold))

    /** What the operating point promises, by the rule that set it. */
    fun meaning(): String {
        val (name, target) = rule(point.rule)
        return when (name to (target != null)) {
            SENSITIVITY to true -> promise(R.string.meaning_sensitivity, target)
            SPECIFICITY to true -> promise(R.string.meaning_specificity, target)
            YOUDEN to false -> resources.getString(R.string.meaning_youden, point.fittedOn)
            else -> resources.getString(R.string.meaning_other, point.rule, point.fittedOn)
        }
    }

    /** What the model was [told] of the person and what not; null where it takes pictures alone. */
    fun person(told: Told, found: Assessment): String? {
        val (open, known) = card.patient?.fields?.partition { it in found.without } ?: return null
        val said = known.joinToString(", ") { "${resources.getString(PersonForm.nameOf(it))} ${told.said(it)}" }
        val empty = open.joinToString(", ") { resources.getString(PersonForm.nameOf(it)) }
        return listOfNotNull(
            said.ifEmpty { null }?.let { resources.getString(R.string.person_told, it) },
            empty.ifEmpty { null }?.let { resources.getString(R.string.person_without, it) },
        ).joinToString(" ")
    }

    /** The calibrated probability, with what it is a probability of. */
    fun probability(found: Assessment): String {
        val percent = String.format(locale, "%.0f %%", found.probability * PERCENT)
        return resources.getString(R.string.probability, point.fittedOn, percent)
    }

    /** What the gauge shows, for who cannot see it. */
    fun gauge(found: Assessment): String = resources.getString(
        R.string.gauge_description,
        signed(found.score),
        signed(point.threshold),
        verdict(found),
    )

    /** [ns] nanoseconds in milliseconds. */
    fun milliseconds(ns: Long): String =
        resources.getString(R.string.milliseconds, String.format(locale, "%.1f", ns / NS_PER_MS))

    /** A score or logit with its sign. */
    fun signed(value: Double): String = String.format(locale, "%+.2f", value)

    private fun promise(sentence: Int, target: BigDecimal?): String {
        val share = checkNotNull(target).stripTrailingZeros()
        val of = BigDecimal.TEN.pow(maxOf(1, share.scale()))
        val found = share.multiply(of).toInt()
        return resources.getString(sentence, found, of.toInt(), point.fittedOn, of.toInt() - found)
    }

    companion object {
        /** What verification said of a model, [verdict] of its manifest, as a sentence. */
        fun verified(resources: Resources, verdict: String): String = when (verdict) {
            PASSED -> resources.getString(R.string.verdict_passed)
            "undecided" -> resources.getString(R.string.verdict_undecided)
            "failed" -> resources.getString(R.string.verdict_failed)
            "none" -> resources.getString(R.string.verdict_none)
            else -> resources.getString(R.string.verdict_other, verdict)
        }

        /** The verdict of a model that needs no warning. */
        const val PASSED: String = "passed"

        /** Whether the photo may be judged by what the card says of photos; where not, no call is shown. */
        fun judged(found: Assessment): Boolean = found.photo?.fit != false

        private const val SENSITIVITY = "sensitivity_at_least"
        private const val SPECIFICITY = "specificity_at_least"
        private const val YOUDEN = "youden"
        private const val PERCENT = 100
        private const val NS_PER_MS = 1e6
        private val RULE = Regex("""(\w+?)(?:\((0\.\d{1,6}|1(?:\.0*)?)\))?""")

        /** "sensitivity_at_least(0.9)" as its name and its target. */
        private fun rule(text: String): Pair<String, BigDecimal?> {
            val found = RULE.matchEntire(text) ?: return text to null
            val (name, target) = found.destructured
            return name to target.takeIf { it.isNotEmpty() }?.let(::BigDecimal)
        }
    }
}
