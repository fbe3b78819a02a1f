package org.edgekd.app

import android.content.res.Resources
import org.edgekd.core.EdgekdError
import org.edgekd.core.Person
import org.edgekd.core.PictureLimits

/** Every error as one sentence for the user, from the app's resources. */
class Sentences(private val resources: Resources) {
    /** What went wrong; of an error that nobody foresaw at least its kind. */
    fun of(error: Throwable): String = when (error) {
        is EdgekdError -> of(error)
        is PhotoError -> error.argument?.let { say(error.sentence, it) } ?: say(error.sentence)
        is OutOfMemoryError -> say(R.string.photo_memory)
        else -> say(R.string.error_unexpected, error.toString())
    }

    private fun of(error: EdgekdError): String = when (error) {
        is EdgekdError.NoBundle -> say(R.string.error_no_bundle)
        is EdgekdError.MissingFile -> say(R.string.error_missing_file, error.path)
        is EdgekdError.ExtraFile -> say(R.string.error_extra_file, error.path)
        is EdgekdError.AlteredFile -> say(R.string.error_altered_file, error.path)
        is EdgekdError.Malformed -> say(R.string.error_malformed, error.file, error.detail)
        is EdgekdError.UnknownSchema -> say(R.string.error_schema, error.file, error.found, error.expected)
        is EdgekdError.WrongPlatform -> say(R.string.error_platform, error.found, error.expected)
        is EdgekdError.NeedsHairRemoval -> say(R.string.error_hair, error.kind)
        is EdgekdError.NeedsPatient -> say(R.string.error_patient, error.fields.joinToString(", "))
        is EdgekdError.UnknownRule -> say(R.string.error_rule, error.field, error.rule)
        is EdgekdError.NotVerified -> say(R.string.error_not_verified)
        is EdgekdError.PictureTooLarge ->
            say(R.string.error_too_large, error.width, error.height, PictureLimits.MAX_PIXELS / MILLION)
        is EdgekdError.EmptyPicture -> say(R.string.error_empty_picture)
        is EdgekdError.UnreadablePicture -> say(R.string.error_unreadable, error.detail)
        is EdgekdError.ImpossibleAge -> say(R.string.error_age, Person.MAX_AGE_YEARS)
        is EdgekdError.EngineMismatch -> say(R.string.error_mismatch, error.detail)
        is EdgekdError.EngineFailed -> say(R.string.error_engine, error.detail)
        is EdgekdError.AcceleratorUnavailable ->
            say(R.string.error_accelerator, error.accelerator.uppercase(), error.detail)
    }

    private fun say(sentence: Int, vararg arguments: Any): String = resources.getString(sentence, *arguments)

    private companion object {
        const val MILLION = 1_000_000
    }
}
