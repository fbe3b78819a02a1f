package org.edgekd.app

import android.app.Activity
import android.graphics.Bitmap
import android.graphics.Canvas
import android.net.Uri
import android.os.Looper
import android.view.View
import android.view.ViewGroup
import android.widget.TextView
import org.edgekd.core.Bundle
import org.edgekd.core.BundleFiles
import org.edgekd.core.DeviceFacts
import org.edgekd.core.Engine
import org.edgekd.jvm.LiteRtEngine
import org.json.JSONObject
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import java.io.ByteArrayInputStream
import java.io.DataOutputStream
import java.io.File
import java.io.InputStream
import java.security.MessageDigest
import java.util.concurrent.CountDownLatch
import java.util.zip.CRC32

/** The app with what differs on a desktop: LiteRT's desktop library computes, and tests choose the bundle. */
class TestApp : App() {
    /** Another bundle than the one in the assets. */
    var bundle: BundleFiles? = null

    /** What the phone says of itself; null: what Robolectric says. */
    var phone: DeviceFacts? = null

    /** The names of the threads on which the network ran. */
    val threads: MutableSet<String> = java.util.Collections.synchronizedSet(LinkedHashSet())

    override val files: BundleFiles get() = bundle ?: super.files
    override val device: DeviceFacts get() = phone ?: super.device
    override val engines: Engines by lazy { DesktopEngines(buildEngines(this), threads) }
}

/** CPU: the library of the Python wheel. GPU: what the build itself says. */
private class DesktopEngines(private val built: Engines, private val threads: MutableSet<String>) : Engines {
    override val versions: Map<String, String> = mapOf("ai-edge-litert" to property("litert.version"))

    override fun open(bundle: Bundle, accelerator: Accelerator): Engine = when (accelerator) {
        Accelerator.CPU -> Watched(
            LiteRtEngine(
                property("litert.library"),
                property("litert.version"),
                bundle.files.open(bundle.modelPath).use(InputStream::readBytes),
                threadsOf(accelerator),
            ),
            threads,
        )
        Accelerator.GPU -> built.open(bundle, accelerator)
    }
}

private class Watched(private val engine: Engine, private val threads: MutableSet<String>) : Engine by engine {
    override fun invoke() {
        threads += Thread.currentThread().name
        engine.invoke()
    }
}

internal fun property(name: String): String = checkNotNull(System.getProperty("edgekd.$name")) { name }

internal val app: TestApp get() = RuntimeEnvironment.getApplication() as TestApp

/** Lets the worker finish what it was given, and the main thread show it. */
internal fun settle() {
    repeat(SETTLE_ROUNDS) {
        val done = CountDownLatch(1)
        app.worker.execute(done::countDown)
        done.await()
        shadowOf(Looper.getMainLooper()).idle()
    }
}

/** A round trip from main thread to worker and back may start another one: opening, engine, photo. */
private const val SETTLE_ROUNDS = 4

/** An address under which the content resolver gives [bytes]. */
internal fun photo(bytes: ByteArray): Uri = photoOf { ByteArrayInputStream(bytes) }

internal fun photoOf(open: () -> InputStream): Uri {
    val uri = Uri.parse("content://photos.test/${System.nanoTime()}")
    shadowOf(app.contentResolver).registerInputStreamSupplier(uri) { open() }
    return uri
}

internal fun golden(name: String): ByteArray = app.files.open(name).use { it.readBytes() }

/** A bundle of the assets as files of one's own, to be spoiled. */
internal class OwnBundle(folder: String = App.ASSETS) : BundleFiles {
    private val content = AssetFiles(app.assets, folder).let { from ->
        from.names().associateWithTo(HashMap()) { name -> from.open(name).use(InputStream::readBytes) }
    }

    override fun names(): List<String> = content.keys.toList()

    override fun open(path: String): InputStream = content.getValue(path).inputStream()

    fun alter(path: String, change: (ByteArray) -> ByteArray) {
        content[path] = change(content.getValue(path))
    }

