package org.edgekd.app

import android.content.Context
import org.edgekd.core.Bundle
import org.edgekd.core.EdgekdError
import org.edgekd.core.Engine

/** The engines of this build: TensorFlow Lite's interpreter on the CPU. */
fun buildEngines(context: Context): Engines = InterpreterEngines(context)

private class InterpreterEngines(private val context: Context) : Engines {
    override val versions: Map<String, String> = mapOf(InterpreterEngine.NAME to BuildConfig.TENSORFLOW_LITE_VERSION)

    override fun open(bundle: Bundle, accelerator: Accelerator): Engine = when (accelerator) {
        Accelerator.CPU -> InterpreterEngine(bundle, threadsOf(accelerator))
        // Its GPU delegate leaves operators it lacks to the CPU and does not tell: that would be a fallback.
        Accelerator.GPU -> throw EdgekdError.AcceleratorUnavailable(
            accelerator.label,
            context.getString(R.string.detail_no_gpu_in_build),
        )
    }
}
