package org.edgekd.app

import android.content.res.AssetManager
import org.edgekd.core.BundleFiles
import java.io.InputStream

/** A bundle in the [folder] of an app's assets. */
class AssetFiles(private val assets: AssetManager, private val folder: String) : BundleFiles {
    override fun names(): List<String> = below("")

    override fun open(path: String): InputStream = assets.open("$folder/$path", AssetManager.ACCESS_STREAMING)

    /** The files below [path]; a name that lists nothing is a file. */
    private fun below(path: String): List<String> {
        val here = listOf(folder, path).filter { it.isNotEmpty() }.joinToString("/")
        return assets.list(here).orEmpty().flatMap { name ->
            val found = if (path.isEmpty()) name else "$path/$name"
            below(found).ifEmpty { listOf(found) }
        }
    }
}
