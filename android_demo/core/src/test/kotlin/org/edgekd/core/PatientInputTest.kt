package org.edgekd.core

import java.util.Random
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

/** What a card asks of a person; the bytes themselves are compared with Python's in [VectorsTest]. */
class PatientInputTest {
    private val columns = """{"name": "age", "field": "age", "category": null, "low": 20.0, "high": 70},
        {"name": "sex_female", "field": "sex", "category": "female", "low": 0.0, "high": 1.0},
        {"name": "sex_male", "field": "sex", "category": "male", "low": 0.0, "high": 1.0}"""
    private val patient = """{"tensor": "patient", "columns": [$columns], "rule": "${PatientInput.RULE}",
        "units": "age: years; other: kg", "missing": "${PatientInput.MISSING}"}"""

    private fun card(old: String = "", new: String = ""): Card {
        check(old in patient) { old }
        val text = TestBundle.CARD.replace("\"patient\": null", "\"patient\": ${patient.replace(old, new)}")
        return Card.parse(text.toByteArray())
    }

    private inline fun <reified T : EdgekdError> refuses(old: String, new: String): T =
        assertThrows("$old -> $new", T::class.java) { card(old, new) }

    @Test
    fun whatAFormNeeds() {
        val made = card().patient!!
        assertEquals(listOf("age", "sex"), made.fields)
        assertEquals(listOf("female", "male"), made.categories("sex"))
        assertEquals(emptyList<String>(), made.categories("age"))
        assertEquals(PatientColumn("age", "age", null, 20.0, 70.0), made.columns.first())
    }

    @Test
    fun whatIsUnknownIsZeroAndNamed() {
        val made = card().patient!!
        assertArrayEquals(byteArrayOf(0, 0, 0), made.bytes(Person.UNKNOWN))
        assertArrayEquals(byteArrayOf(-128, 0, -1), made.bytes(Person(45.0, " MALE ", "not asked")))
        assertEquals(listOf("age", "sex"), made.leftOpen(Person.UNKNOWN))
        assertEquals(listOf("age", "sex"), made.leftOpen(Person(sex = " \n")))
        assertEquals(listOf("sex"), made.leftOpen(Person(0.0, "of another kind", "back")))
        assertEquals(emptyList<String>(), made.leftOpen(Person(20.0, "Female")))
        assertNull(Person(site = "").site)
    }

    @Test
    fun anAgeNobodyHas() {
        for (years in listOf(-0.1, 120.5, 300.0, Double.NaN, Double.POSITIVE_INFINITY)) {
            assertThrows(EdgekdError.ImpossibleAge::class.java) { Person(years) }
        }
        assertEquals(listOf(0.0, 120.0), listOf(Person(0.0), Person(120.0)).map { it.age })
    }

    /** Nobody can be asked how many pictures there are of them, so the card is refused whatever else it says. */
    @Test
    fun whatNobodyIsAsked() {
        val refused = refuses<EdgekdError.NeedsPatient>(
            """"sex_male", "field": "sex", "category": "male"""",
            """"n", "field": "patient_images", "category": null""",
        )
        assertEquals(listOf("patient_images"), refused.fields)
        assertTrue(refused.message, "patient_images" in refused.message)
        assertEquals("patient.rule", refuses<EdgekdError.UnknownRule>("floor", "ceil").field)
        assertEquals("patient.missing", refuses<EdgekdError.UnknownRule>("byte 0 for", "byte 9 for").field)
        assertEquals("patient.units", refuses<EdgekdError.UnknownRule>("age: years", "age: months").field)
    }

    @Test
    fun contradictionsAreRefused() {
        for ((old, new) in listOf(
            columns to "",
            "sex_male" to "sex_female",
            "\"category\": \"male\"" to "\"category\": null",
            "\"category\": \"male\"" to "\"category\": \"Male\"",
            "\"category\": \"male\"" to "\"category\": \"\"",
            "\"category\": null" to "\"category\": \"old\"",
            "\"high\": 70" to "\"high\": 20",
            "\"high\": 70" to "\"high\": 1e999",
            "\"high\": 70" to "\"high\": 70, \"weight\": 2",
            "\"tensor\": \"patient\"," to "\"tensor\": \"patient\", \"scaled\": true,",
        )) {
            refuses<EdgekdError.Malformed>(old, new)
        }
    }

    @Test
    fun brokenInputsNeverCrash() {
        val random = Random(12)
        val text = TestBundle.CARD.replace("\"patient\": null", "\"patient\": $patient").toByteArray()
        var refused = 0
        repeat(5_000) {
            try {
                Card.parse(altered(text, random))
            } catch (error: EdgekdError) {
                refused++
            }
        }
        assertTrue("$refused refused", refused > 2_500)
    }
}
