package org.edgekd.app

import android.content.Context
import android.os.Build
import android.os.PowerManager
import org.edgekd.core.DeviceFacts
import java.io.File
import java.io.IOException

/** What this phone tells about itself, for a benchmark record; what it keeps to itself stays unknown. */
class PhoneFacts(private val context: Context) {
    /** The phone as it is now. */
    fun now(): DeviceFacts = DeviceFacts(
        cpu = listOf(Build.MANUFACTURER, Build.MODEL, chip()).filter { it.isNotBlank() }.joinToString(" "),
        isa = isa(),
        cores = Runtime.getRuntime().availableProcessors(),
        os = "Android ${Build.VERSION.RELEASE} (SDK ${Build.VERSION.SDK_INT})",
        governor = read("$CPUFREQ/scaling_governor"),
        frequencyMhz = read("$CPUFREQ/scaling_cur_freq")?.toDoubleOrNull()?.div(KHZ_PER_MHZ),
        simulation = simulation(),
        noise = noise(),
    )

    private fun chip(): String = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) {
        "(${Build.SOC_MANUFACTURER} ${Build.SOC_MODEL})"
    } else {
        "(${Build.HARDWARE})"
    }

    private fun simulation(): String? = when {
        Build.HARDWARE in EMULATORS -> "an emulator (${Build.HARDWARE})"
        Build.FINGERPRINT == ROBOLECTRIC -> "an emulated Android ($ROBOLECTRIC)"
        else -> null
    }

    private fun noise(): List<String> {
        val power = checkNotNull(context.getSystemService(PowerManager::class.java))
        val hot = Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q &&
            power.currentThermalStatus >= PowerManager.THERMAL_STATUS_MODERATE
        return listOfNotNull(
            "power saving mode was on".takeIf { power.isPowerSaveMode },
            "the phone was throttled by heat".takeIf { hot },
        )
    }

    companion object {
        private const val CPUFREQ = "/sys/devices/system/cpu/cpu0/cpufreq"
        private const val KHZ_PER_MHZ = 1000
        private const val ROBOLECTRIC = "robolectric"
        private val EMULATORS = setOf("goldfish", "ranchu")
        private val KERNEL_FLAGS = setOf("asimd", "asimdhp", "asimddp", "i8mm", "sve", "sve2", "avx", "avx2", "fma")

        /** The machine and the instruction sets that matter to kernels, as Linux names them. */
        fun isa(): String {
            val flags = read("/proc/cpuinfo").orEmpty().lineSequence()
                .filter { it.startsWith("Features") || it.startsWith("flags") }
                .firstOrNull().orEmpty().substringAfter(':').split(' ').filter { it in KERNEL_FLAGS }
            return (listOf(Build.SUPPORTED_ABIS.firstOrNull() ?: "unknown") + flags).joinToString(" ")
        }

        private fun read(path: String): String? = try {
            File(path).readText().trim().ifEmpty { null }
        } catch (_: IOException) {
            null
        }
    }
}
