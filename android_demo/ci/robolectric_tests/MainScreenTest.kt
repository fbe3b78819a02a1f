package org.edgekd.app

import android.Manifest
import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.drawable.BitmapDrawable
import android.net.Uri
import android.provider.MediaStore
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.ImageView
import android.widget.RadioButton
import org.edgekd.core.Bundle
import org.edgekd.core.GoldenItem
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertSame
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import java.io.IOException

/** The first screen, with the network really running. */
@RunWith(RobolectricTestRunner::class)
class MainScreenTest {
    private fun opened(): ActivityController<MainActivity> =
        Robolectric.buildActivity(MainActivity::class.java).setup().also { settle() }

    private fun items(): List<GoldenItem> = Bundle.open(app.files).golden().items

    private fun Activity.choose(uri: Uri) {
        part<Button>(R.id.choose).performClick()
        val asked = shadowOf(this).nextStartedActivityForResult
        shadowOf(this).receiveResult(asked.intent, Activity.RESULT_OK, Intent().setData(uri))
        settle()
    }

    private fun Activity.problem(): String = if (shown(R.id.problem)) text(R.id.problem_body) else ""

    private fun string(id: Int, vararg arguments: Any): String = app.getString(id, *arguments)

    @Test
    fun `it says first that it is not a diagnosis, and on what it runs`() {
        val screen = opened().get()
        val first = (screen.part<ViewGroup>(R.id.page).getChildAt(0) as ViewGroup).getChildAt(0)
        assertEquals(R.id.notice, first.id)
        assertTrue(first.isShown)
        val running = checkNotNull(app.session.state.running)
        assertEquals("cpu", running.accelerator)
        assertTrue(screen.text(R.id.engine).contains(running.version))
        assertEquals(string(R.string.ready), screen.text(R.id.status))
        assertEquals("", screen.problem())
        screen.picture("start")
    }

    @Test
    fun `a model that verification did not pass says so in the notice`() {
        val screen = opened().get()
        val own = OwnBundle()
        for ((verdict, warning) in mapOf(
            "failed" to string(R.string.verdict_failed),
            "undecided" to string(R.string.verdict_undecided),
            "none" to string(R.string.verdict_none),
            "of a later version" to string(R.string.verdict_other, "of a later version"),
            "passed" to null,
        )) {
            own.manifest { it.put("verdict", verdict) }
            MainPage(screen.part(R.id.page)).show(app.session.state.copy(bundle = Bundle.open(own)))
            val said = screen.text(R.id.notice_verdict).takeIf { screen.shown(R.id.notice_verdict) }
            assertEquals(verdict, warning, said)
        }
    }

    @Test
    fun `every golden picture gets Python's pixels and Python's score`() {
        val screen = opened().get()
        val px = Bundle.open(app.files).card.inputPx
        assumeTrue("what --bundle takes of a person is asked in PersonScreenTest", !screen.shown(R.id.person))
        for (item in items()) {
            screen.choose(photo(golden(item.image)))
            val answer = checkNotNull(app.session.state.answer) { "${item.image}: ${screen.problem()}" }
            assertArrayEquals(item.image, golden(item.input), answer.seen.rgb(px))
            assertEquals(item.image, item.score, answer.assessment.score, 1e-6)
            assertEquals(item.image, item.malignant, answer.assessment.malignant)
        }
        assertEquals(setOf("edgekd"), app.threads)
    }

    private fun android.graphics.Bitmap.rgb(px: Int): ByteArray {
        val colours = IntArray(px * px).also { getPixels(it, 0, px, 0, 0, px, px) }
        return ByteArray(3 * px * px) { (colours[it / 3] shr (16 - 8 * (it % 3))).toByte() }
    }

    @Test
    fun `an answer says score, operating point, meaning and each time`() {
        val screen = opened().get()
        val item = items().first()
        screen.choose(photo(golden(item.image)))
        val card = checkNotNull(app.session.state.bundle).card
        val score = screen.text(R.id.score)
        assertTrue(score, score.contains("%+.2f".format(item.score)))
        assertTrue(score, score.contains("%+.2f".format(card.operatingPoint.threshold)))
        assertTrue(screen.text(R.id.meaning).contains(card.operatingPoint.fittedOn))
        val times = screen.part<ViewGroup>(R.id.times)
        assertEquals(4, times.childCount)
        val timings = checkNotNull(app.session.state.answer).assessment.timings
        assertTrue(timings.preprocessNs > 0 && timings.inferenceNs > 0)
        assertTrue(timings.totalNs >= timings.preprocessNs + timings.inferenceNs)
        val seen = screen.part<ImageView>(R.id.seen).drawable as BitmapDrawable
        assertEquals(card.inputPx, seen.bitmap.width)
        assertEquals(card.labels.size, screen.part<ViewGroup>(R.id.logits).childCount)
        assertNotNull(screen.part<View>(R.id.gauge).contentDescription)
        screen.picture("answer")
    }

