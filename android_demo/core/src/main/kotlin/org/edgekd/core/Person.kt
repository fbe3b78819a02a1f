package org.edgekd.core

/**
 * What is known of the person in a photo; null, or a text of blanks: unknown, and never guessed.
 *
 * [age] in years. [sex] and [site] (of the lesion) are kept in lower case with single blanks, as the categories
 * of a card are. What the card of a model has no column for is not used.
 *
 * @throws EdgekdError.ImpossibleAge nobody is of that age
 */
public class Person(public val age: Double? = null, sex: String? = null, site: String? = null) {
    public val sex: String? = word(sex)
    public val site: String? = word(site)

    init {
        if (age != null && age !in 0.0..MAX_AGE_YEARS.toDouble()) throw EdgekdError.ImpossibleAge(age)
    }

    /** The value of a field that is a number; null where it is unknown. */
    internal fun number(field: String): Double? = if (field == AGE) age else null

    /** The value of a field that is a word; null where it is unknown. */
    internal fun category(field: String): String? = when (field) {
        SEX -> sex
        SITE -> site
        else -> null
    }

    public companion object {
        public const val MAX_AGE_YEARS: Int = 120

        /** Nothing is known. */
        public val UNKNOWN: Person = Person()

        /** The fields by the names that cards give them. */
        public const val AGE: String = "age"
        public const val SEX: String = "sex"
        public const val SITE: String = "site"

        private const val NEXT_LINE = '\u0085' // a blank in Python, none in Kotlin

        /** [text] as Python's `" ".join(text.lower().split())` has it; null where nothing is left. */
        internal fun word(text: String?): String? =
            text?.lowercase()?.map { if (it == NEXT_LINE || it.isWhitespace()) ' ' else it }
                ?.joinToString("")?.split(' ')?.filter(String::isNotEmpty)
                ?.joinToString(" ")?.ifEmpty { null }
    }
}
