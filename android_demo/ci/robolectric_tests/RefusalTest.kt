package org.edgekd.app

import android.widget.Button
import org.edgekd.core.BundleFiles
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import java.io.FileNotFoundException
import java.io.InputStream

/** Bundles that must not be used: one sentence each, nothing to press, no crash. */
@RunWith(RobolectricTestRunner::class)
class RefusalTest {
    private fun refused(files: BundleFiles, picture: String? = null): String {
        app.bundle = files
        val screen = Robolectric.buildActivity(MainActivity::class.java).setup().get()
        settle()
        assertTrue(screen.shown(R.id.problem))
        assertEquals(app.getString(R.string.refused_title), screen.text(R.id.problem_title))
        for (id in listOf(R.id.choose, R.id.take, R.id.about, R.id.bench)) {
            assertFalse(screen.part<Button>(id).isEnabled)
        }
        assertNull(app.session.state.running)
        picture?.let { screen.picture(it) }
        return screen.text(R.id.problem_body)
    }

    private fun refusedCard(change: (JSONObject) -> Unit): String = refused(OwnBundle().apply { card(change) })

    private fun string(id: Int, vararg arguments: Any): String = app.getString(id, *arguments)

    @Test
    fun `no bundle`() {
        val nothing = object : BundleFiles {
            override fun names(): List<String> = emptyList()

            override fun open(path: String): InputStream = throw FileNotFoundException(path)
        }
        assertEquals(string(R.string.error_no_bundle), refused(nothing))
    }

    @Test
    fun `assets without a bundle`() {
        assertEquals(string(R.string.error_no_bundle), refused(AssetFiles(app.assets, "no-such-folder")))
    }

    @Test
    fun `one bit of the model`() {
        val altered = OwnBundle().apply {
            alter("model.tflite") { bytes -> bytes.also { it[it.size / 2] = (it[it.size / 2] + 1).toByte() } }
        }
        assertEquals(string(R.string.error_altered_file, "model.tflite"), refused(altered, picture = "refused"))
    }

    @Test
    fun `a card of another version`() {
        val said = refusedCard { it.put("schema", "edgekd.card/2") }
        assertEquals(string(R.string.error_schema, "card.json", "edgekd.card/2", "edgekd.card/1"), said)
    }

    @Test
    fun `a card that was altered`() {
        val altered = OwnBundle().apply { alter("card.json") { it + '\n'.code.toByte() } }
        assertEquals(string(R.string.error_altered_file, "card.json"), refused(altered))
    }

    @Test
    fun `hair removal`() {
        val said = refusedCard { it.put("hair_removal", "oriented") }
        assertEquals(string(R.string.error_hair, "oriented"), said)
    }

    @Test
    fun `what nobody can be asked of themselves`() {
        val columns = JSONArray()
        for (field in listOf("age", "patient_images")) columns.put(JSONObject().put("field", field))
        val said = refusedCard { it.put("patient", JSONObject().put("columns", columns)) }
        assertEquals(string(R.string.error_patient, "patient_images"), said)
    }

    @Test
    fun `no operating point`() {
        val said = refusedCard { it.put("operating_point", JSONObject.NULL) }
        assertEquals(string(R.string.error_not_verified), said)
    }

    @Test
    fun `pixels made in another way`() {
        val said = refusedCard { it.put("pixel_rule", "as you like it") }
        assertEquals(string(R.string.error_rule, "pixel_rule", "as you like it"), said)
    }

    @Test
    fun `another size of input than the model has is no answer`() {
        app.bundle = OwnBundle().apply { card { it.put("input_px", it.getInt("input_px") + 1) } }
        val screen = Robolectric.buildActivity(MainActivity::class.java).setup().get()
        settle()
        assertTrue(screen.text(R.id.problem_body), screen.text(R.id.problem_body).startsWith("The model does not fit"))
        assertNull(app.session.state.running)
        assertFalse(screen.part<Button>(R.id.choose).isEnabled)
    }
}
