package org.edgekd.app

import android.content.ComponentName
import android.content.Intent
import android.content.pm.PackageManager
import android.net.Uri
import android.widget.Button
import org.edgekd.core.Bundle
import org.edgekd.core.DeviceFacts
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.shadows.ShadowLog
import java.io.File

/** The benchmark: golden set, record, share, and its start from a computer. */
@RunWith(RobolectricTestRunner::class)
class BenchScreenTest {
    private val phone = DeviceFacts(cpu = "a phone for tests", isa = "x86_64", cores = 2, os = "Android 15 (SDK 35)")

    private fun fromAdb(vararg extras: Pair<String, Any>): ActivityController<BenchActivity> {
        val intent = Intent().setComponent(ComponentName(app, "org.edgekd.app.AdbBench"))
        for ((name, value) in extras) {
            if (value is Int) intent.putExtra(name, value) else intent.putExtra(name, value as String)
        }
        return Robolectric.buildActivity(BenchActivity::class.java, intent).setup().also { settle() }
    }

    /** What adb's `logcat -s edgekd:*` shows. */
    private fun said(): List<String> = ShadowLog.getLogsForTag("edgekd").map { it.msg }

    private fun record(): JSONObject = JSONObject(checkNotNull(app.bench.state.record).file.readText())

    @Test
    fun `a record is written, shown and shared`() {
        app.phone = phone
        val screen = fromAdb("accelerator" to "cpu", "rounds" to 2, "runs" to 5).get()
        val latency = record().getJSONObject("latency_ms")
        assertEquals("ok", record().getString("status"))
        assertTrue(latency.getInt("n") >= 10)
        assertTrue(screen.text(R.id.bench_figures).contains("n = ${latency.getInt("n")}"))
        val golden = Bundle.open(app.files).golden().items.size
        assertEquals(app.getString(R.string.golden_passed, golden), screen.text(R.id.bench_golden))
        screen.part<Button>(R.id.bench_share).performClick()
        val chooser = shadowOf(screen).nextStartedActivity
        val send = checkNotNull(chooser.getParcelableExtra(Intent.EXTRA_INTENT, Intent::class.java))
        assertEquals(Intent.ACTION_SEND, send.action)
        val uri = checkNotNull(send.getParcelableExtra(Intent.EXTRA_STREAM, Uri::class.java))
        val shared = checkNotNull(app.contentResolver.openInputStream(uri)).use { String(it.readBytes()) }
        assertEquals(record().toString(), JSONObject(shared).toString())
        val file = checkNotNull(app.bench.state.record).file
        assertEquals(listOf("record: ${file.path}"), said())
        assertTrue(file.path.startsWith(checkNotNull(app.getExternalFilesDir(null)).path))
        file.copyTo(File(property("pictures"), "record.json"), overwrite = true) // Python reads it afterwards
        screen.picture("bench")
    }

    @Test
    fun `an emulator gives correctness and no latency`() {
        val screen = fromAdb("rounds" to 1, "runs" to 1).get()
        assertTrue(record().isNull("latency_ms") || !record().has("latency_ms"))
        assertTrue(screen.text(R.id.bench_figures).contains("correctness only"))
        checkNotNull(app.bench.state.record).file.copyTo(File(property("pictures"), "emulated.json"), overwrite = true)
    }

    @Test
    fun `a GPU that is not there is a record with the reason`() {
        app.phone = phone
        val screen = fromAdb("accelerator" to "gpu").get()
        assertEquals("unavailable", record().getString("status"))
        assertTrue(screen.text(R.id.bench_figures).contains(app.getString(R.string.detail_no_gpu_in_build)))
        checkNotNull(app.bench.state.record).file.copyTo(File(property("pictures"), "no-gpu.json"), overwrite = true)
    }

    @Test
    fun `turning the phone does not begin again`() {
        val controller = fromAdb("rounds" to 1, "runs" to 1)
        val before = app.bench.state.record
        controller.recreate()
        settle()
        assertTrue(before === app.bench.state.record)
        assertEquals("told once, or adb would fetch an old record", 1, said().size)
    }

    @Test
    fun `a start while a measurement is under way is told, and disturbs nothing`() {
        val wish = BenchWish(Accelerator.CPU, rounds = 1, runs = 1)
        app.bench.start(wish)
        app.bench.start(wish.copy(runs = 9))
        assertEquals(listOf(app.getString(R.string.bench_under_way)), said())
        settle()
        assertEquals(wish, app.bench.state.wish)
        assertEquals(2, said().size)
    }

    @Test
    fun `what makes no sense from a computer is refused`() {
        for ((extra, sentence) in listOf(
            ("accelerator" to "npu") to app.getString(R.string.bench_unknown_accelerator, "npu", "cpu, gpu"),
            ("runs" to 0) to app.getString(R.string.bench_out_of_range, 5, 0, 10_000),
        )) {
            assertEquals(sentence, fromAdb(extra).get().text(R.id.bench_figures))
            assertEquals(sentence, said().last())
        }
        assertFalse(app.bench.state.running)
    }

    @Test
    fun `opened by hand it waits to be started`() {
        app.phone = phone
        val screen = Robolectric.buildActivity(BenchActivity::class.java).setup().get()
        settle()
        assertEquals(null, app.bench.state.wish)
        assertFalse(screen.shown(R.id.bench_answer))
    }

    @Test
    fun `only adb's shell may start it from outside`() {
        val flags = PackageManager.PackageInfoFlags.of(PackageManager.GET_ACTIVITIES.toLong())
        val found = checkNotNull(app.packageManager.getPackageInfo(app.packageName, flags).activities)
            .associateBy { it.name.substringAfterLast('.') }
        val (alias, own) = found.getValue("AdbBench") to found.getValue("BenchActivity")
        assertTrue(alias.exported)
        assertEquals("android.permission.DUMP", alias.permission)
        assertFalse(own.exported)
    }

    @Test
    fun `shared files stay inside their folders`() {
        val authority = "${app.packageName}.files"
        File(app.cacheDir, "secret").writeText("x")
        for (path in listOf("photo/..%2Fsecret", "other/a", "photo", "bench/none.json", "photo/a/b")) {
            val opened = runCatching { app.contentResolver.openInputStream(Uri.parse("content://$authority/$path")) }
            assertTrue(path, opened.exceptionOrNull() is java.io.FileNotFoundException)
        }
    }
}
