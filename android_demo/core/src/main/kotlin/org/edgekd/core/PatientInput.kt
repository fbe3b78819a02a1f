package org.edgekd.core

import kotlin.math.floor

/**
 * One byte of the patient vector.
 *
 * With a [category] (lower case) it says whether the [field] is that one; without, how far between [low] and
 * [high], the ends seen in training, the field's number lies.
 */
public data class PatientColumn(
    val name: String,
    val field: String,
    val category: String?,
    val low: Double,
    val high: Double,
) {
    /** 0 to 255; 0 where [person] does not say it. */
    internal fun byte(person: Person): Int {
        if (category != null) return if (person.category(field) == category) STEPS else 0
        val value = person.number(field) ?: return 0
        return floor(STEPS * ((value - low) / (high - low)).coerceIn(0.0, 1.0) + 0.5).toInt()
    }

    private companion object {
        const val STEPS = 255
    }
}

/**
 * The second input of a model, the patient vector: what is known of a person, one byte for each of [columns], 0
 * for all that is not known. `edgekd/data/patient.py` byte for byte.
 */
public data class PatientInput(val columns: List<PatientColumn>) {
    /** The fields the columns read, each once, in order: some of age, sex and site. */
    public val fields: List<String> = columns.map { it.field }.distinct()

    /** The words that the model knows of a [field]; none for a number. */
    public fun categories(field: String): List<String> =
        columns.filter { it.field == field }.mapNotNull { it.category }

    /** The fields of which the model learns nothing: [person] does not say them, or in a word it does not know. */
    public fun leftOpen(person: Person): List<String> = fields.filter { field ->
        person.number(field) == null && person.category(field) !in categories(field)
    }

    /** The bytes of [person]. */
    public fun bytes(person: Person): ByteArray = ByteArray(columns.size).also { write(person, it) }

    /** Writes the bytes of [person] to [into], as many as there are columns; allocates nothing. */
    internal fun write(person: Person, into: ByteArray) {
        require(into.size == columns.size) { "${into.size} bytes, ${columns.size} are expected" }
        for (at in into.indices) into[at] = columns[at].byte(person).toByte()
    }

    internal companion object {
        /** How the bytes are made; [PatientColumn.byte] does exactly this. */
        const val RULE =
            "byte = floor(255 * v + 0.5); v of a column with a category: 1 where the field is that category (any " +
                "case), else 0; of any other: (value - low) / (high - low), cut to 0..1. A .tflite file takes " +
                "the bytes as uint8 [1, f], a Core ML package and a Keras model byte / 255 as float32 [1, f]"

        /** What stands for the unknown. */
        const val MISSING =
            "byte 0 for all that is not known, a category that is not listed, and a person's only picture"

        private const val AGE_UNIT = "age: years"
        private val NUMBERS = setOf(Person.AGE)
        private val WORDS = setOf(Person.SEX, Person.SITE)

        /** The `patient` of a card; null where the model takes pictures alone. */
        fun of(card: Fields): PatientInput? {
            val fields = card.fieldsOrNull("patient") ?: return null
            val columns = fields.list("columns")
            refuseWhatNobodyIsAsked(columns)
            fields.text("tensor") // its name; engines know it by its shape
            follow("patient.rule", fields.text("rule"), RULE)
            follow("patient.missing", fields.text("missing"), MISSING)
            val made = PatientInput(columns.map(::column))
            checkUnits(made, fields.text("units"))
            fields.nothingElse()
            val names = made.columns.map { it.name }
            if (names.isEmpty() || names.distinct() != names) fields.malformed("patient.columns are empty or repeat")
            return made
        }

        private fun refuseWhatNobodyIsAsked(columns: List<Fields>) {
            val beyond = columns.map { it.text("field") }.distinct() - NUMBERS - WORDS
            if (beyond.isNotEmpty()) throw EdgekdError.NeedsPatient(beyond)
        }

        private fun follow(name: String, stated: String, known: String) {
            if (stated != known) throw EdgekdError.UnknownRule(name, stated)
        }

        private fun checkUnits(made: PatientInput, units: String) {
            val stated = AGE_UNIT in units.split("; ")
            if (Person.AGE in made.fields && !stated) throw EdgekdError.UnknownRule("patient.units", units)
        }

        private fun column(fields: Fields): PatientColumn {
            val found = PatientColumn(
                name = fields.text("name"),
                field = fields.text("field"),
                category = fields.textOrNull("category"),
                low = fields.double("low"),
                high = fields.double("high"),
            )
            fields.nothingElse()
            val word = found.category?.let(Person::word)
            if (found.category != word || (word == null) != (found.field in NUMBERS)) {
                fields.malformed("the patient column ${found.name} has the category ${found.category}")
            }
            if (found.low >= found.high) fields.malformed("the patient column ${found.name} has no range")
            return found
        }
    }
}