    @Test
    fun `a photo that cannot be judged gets no call`() {
        val limit = JSONObject().put("measure", "brightness").put("low", 1e9).put("high", JSONObject.NULL)
        val quality = JSONObject().put("rule", "edgekd.quality/1").put("colours", "f".repeat(256))
            .put("limits", JSONArray().put(limit.put("rule", "for a test")))
            .put("fitted_on", "train").put("images", 1).put("refused", 1)
        app.bundle = OwnBundle().apply { card { it.put("quality", quality) } }
        val screen = opened().get()
        screen.choose(photo(golden(items().first().image)))
        assertEquals(string(R.string.result_unfit), screen.text(R.id.verdict))
        assertTrue(screen.text(R.id.verdict_body), "too dark" in screen.text(R.id.verdict_body))
        for (id in listOf(R.id.call, R.id.score, R.id.gauge, R.id.probability, R.id.logits)) {
            assertFalse(screen.shown(id))
        }
        screen.picture("unfit")
    }

    @Test
    fun `turning the phone loses nothing and computes nothing again`() {
        val controller = opened()
        controller.get().choose(photo(golden(items().first().image)))
        val before = app.session.state.answer
        val score = controller.get().text(R.id.score)
        RuntimeEnvironment.setQualifiers("+land")
        controller.recreate()
        settle()
        assertSame(before, app.session.state.answer)
        assertEquals(score, controller.get().text(R.id.score))
        assertTrue(controller.get().shown(R.id.answer))
    }

    @Test
    @Config(qualifiers = "w891dp-h411dp-land-xhdpi")
    fun `landscape`() {
        val screen = opened().get()
        screen.choose(photo(golden(items().first().image)))
        assertTrue(screen.shown(R.id.answer))
        screen.picture("landscape")
    }

    @Test
    fun `a photo on the way while the phone is turned arrives on the new screen`() {
        val controller = opened()
        app.session.look(photo(golden(items().first().image)))
        controller.recreate()
        settle()
        assertTrue(controller.get().shown(R.id.answer))
    }

    @Test
    fun `after the process was ended the photo is looked at again`() {
        val uri = photo(golden(items().first().image))
        val saved = android.os.Bundle().apply { putParcelable("photo", uri) }
        Robolectric.buildActivity(MainActivity::class.java).setup(saved)
        settle()
        assertNotNull(app.session.state.answer)
    }

    @Test
    fun `no GPU is an error with a way out, and nothing runs in its place`() {
        val screen = opened().get()
        screen.choose(photo(golden(items().first().image)))
        screen.part<RadioButton>(R.id.gpu).performClick()
        settle()
        val detail = string(R.string.detail_no_gpu_in_build)
        assertEquals(string(R.string.error_accelerator, "GPU", detail), screen.problem())
        assertNull(app.session.state.running)
        assertNull(app.session.state.answer)
        assertEquals(string(R.string.engine_none), screen.text(R.id.engine))
        assertFalse(screen.part<Button>(R.id.choose).isEnabled)
        screen.picture("no-gpu")
        screen.part<RadioButton>(R.id.cpu).performClick()
        settle()
        assertEquals("", screen.problem())
        assertTrue("the photo is looked at again", screen.shown(R.id.answer))
    }

    @Test
    fun `what is no photo is a sentence`() {
        val screen = opened().get()
        val jpeg = encoded(pattern(64, 64), android.graphics.Bitmap.CompressFormat.JPEG)
        val png = encoded(pattern(64, 64), android.graphics.Bitmap.CompressFormat.PNG)
        val cases = listOf(
            photo(ByteArray(0)) to string(R.string.photo_empty),
            photo("no picture at all".toByteArray()) to string(R.string.photo_not_image),
            photo(jpeg.copyOf(jpeg.size / 2)) to string(R.string.photo_damaged),
            photo(png.copyOf(png.size / 2)) to string(R.string.photo_damaged),
            photo(emptyPng(16_320, 12_240)) to string(R.string.error_too_large, 16_320, 12_240, 100),
            photoOf { throw SecurityException("Permission Denial") } to string(R.string.photo_denied),
            photoOf { throw IOException("gone") } to string(R.string.photo_gone),
            photoOf { throw OutOfMemoryError("for a test") } to string(R.string.photo_memory),
        )
        for ((uri, sentence) in cases) {
            screen.choose(uri)
            assertEquals(sentence, screen.problem())
            assertFalse(screen.shown(R.id.answer))
            assertTrue(screen.part<Button>(R.id.choose).isEnabled)
        }
        assertEquals("no copy of a photo is left", 0, app.cacheDir.listFiles().orEmpty().count { it.isFile })
        screen.picture("problem")
        screen.choose(photo(png))
        assertEquals("", screen.problem())
        assertTrue(screen.shown(R.id.answer))
    }

