package org.edgekd.app

import android.content.Context
import com.google.ai.edge.litert.Accelerator as LiteRtAccelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.LiteRtException
import org.edgekd.core.Bundle
import org.edgekd.core.EdgekdError
import org.edgekd.core.Engine
import org.edgekd.core.EngineFacts

/** The engines of this build: LiteRT's CompiledModel on CPU and GPU. */
fun buildEngines(context: Context): Engines = LiteRtEngines(context)

private class LiteRtEngines(private val context: Context) : Engines {
    override val versions: Map<String, String> = mapOf(NAME to BuildConfig.LITERT_VERSION)

    override fun open(bundle: Bundle, accelerator: Accelerator): Engine {
        val model = TfliteFacts.of(bundle.files.open(bundle.modelPath).use { it.readBytes() })
        try {
            val environment = environment(accelerator)
            return LiteRtEngine(environment, compiled(bundle, accelerator, environment), model, facts(accelerator))
        } catch (error: LiteRtException) {
            throw refused(accelerator, error)
        } catch (error: UnsatisfiedLinkError) {
            throw EdgekdError.EngineFailed("its library is not made for this processor", error)
        }
    }

    private fun environment(accelerator: Accelerator): Environment {
        val environment = Environment.create()
        if (chosen(accelerator) in environment.getAvailableAccelerators()) return environment
        environment.close()
        throw EdgekdError.AcceleratorUnavailable(accelerator.label, "LiteRT finds none on this device")
    }

    /** The model on this one accelerator: with a second one in the list LiteRT would fall back to it unasked. */
    private fun compiled(bundle: Bundle, accelerator: Accelerator, environment: Environment): CompiledModel {
        val options = CompiledModel.Options(chosen(accelerator))
        if (accelerator == Accelerator.CPU) {
            options.cpuOptions = CompiledModel.CpuOptions(threadsOf(accelerator), null, null)
        }
        return CompiledModel.create(context.assets, "${App.ASSETS}/${bundle.modelPath}", options, environment)
    }

    private fun facts(accelerator: Accelerator): EngineFacts = EngineFacts(
        name = NAME,
        version = BuildConfig.LITERT_VERSION,
        kernels = if (accelerator == Accelerator.CPU) "xnnpack" else "litert-gpu",
        threads = threadsOf(accelerator),
        isa = PhoneFacts.isa(),
        accelerator = accelerator.label,
    )

    private fun refused(accelerator: Accelerator, error: LiteRtException): EdgekdError {
        val detail = error.message.orEmpty()
        return when (accelerator) {
            Accelerator.CPU -> EdgekdError.EngineFailed(detail, error)
            Accelerator.GPU -> EdgekdError.AcceleratorUnavailable(accelerator.label, detail, error)
        }
    }

    private fun chosen(accelerator: Accelerator): LiteRtAccelerator = when (accelerator) {
        Accelerator.CPU -> LiteRtAccelerator.CPU
        Accelerator.GPU -> LiteRtAccelerator.GPU
    }

    private companion object {
        const val NAME = "litert"
    }
}
