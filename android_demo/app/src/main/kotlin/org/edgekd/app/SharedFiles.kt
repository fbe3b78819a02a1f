package org.edgekd.app

import android.content.ContentProvider
import android.content.ContentValues
import android.content.Context
import android.database.Cursor
import android.database.MatrixCursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException

/**
 * Files of the app that another app may open, one at a time and only while it was granted: the photo a camera
 * app writes (`photo`), and the benchmark record that is shared (`bench`).
 */
class SharedFiles : ContentProvider() {
    override fun onCreate(): Boolean = true

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor {
        val file = fileOf(checkNotNull(context), uri)
        if (mode != READ && folderOf(uri) != PHOTOS) throw FileNotFoundException("$uri can only be read")
        return ParcelFileDescriptor.open(file, ParcelFileDescriptor.parseMode(mode))
    }

    override fun getType(uri: Uri): String = if (folderOf(uri) == PHOTOS) "image/jpeg" else "application/json"

    /** Name and size, which is what an app that receives a file asks for. */
    override fun query(
        uri: Uri,
        projection: Array<out String>?,
        selection: String?,
        selectionArgs: Array<out String>?,
        sortOrder: String?,
    ): Cursor {
        val file = fileOf(checkNotNull(context), uri)
        val columns = projection ?: arrayOf(OpenableColumns.DISPLAY_NAME, OpenableColumns.SIZE)
        val row = columns.map {
            when (it) {
                OpenableColumns.DISPLAY_NAME -> file.name
                OpenableColumns.SIZE -> file.length()
                else -> null
            }
        }
        return MatrixCursor(columns, 1).apply { addRow(row) }
    }

    override fun insert(uri: Uri, values: ContentValues?): Uri = throw UnsupportedOperationException()

    override fun delete(uri: Uri, selection: String?, selectionArgs: Array<out String>?): Int =
        throw UnsupportedOperationException()

    override fun update(uri: Uri, values: ContentValues?, where: String?, args: Array<out String>?): Int =
        throw UnsupportedOperationException()

    companion object {
        private const val READ = "r"
        private const val PHOTOS = "photo"
        private const val BENCHES = "bench"

        /** An empty file for a camera app to write to; the photos taken before are gone. */
        fun newPhoto(context: Context): Uri {
            val folder = File(context.cacheDir, PHOTOS)
            folder.deleteRecursively()
            folder.mkdirs()
            return uriOf(context, PHOTOS, File.createTempFile("taken", ".jpg", folder).name)
        }

        /** Where benchmark records are kept: the app's own folder on the shared storage, which adb can read. */
        fun benches(context: Context): File =
            File(context.getExternalFilesDir(null) ?: context.filesDir, BENCHES).apply { mkdirs() }

        /** The address of the record [file] in [benches]. */
        fun bench(context: Context, file: File): Uri = uriOf(context, BENCHES, file.name)

        private fun uriOf(context: Context, folder: String, name: String): Uri =
            Uri.Builder().scheme("content").authority("${context.packageName}.files")
                .appendPath(folder).appendPath(name).build()

        private fun folderOf(uri: Uri): String? = uri.pathSegments.firstOrNull()

        private fun fileOf(context: Context, uri: Uri): File {
            val (folder, name) = uri.pathSegments.takeIf { it.size == 2 } ?: throw FileNotFoundException("$uri")
            val root = when (folder) {
                PHOTOS -> File(context.cacheDir, PHOTOS)
                BENCHES -> benches(context)
                else -> throw FileNotFoundException("$uri")
            }
            val file = File(root, name)
            if (File(name).name != name || !file.isFile) throw FileNotFoundException("$uri")
            return file
        }
    }
}