    @Test
    fun `the camera writes into a file of ours, and no permission is asked for`() {
        val screen = opened().get()
        screen.part<Button>(R.id.take).performClick()
        val asked = shadowOf(screen).nextStartedActivityForResult.intent
        assertEquals(MediaStore.ACTION_IMAGE_CAPTURE, asked.action)
        val both = Intent.FLAG_GRANT_READ_URI_PERMISSION or Intent.FLAG_GRANT_WRITE_URI_PERMISSION
        assertEquals(both, asked.flags and both)
        val uri = checkNotNull(asked.getParcelableExtra(MediaStore.EXTRA_OUTPUT, Uri::class.java))
        val bytes = golden(items().first().image)
        checkNotNull(app.contentResolver.openOutputStream(uri)).use { it.write(bytes) }
        shadowOf(screen).receiveResult(asked, Activity.RESULT_OK, null)
        settle()
        assertEquals(items().first().score, checkNotNull(app.session.state.answer).assessment.score, 1e-6)
        val flags = PackageManager.PackageInfoFlags.of(PackageManager.GET_PERMISSIONS.toLong())
        assertNull(app.packageManager.getPackageInfo(app.packageName, flags).requestedPermissions)
    }

    @Test
    fun `a camera that gave nothing, was cancelled, denied or is not there`() {
        val screen = opened().get()
        screen.part<Button>(R.id.take).performClick()
        val asked = shadowOf(screen).nextStartedActivityForResult.intent
        shadowOf(screen).receiveResult(asked, Activity.RESULT_OK, null)
        settle()
        assertEquals(string(R.string.photo_empty), screen.problem())
        screen.part<Button>(R.id.take).performClick()
        val again = shadowOf(screen).nextStartedActivityForResult.intent
        shadowOf(screen).receiveResult(again, Activity.RESULT_CANCELED, null)
        settle()
        assertNull(app.session.state.answer)
        for ((thrown, sentence) in listOf(
            SecurityException(Manifest.permission.CAMERA) to R.string.camera_denied,
            ActivityNotFoundException() to R.string.no_camera,
        )) {
            val refusing = Robolectric.buildActivity(RefusingActivity::class.java).setup().get()
            settle()
            refusing.thrown = thrown
            refusing.part<Button>(R.id.take).performClick()
            settle()
            assertEquals(string(sentence), refusing.problem())
        }
    }

    @Test
    @Config(qualifiers = "w411dp-h891dp-night-xhdpi")
    fun `dark`() {
        val screen = opened().get()
        screen.choose(photo(golden(items().first().image)))
        assertTrue(luminance(screen.getColor(R.color.background)) < 0.2)
        checkContrast(screen)
        screen.picture("dark")
    }

    @Test
    fun `twice the font size cuts nothing off`() {
        RuntimeEnvironment.setFontScale(2f)
        val screen = opened().get()
        screen.choose(photo(golden(items().first().image)))
        for (view in all(screen.part(R.id.page)).filterIsInstance<android.widget.TextView>().filter { it.isShown }) {
            val layout = checkNotNull(view.layout)
            assertEquals("${view.text} is cut", 0, (0 until layout.lineCount).sumOf { layout.getEllipsisCount(it) })
            val needed = layout.height + view.compoundPaddingTop + view.compoundPaddingBottom
            assertTrue("${view.text}: ${view.height} of $needed px", view.height >= needed)
        }
        screen.picture("large-font")
    }

    @Test
    fun `everything that can be pressed is large and says what it is`() {
        val screen = opened().get()
        screen.choose(photo(golden(items().first().image)))
        val least = 48 * screen.resources.displayMetrics.density
        for (view in all(screen.part(R.id.page)).filter { it.isClickable && it.isShown }) {
            assertTrue("$view", view.height >= least && view.width >= least)
            assertTrue("$view", !(view as android.widget.TextView).text.isNullOrBlank())
        }
        for (view in all(screen.part(R.id.page)).filterIsInstance<ImageView>()) assertNotNull(view.contentDescription)
        checkContrast(screen)
    }

    private fun checkContrast(screen: Activity) {
        for ((on, under) in listOf(
            R.color.text to R.color.surface,
            R.color.text_soft to R.color.surface,
            R.color.on_notice to R.color.notice,
            R.color.on_problem to R.color.problem,
            R.color.on_accent to R.color.accent,
            R.color.malignant to R.color.surface,
            R.color.benign to R.color.surface,
        )) {
            val name = screen.resources.getResourceEntryName(on)
            assertTrue("contrast of $name", contrast(screen.getColor(on), screen.getColor(under)) >= 4.5)
        }
    }

    private fun luminance(colour: Int): Double = android.graphics.Color.luminance(colour).toDouble()

    /** WCAG 2.1: (lighter + 0.05) / (darker + 0.05). */
    private fun contrast(one: Int, other: Int): Double {
        val (dark, light) = listOf(luminance(one), luminance(other)).sorted()
        return (light + 0.05) / (dark + 0.05)
    }
}

/** The first screen on a phone where starting another app for a result fails. */
class RefusingActivity : MainActivity() {
    lateinit var thrown: RuntimeException

    @Deprecated("Deprecated in Java")
    override fun startActivityForResult(intent: Intent, requestCode: Int): Unit = throw thrown
}
