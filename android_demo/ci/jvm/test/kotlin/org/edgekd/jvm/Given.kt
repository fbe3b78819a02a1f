package org.edgekd.jvm

import java.io.File
import org.edgekd.core.Bundle
import org.edgekd.core.Engine
import org.edgekd.core.EngineOpener
import org.edgekd.core.FolderFiles
import org.junit.Assume.assumeTrue

/** What ci/run hands over as properties: bundles that Python wrote in the same run, and LiteRT's library. */
internal object Given {
    val bundles: List<Bundle>
        get() = property("edgekd.bundles").split(File.pathSeparator).map { Bundle.open(FolderFiles(File(it))) }

    fun engine(bundle: Bundle, threads: Int = 1): Engine = LiteRtEngine(
        property("edgekd.litert"),
        property("edgekd.litert.version"),
        bundle.read(bundle.modelPath),
        threads,
    )

    fun opener(bundle: Bundle): EngineOpener = object : EngineOpener {
        override fun open(): Engine = engine(bundle)
    }

    fun property(name: String): String {
        val value = System.getProperty(name)
        assumeTrue("the property $name is not set: ci/run sets it", value != null)
        return value.orEmpty()
    }
}
