package org.edgekd.core

/**
 * The score at and above which a lesion is called malignant.
 *
 * [threshold] is in the unit of the score (log odds); [rule] says how it was found, [fittedOn] on which
 * images. A score closer to the threshold than [borderlineHalfwidth] is borderline, by [borderlineRule]; both
 * are null where the model states no such band.
 */
public class OperatingPoint internal constructor(
    public val rule: String,
    public val threshold: Double,
    public val fittedOn: String,
    public val borderlineHalfwidth: Double?,
    public val borderlineRule: String?,
)

/**
 * What travels with a model (`edgekd.card/1`): how to feed it and how to read its answer.
 *
 * [labels] name the logits in order, [malignant] lists those counted as malignant. The input is [inputPx] ×
 * [inputPx] RGB bytes; [patient] says what the model takes of the person beside them, null where it takes
 * pictures alone. [temperature] divides the score before the sigmoid. [margin] is the loss of sensitivity
 * that verification allowed, null where it set none; [quality] says which photos cannot be judged, null where
 * nothing is known of that. [intendedUse] and [limits] are to be shown to users.
 */
public class Card private constructor(fields: Fields) {
    public val schema: String = SCHEMA
    public val name: String = fields.text("name")
    public val precision: String = fields.text("precision")
    public val inputPx: Int = fields.int("input_px")
    public val labels: List<String> = fields.texts("labels")
    public val malignant: List<String> = fields.texts("malignant")
    public val pixelRule: String = fields.text("pixel_rule")
    public val patient: PatientInput? = PatientInput.of(fields)
    public val scoreRule: String = fields.text("score_rule")
    public val operatingPoint: OperatingPoint = operatingPoint(fields)
    public val temperature: Double = fields.double("temperature")
    public val margin: Double? = fields.doubleOrNull("margin")
    public val quality: PhotoQuality? = fields.fieldsOrNull("quality")?.let(PhotoQuality::of)
    public val intendedUse: String = fields.text("intended_use")
    public val limits: List<String> = fields.texts("limits")
    public val provenance: Map<String, String> = fields.textMap("provenance")

    /** The number of bytes that the second input takes; 0 where there is none. */
    internal val patientLength: Int get() = patient?.columns?.size ?: 0

    init {
        fields.nothingElse()
        checkLabels(fields)
        if (inputPx !in 1..PictureLimits.MAX_INPUT_PX) {
            fields.malformed("input_px is $inputPx, 1 to ${PictureLimits.MAX_INPUT_PX} is expected")
        }
        if (temperature <= 0) fields.malformed("temperature is $temperature, more than 0 is expected")
        if (pixelRule != PIXEL_RULE) throw EdgekdError.UnknownRule("pixel_rule", pixelRule)
        if (scoreRule != SCORE_RULE) throw EdgekdError.UnknownRule("score_rule", scoreRule)
    }

    private fun checkLabels(fields: Fields) {
        if (labels.isEmpty() || labels.toSet().size != labels.size) {
            fields.malformed("labels are empty or repeat")
        }
        val unknown = malignant.filter { it !in labels }
        if (unknown.isNotEmpty()) fields.malformed("malignant names $unknown, which are no labels")
        val marked = malignant.toSet().size
        if (marked == 0 || (marked == labels.size && labels.size > 1)) {
            fields.malformed("malignant must name at least one label, and leave one that is benign")
        }
    }

    public companion object {
        public const val SCHEMA: String = "edgekd.card/1"

        /** How pixels are made; [PixelPath] does exactly this. */
        public const val PIXEL_RULE: String =
            "upright RGB, centre square, edgekd.resample/1 to input_px, uint8"

        /** How the score is made; [Score] does exactly this. */
        public const val SCORE_RULE: String = "logsumexp(malignant logits) - logsumexp(benign logits)"

        private const val NO_HAIR_REMOVAL = "none"

        /**
         * The card in [bytes], JSON in UTF-8; [file] is named in errors.
         *
         * @throws EdgekdError.Malformed it is not JSON, or a field is missing, unknown or of another kind
         * @throws EdgekdError.UnknownSchema it is not `edgekd.card/1`
         * @throws EdgekdError.NeedsHairRemoval pictures must be freed of hairs first
         * @throws EdgekdError.NeedsPatient the model takes of the person what nobody can be asked for
         * @throws EdgekdError.UnknownRule pixels, score or patient vector are made in another way
         * @throws EdgekdError.NotVerified there is no operating point
         */
        public fun parse(bytes: ByteArray, file: String = "card.json"): Card {
            val fields = Fields.of(Json.parse(bytes, file), file)
            checkSchema(fields, file, SCHEMA)
            refuseHairRemoval(fields)
            return Card(fields)
        }

        private fun refuseHairRemoval(fields: Fields) {
            val hair = if (fields.isNull("hair_removal")) NO_HAIR_REMOVAL else fields.text("hair_removal")
            if (hair != NO_HAIR_REMOVAL) throw EdgekdError.NeedsHairRemoval(hair)
        }

        private fun operatingPoint(card: Fields): OperatingPoint {
            val fields = card.fieldsOrNull("operating_point") ?: throw EdgekdError.NotVerified()
            val point = OperatingPoint(
                rule = fields.text("rule"),
                threshold = fields.double("threshold"),
                fittedOn = fields.text("fitted_on"),
                borderlineHalfwidth = fields.doubleOrNull("borderline_halfwidth"),
                borderlineRule = fields.textOrNull("borderline_rule"),
            )
            fields.nothingElse()
            if ((point.borderlineHalfwidth ?: 0.0) < 0) {
                card.malformed("operating_point.borderline_halfwidth is below 0")
            }
            return point
        }
    }
}

/** Refuses a document whose `schema` is not [expected], before anything else of it is believed. */
internal fun checkSchema(fields: Fields, file: String, expected: String) {
    val found = if (fields.isNull("schema")) "none" else fields.text("schema")
    if (found != expected) throw EdgekdError.UnknownSchema(file, found, expected)
}
