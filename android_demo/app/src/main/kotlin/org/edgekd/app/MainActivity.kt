package org.edgekd.app

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.ClipData
import android.content.Intent
import android.net.Uri
import android.os.Build
import android.os.Bundle
import android.provider.MediaStore
import android.widget.Button
import android.widget.RadioGroup

/** The first screen: a photo in, an answer out, and before both that it is not a diagnosis. */
open class MainActivity : Activity() {
    private val session by lazy { (application as App).session }
    private val page by lazy { MainPage(part(R.id.page), session::tell) }
    private val listener: (State) -> Unit = { page.show(it) }
    private var taken: Uri? = null

    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.main)
        taken = saved?.uri(TAKEN)
        // The process was ended meanwhile: the session is new and looks at the photo again.
        saved?.uri(PHOTO)?.takeIf { session.state.photo == null }?.let(session::look)
        onClick(R.id.choose) { choose() }
        onClick(R.id.take) { take() }
        onClick(R.id.again) { session.again() }
        onClick(R.id.forget) { session.tell(Told()) }
        onClick(R.id.about) { startActivity(Intent(this, CardActivity::class.java)) }
        onClick(R.id.bench) { startActivity(Intent(this, BenchActivity::class.java)) }
    }

    override fun onStart() {
        super.onStart()
        session.watch(listener)
        part<RadioGroup>(R.id.engines).setOnCheckedChangeListener { _, chosen ->
            session.choose(if (chosen == R.id.gpu) Accelerator.GPU else Accelerator.CPU)
        }
    }

    override fun onStop() {
        part<RadioGroup>(R.id.engines).setOnCheckedChangeListener(null)
        session.forget(listener)
        super.onStop()
    }

    override fun onSaveInstanceState(out: Bundle) {
        super.onSaveInstanceState(out)
        out.putParcelable(TAKEN, taken)
        out.putParcelable(PHOTO, session.state.photo)
    }

    /** The system's own picker: it grants this one photo, so no permission is asked for. */
    private fun choose() {
        val pick = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*")
        pick.putExtra(Intent.EXTRA_TITLE, getString(R.string.choose_photo_title))
        startFor(CHOOSE, pick, R.string.no_picker)
    }

    /** The camera app writes into a file of ours; this app has no camera permission, and needs none. */
    private fun take() {
        val uri = SharedFiles.newPhoto(this)
        taken = uri
        val capture = Intent(MediaStore.ACTION_IMAGE_CAPTURE).putExtra(MediaStore.EXTRA_OUTPUT, uri)
        capture.clipData = ClipData.newRawUri(null, uri)
        capture.addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION or Intent.FLAG_GRANT_WRITE_URI_PERMISSION)
        startFor(TAKE, capture, R.string.no_camera)
    }

    private fun startFor(request: Int, intent: Intent, nobody: Int) {
        try {
            startActivityForResult(intent, request)
        } catch (_: ActivityNotFoundException) {
            session.report(getString(nobody))
        } catch (_: SecurityException) {
            session.report(getString(R.string.camera_denied))
        }
    }

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        super.onActivityResult(request, result, data)
        if (result != RESULT_OK) return
        when (request) {
            CHOOSE -> data?.data?.let(::keepAndLook)
            TAKE -> taken?.let(session::look) ?: session.report(getString(R.string.camera_empty))
        }
    }

    /** Keeps the right to read, so that the photo can be looked at again after the process ended. */
    private fun keepAndLook(uri: Uri) {
        try {
            contentResolver.takePersistableUriPermission(uri, Intent.FLAG_GRANT_READ_URI_PERMISSION)
        } catch (_: SecurityException) {
            // Not every app that offers photos lets them be kept: then they are looked at once.
        }
        session.look(uri)
    }

    private fun onClick(id: Int, action: () -> Unit) =
        part<Button>(id).setOnClickListener { action() }

    private fun Bundle.uri(key: String): Uri? =
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
            getParcelable(key, Uri::class.java)
        } else {
            @Suppress("DEPRECATION") getParcelable(key)
        }

    private companion object {
        const val CHOOSE = 1
        const val TAKE = 2
        const val TAKEN = "taken"
        const val PHOTO = "photo"
    }
}
