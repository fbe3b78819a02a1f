package org.edgekd.app

import android.app.Application
import android.os.Handler
import android.os.Looper
import org.edgekd.core.BundleFiles
import org.edgekd.core.DeviceFacts
import java.util.concurrent.Executor
import java.util.concurrent.Executors

/** The process: the bundle it carries, the engines it was built with, and what is open. */
open class App : Application() {
    /** The bundle, as it was copied into the assets. */
    open val files: BundleFiles get() = AssetFiles(assets, ASSETS)

    /** What can run the model; each build of the app has its own. */
    open val engines: Engines by lazy { buildEngines(this) }

    /** The one that works: photos are decoded and networks run here, one after the other. */
    val worker: Executor by lazy {
        Executors.newSingleThreadExecutor { task -> Thread(task, "edgekd").apply { isDaemon = true } }
    }

    /** The thread of the screens. */
    val screen: Executor by lazy {
        val handler = Handler(Looper.getMainLooper())
        Executor { handler.post(it) }
    }

    /** What the screens show; it outlives every one of them, so that turning the phone loses nothing. */
    val session: Session by lazy { Session(this) }

    /** The benchmark; it outlives its screen as well. */
    val bench: BenchRun by lazy { BenchRun(this) { device } }

    /** This phone, for a benchmark record. */
    open val device: DeviceFacts get() = PhoneFacts(this).now()

    companion object {
        /** The folder of the assets that holds the bundle. */
        const val ASSETS: String = "bundle"
    }
}
