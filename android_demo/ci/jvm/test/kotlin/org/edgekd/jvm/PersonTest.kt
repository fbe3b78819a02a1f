package org.edgekd.jvm

import java.io.File
import org.edgekd.core.EdgekdError
import org.edgekd.core.Fields
import org.edgekd.core.Json
import org.edgekd.core.LesionClassifier
import org.edgekd.core.Person
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

/** Real inference on models that also take a person. */
class PersonTest {
    private val folder = File(Given.property("edgekd.persons"))

    /** NAME.json in the folder `edgekd.persons`: persons, and Python's logits of the first golden picture. */
    @Test
    fun everyPersonGetsPythonsLogits() {
        for (bundle in Given.bundles.filter { it.card.patient != null }) {
            val made = bundle.card.patient!!
            val file = "${bundle.card.name}.json"
            val rows = Fields.of(Json.parse(File(folder, file).readBytes(), file), file).list("persons")
            val picture = bundle.files.open(bundle.golden().items.first().image).use(PngDecoder::decode)
            val logits = LesionClassifier(bundle, Given.engine(bundle)).use { classifier ->
                rows.map { row ->
                    val person = Person(row.doubleOrNull("age"), row.textOrNull("sex"), row.textOrNull("site"))
                    val found = classifier.classify(picture, person)
                    val expected = row.doubles("logits").map(Double::toFloat)
                    assertEquals("${bundle.card.name}: ${made.bytes(person).toList()}", expected, found.logits)
                    assertEquals(made.leftOpen(person), found.without)
                    expected
                }
            }
            assertTrue("who it is makes no difference", logits.distinct().size > rows.size / 2)
            println("${bundle.card.name}: ${rows.size} persons")
        }
    }

    /** Whoever asks the same engine without a person afterwards gets nobody's bytes. */
    @Test
    fun nobodyIsRemembered() {
        val bundle = Given.bundles.first { it.card.patient != null }
        LesionClassifier(bundle, Given.engine(bundle)).use { classifier ->
            val pixels = bundle.read(bundle.golden().items.first().input)
            val unknown = classifier.assess(pixels)
            assertEquals(bundle.card.patient!!.fields, unknown.without)
            val known = classifier.assess(pixels, Person(age = 80.0, sex = "male"))
            assertTrue(known.logits != unknown.logits)
            assertEquals(unknown.logits, classifier.assess(pixels).logits)
        }
        val alone = Given.bundles.first { it.card.patient == null }
        LesionClassifier(alone, Given.engine(alone)).use { classifier ->
            val pixels = alone.read(alone.golden().items.first().input)
            assertEquals(emptyList<String>(), classifier.assess(pixels, Person(age = 80.0)).without)
        }
    }

    /** No second input, one where the card has none, another length: all three, each in one sentence. */
    @Test
    fun aModelThatTakesAnotherPersonIsRefused() {
        val lengths = HashSet<Pair<Int, Int>>()
        for (model in Given.bundles) {
            Given.engine(model).use { engine ->
                for (bundle in Given.bundles.filter { it.card.inputPx == engine.inputPx }) {
                    val length = bundle.card.patient?.columns?.size ?: 0
                    if (length == engine.patientLength) continue
                    val said = assertThrows(EdgekdError.EngineMismatch::class.java) {
                        LesionClassifier(bundle, engine)
                    }.message
                    assertTrue(said, "${engine.patientLength} values of the person" in said)
                    lengths.add(length to engine.patientLength)
                }
            }
        }
        assertEquals(6, lengths.size)
    }

    @Test
    fun bytesOfAnotherLengthAreNotFed() {
        val bundle = Given.bundles.first { it.card.patient != null }
        Given.engine(bundle).use { engine ->
            val pixels = bundle.read(bundle.golden().items.first().input)
            for (length in listOf(0, engine.patientLength - 1, engine.patientLength + 1)) {
                assertThrows(IllegalArgumentException::class.java) { engine.feed(pixels, ByteArray(length)) }
            }
            assertArrayEquals(ByteArray(engine.patientLength), bundle.card.patient!!.bytes(Person.UNKNOWN))
        }
    }
}
