package org.edgekd.app

import org.edgekd.core.EdgekdError
import org.edgekd.core.Person

/**
 * What was typed and chosen of the person, as it stands in the form: empty at every start, for it is kept in this
 * process and nowhere else. Null and an empty text: left empty.
 */
data class Told(val age: String = "", val sex: String? = null, val site: String? = null) {
    /** The person; null where nobody can be of the age that was typed. */
    val person: Person?
        get() {
            val typed = age.trim().replace(',', '.')
            val years = if (typed.isEmpty()) null else typed.toDoubleOrNull() ?: return null
            return try {
                Person(years, sex, site)
            } catch (_: EdgekdError.ImpossibleAge) {
                null
            }
        }

    /** What stands in a [field] of the card; null where it was left empty, and of a field that nobody is asked for. */
    fun said(field: String): String? = when (field) {
        Person.AGE -> age.trim().ifEmpty { null }
        Person.SEX -> sex
        Person.SITE -> site
        else -> null
    }
}
