package org.edgekd.app

import org.edgekd.core.Bundle
import org.edgekd.core.Engine

/** What may be asked to compute; [label] is its name in records and errors. */
enum class Accelerator(val label: String) {
    CPU("cpu"),
    GPU("gpu"),
    ;

    companion object {
        /** The accelerator called [label]; null where there is none of this name. */
        fun of(label: String?): Accelerator? = values().firstOrNull { it.label == label }
    }
}

/** The engines that one build of the app holds. */
interface Engines {
    /** The distribution and its version, for records: name to version. */
    val versions: Map<String, String>

    /**
     * The model of [bundle] on [accelerator] and nothing else.
     *
     * @throws org.edgekd.core.EdgekdError.AcceleratorUnavailable it is not there; nothing runs in its place
     * @throws org.edgekd.core.EdgekdError.EngineFailed the model did not load
     */
    fun open(bundle: Bundle, accelerator: Accelerator): Engine
}

/** Threads of a network on [accelerator]: more than four slow small networks down on a phone's processor. */
internal fun threadsOf(accelerator: Accelerator): Int = when (accelerator) {
    Accelerator.CPU -> Runtime.getRuntime().availableProcessors().coerceIn(1, MAX_THREADS)
    Accelerator.GPU -> 1
}

private const val MAX_THREADS = 4