    /** Changes the card, and the manifest so that only the card's own rules can refuse it. */
    fun card(change: (JSONObject) -> Unit) {
        alter("card.json") { bytes -> JSONObject(String(bytes)).also(change).toString().toByteArray() }
        manifest {
            val facts = it.getJSONObject("files").getJSONObject("card.json")
            facts.put("sha256", sha256(content.getValue("card.json")))
            facts.put("size_bytes", content.getValue("card.json").size)
        }
    }

    /** Changes the manifest. */
    fun manifest(change: (JSONObject) -> Unit) =
        alter("manifest.json") { bytes -> JSONObject(String(bytes)).also(change).toString().toByteArray() }
}

internal fun sha256(bytes: ByteArray): String =
    MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(it) }

/** A PNG whose header promises [width] × [height] and that holds no pixel. */
internal fun emptyPng(width: Int, height: Int): ByteArray {
    val file = java.io.ByteArrayOutputStream()
    val out = DataOutputStream(file)
    out.writeLong(-0x76afb1b8f2f5e5f6L) // 89 50 4E 47 0D 0A 1A 0A
    val header = java.io.ByteArrayOutputStream()
    DataOutputStream(header).run {
        writeInt(width)
        writeInt(height)
        write(byteArrayOf(8, 2, 0, 0, 0))
    }
    for ((name, data) in listOf("IHDR" to header.toByteArray(), "IDAT" to ByteArray(0), "IEND" to ByteArray(0))) {
        val chunk = name.toByteArray() + data
        out.writeInt(data.size)
        out.write(chunk)
        out.writeInt(CRC32().apply { update(chunk) }.value.toInt())
    }
    return file.toByteArray()
}

/** [jpeg] with an Exif segment that states [orientation]. */
internal fun oriented(jpeg: ByteArray, orientation: Int): ByteArray {
    val tiff = byteArrayOf(0x4D, 0x4D, 0, 0x2A, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0) +
        byteArrayOf(orientation.toByte(), 0, 0, 0, 0, 0, 0)
    val body = "Exif".toByteArray() + byteArrayOf(0, 0) + tiff
    val marker = byteArrayOf(0xFF.toByte(), 0xE1.toByte(), 0, (body.size + 2).toByte())
    return jpeg.copyOfRange(0, 2) + marker + body + jpeg.copyOfRange(2, jpeg.size)
}

/** A picture in which no two neighbourhoods are alike. */
internal fun pattern(width: Int, height: Int): Bitmap {
    val colours = IntArray(width * height) { at ->
        val (x, y) = at % width to at / width
        (0xFF shl 24) or ((x * 255 / width) shl 16) or ((y * 255 / height) shl 8) or ((x * 7 + y * 13) and 0xFF)
    }
    return Bitmap.createBitmap(colours, width, height, Bitmap.Config.ARGB_8888)
}

internal fun encoded(bitmap: Bitmap, format: Bitmap.CompressFormat): ByteArray =
    java.io.ByteArrayOutputStream().also { bitmap.compress(format, 92, it) }.toByteArray()

/** [view] and all below it. */
internal fun all(view: View): List<View> {
    val group = view as? ViewGroup ?: return listOf(view)
    return listOf(view) + (0 until group.childCount).flatMap { all(group.getChildAt(it)) }
}

internal fun Activity.text(id: Int): String = part<TextView>(id).text.toString()

internal fun Activity.shown(id: Int): Boolean = part<View>(id).isShown

/** The screen as a PNG, and the whole page below it where it is longer. */
internal fun Activity.picture(name: String) {
    val decor = window.decorView
    decor.jumpDrawablesToCurrentState() // no picture of a button half way
    save(name, decor.width, decor.height) { decor.draw(it) }
    val page = findViewById<android.widget.ScrollView>(R.id.page) ?: return
    val all = page.getChildAt(0)
    if (all.height <= decor.height) return
    save("$name-page", all.width, all.height) {
        it.drawColor(getColor(R.color.background))
        all.draw(it)
    }
}

private fun save(name: String, width: Int, height: Int, draw: (Canvas) -> Unit) {
    val bitmap = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)
    draw(Canvas(bitmap))
    File(property("pictures"), "$name.png").outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
}
