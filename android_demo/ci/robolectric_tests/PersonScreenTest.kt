package org.edgekd.app

import android.app.Activity
import android.content.Intent
import android.os.Parcel
import android.widget.Button
import android.widget.EditText
import android.widget.Spinner
import android.widget.TextView
import org.edgekd.core.Bundle
import org.edgekd.core.GoldenSet
import org.json.JSONObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController

/** Models that also take what is known of the person; the bundles in assets/persons, the network really running. */
@RunWith(RobolectricTestRunner::class)
class PersonScreenTest {
    private fun opened(bundle: String): ActivityController<MainActivity> {
        app.bundle = AssetFiles(app.assets, "persons/$bundle")
        return Robolectric.buildActivity(MainActivity::class.java).setup().also { settle() }
    }

    private fun golden(): GoldenSet = Bundle.open(app.files).golden()

    private fun Activity.choosePhoto(image: String) {
        part<Button>(R.id.choose).performClick()
        val asked = shadowOf(this).nextStartedActivityForResult
        shadowOf(this).receiveResult(asked.intent, Activity.RESULT_OK, Intent().setData(photo(golden(image))))
        settle()
    }

    private fun Activity.type(age: String) {
        part<EditText>(R.id.age).setText(age)
        settle()
    }

    private fun Activity.pick(id: Int, word: String) {
        val choice = part<Spinner>(id)
        choice.setSelection((0 until choice.count).first { choice.getItemAtPosition(it) == word })
        settle()
    }

    private fun Activity.press(id: Int) {
        part<Button>(id).performClick()
        settle()
    }

    private fun string(id: Int, vararg arguments: Any): String = app.getString(id, *arguments)

    @Test
    fun `what the form says gives golden pictures Python's score`() {
        val screen = opened("person-last").get()
        assertEquals(
            listOf(true, true, true, false, false),
            listOf(R.id.person, R.id.age, R.id.sex, R.id.site, R.id.site_label).map(screen::shown),
        )
        screen.type("50")
        screen.pick(R.id.sex, "female")
        val told = checkNotNull(app.session.state.told.person)
        assertArrayEquals(golden().patient, checkNotNull(Bundle.open(app.files).card.patient).bytes(told))
        for (item in golden().items.take(PICTURES)) {
            screen.choosePhoto(item.image)
            val answer = checkNotNull(app.session.state.answer) { item.image }
            assertEquals(item.image, item.score, answer.assessment.score, 1e-6)
        }
        assertEquals(string(R.string.person_told, "age 50, sex female"), screen.text(R.id.known))
        screen.press(R.id.forget)
        assertEquals(listOf("", 0), listOf(screen.text(R.id.age), screen.part<Spinner>(R.id.sex).selectedItemPosition))
        assertEquals(Told(), app.session.state.told)
    }

    @Test
    fun `what was left empty is named, and an answer about somebody else is taken away`() {
        val screen = opened("person-first").get()
        val sites = screen.part<Spinner>(R.id.site)
        assertEquals(listOf(string(R.string.person_unknown), "head/neck"), (0..1).map(sites::getItemAtPosition))
        screen.picture("person")
        screen.choosePhoto(golden().items.first().image)
        assertEquals(string(R.string.person_without, "site, age, sex"), screen.text(R.id.known))
        val unknown = checkNotNull(app.session.state.answer).assessment.score
        screen.pick(R.id.site, "lower extremity")
        assertNull(app.session.state.answer)
        assertFalse(screen.shown(R.id.answer))
        assertEquals(string(R.string.person_changed), screen.text(R.id.status))
        screen.picture("person-changed")
        screen.press(R.id.again)
        assertFalse(screen.shown(R.id.again))
        val said = listOf(
            string(R.string.person_told, "site lower extremity"),
            string(R.string.person_without, "age, sex"),
        )
        assertEquals(said.joinToString(" "), screen.text(R.id.known))
        assertTrue(checkNotNull(app.session.state.answer).assessment.score != unknown)
        screen.picture("person-answer")
    }

    /** A look that is under way when the form changes ends without an answer, which would be somebody else's. */
    @Test
    fun `a change while the photo is looked at`() {
        val screen = opened("person-last").get()
        app.session.look(photo(golden(golden().items.first().image)))
        app.session.tell(Told(age = "30"))
        settle()
        assertNull(app.session.state.answer)
        assertEquals("30", screen.text(R.id.age))
        screen.press(R.id.again)
        assertEquals("30", checkNotNull(app.session.state.answer).told.age)
    }

    @Test
    fun `an age nobody has`() {
        val screen = opened("person-last").get()
        val typed = listOf("121" to false, "120" to true, "-1" to false, "7,5" to true, "." to false, "" to true)
        for ((age, possible) in typed) {
            screen.type(age)
            assertEquals(age, possible, !screen.shown(R.id.age_wrong))
            assertEquals(age, possible, screen.part<Button>(R.id.choose).isEnabled)
            val status = string(if (possible) R.string.ready else R.string.waiting_for_age)
            assertEquals(status, screen.text(R.id.status))
        }
    }

    @Test
    fun `turning the phone keeps the form, and nothing of it is saved`() {
        val controller = opened("person-last")
        controller.get().type("73.25")
        controller.get().pick(R.id.sex, "male")
        assertFalse("73.25" in saved(controller))
        val age = controller.get().part<EditText>(R.id.age)
        age.isSaveEnabled = true
        assertTrue("what is saved would be seen here", "73.25" in saved(controller))
        age.isSaveEnabled = false
        controller.recreate()
        settle()
        assertEquals("73.25", controller.get().text(R.id.age))
        assertEquals("male", controller.get().part<Spinner>(R.id.sex).selectedItem)
        assertEquals(Told("73.25", "male"), app.session.state.told)
    }

    /** What the system would keep of the screen, as text: once as UTF-8, once as UTF-16. */
    private fun saved(controller: ActivityController<MainActivity>): String {
        val state = android.os.Bundle()
        controller.saveInstanceState(state)
        val bytes = Parcel.obtain().run { writeBundle(state).let { marshall() } }
        return String(bytes, Charsets.ISO_8859_1) + String(bytes, Charsets.UTF_16LE)
    }

    @Test
    fun `twice the font size, and everything large enough to press`() {
        RuntimeEnvironment.setFontScale(2f)
        val screen = opened("person-first").get()
        screen.type("121")
        val form = all(screen.part(R.id.person)).filter { it.isShown }
        for (view in form.filterIsInstance<TextView>()) {
            val layout = checkNotNull(view.layout)
            assertEquals("${view.text} is cut", 0, (0 until layout.lineCount).sumOf { layout.getEllipsisCount(it) })
            val needed = layout.height + view.compoundPaddingTop + view.compoundPaddingBottom
            assertTrue("${view.text}: ${view.height} of $needed px", view.height >= needed)
        }
        val least = 48 * screen.resources.displayMetrics.density
        assertEquals(4, form.count { it.isClickable })
        for (view in form.filter { it.isClickable }) assertTrue("$view", view.height >= least)
        screen.picture("person-large-font")
    }

    @Test
    fun `a file that takes a person, and a card that knows of none`() {
        app.bundle = OwnBundle("persons/person-last").apply { card { it.put("patient", JSONObject.NULL) } }
        val screen = Robolectric.buildActivity(MainActivity::class.java).setup().get()
        settle()
        val detail = "beside the picture it takes 3 values of the person, the card says 0"
        assertEquals(string(R.string.error_mismatch, detail), screen.text(R.id.problem_body))
        assertNull(app.session.state.running)
        assertFalse(screen.shown(R.id.person) || screen.part<Button>(R.id.choose).isEnabled)
    }

    @Test
    fun `the benchmark knows nothing of a person, and the card tells what is taken`() {
        app.bundle = AssetFiles(app.assets, "persons/person-last")
        app.bench.start(BenchWish(Accelerator.CPU, rounds = 1, runs = 1))
        settle()
        val record = checkNotNull(app.bench.state.record).json
        assertEquals("ok", record.getString("status"))
        assertEquals("[1,3]", record.getJSONObject("model").getJSONArray("input").getJSONObject(1).getString("shape"))
        val card = Robolectric.buildActivity(CardActivity::class.java).setup().get()
        settle()
        val said = all(card.part(R.id.sections)).filterIsInstance<TextView>().map { "${it.text}" }
        assertTrue("$said", "age: 10.0 to 90.0 in training\nsex: female, male" in said)
    }

    /** LiteRT's buffers are in the order of the signature, where a file has one: here the other way round. */
    @Test
    fun `which input takes the person is read from the file`() {
        for ((bundle, type) in mapOf("person-first" to TfliteFacts.INT8, "person-last" to TfliteFacts.UINT8)) {
            val model = AssetFiles(app.assets, "persons/$bundle").open("model.tflite").use { it.readBytes() }
            val facts = TfliteFacts.of(model)
            assertEquals(listOf(0, 1), listOf(facts.places.image, facts.places.patient))
            assertTrue(bundle, facts.inputs.all { it.type == type })
        }
    }

    private companion object {
        /** Of the golden set: [MainScreenTest] has them all, and the person is the same beside each. */
        const val PICTURES = 4
    }
}
