package org.edgekd.core

/**
 * Everything that can go wrong here. [message] is one plain sentence that may be shown to a user; the class
 * and its properties tell a developer which case it is.
 *
 *     EdgekdError
 *     ├── the bundle:  NoBundle, MissingFile, ExtraFile, AlteredFile, Malformed, UnknownSchema, WrongPlatform
 *     ├── the model:   NeedsHairRemoval, NeedsPatient, UnknownRule, NotVerified
 *     ├── the picture: PictureTooLarge, EmptyPicture, UnreadablePicture
 *     ├── the person:  ImpossibleAge
 *     └── the engine:  EngineMismatch, EngineFailed, AcceleratorUnavailable
 */
public sealed class EdgekdError(message: String, cause: Throwable? = null) : Exception(message, cause) {
    /** The sentence for the user. */
    final override val message: String
        get() = super.message.orEmpty()

    /** There is no bundle at all: no manifest.json. */
    public class NoBundle(cause: Throwable? = null) :
        EdgekdError("This app holds no model: copy a bundle made by \"edgekd bundle\" into it.", cause)

    /** [path] is listed in the manifest and not there, or cannot be read. */
    public class MissingFile(public val path: String, cause: Throwable? = null) :
        EdgekdError("The model bundle is incomplete: $path is missing or unreadable.", cause)

    /** [path] lies in the bundle and is not listed in the manifest. */
    public class ExtraFile(public val path: String) :
        EdgekdError("The model bundle holds $path, which its manifest does not list.")

    /** The bytes of [path] are not those the manifest lists. */
    public class AlteredFile(public val path: String) :
        EdgekdError("$path was altered after the model bundle was made, so the model is not used.")

    /** [file] is not what it should be; [detail] says where and why. */
    public class Malformed(public val file: String, public val detail: String) :
        EdgekdError("$file cannot be read: $detail.")

    /** [file] is of another version than this app knows. */
    public class UnknownSchema(
        public val file: String,
        public val found: String,
        public val expected: String,
    ) : EdgekdError("$file is of the version \"$found\", this app knows only \"$expected\".")

    /** The bundle was made for [found], another platform. */
    public class WrongPlatform(public val found: String, public val expected: String) :
        EdgekdError("The model bundle was made for $found, this app needs one for $expected.")

    /** The pictures would have to be freed of hairs by the method [kind] first, which is not possible here. */
    public class NeedsHairRemoval(public val kind: String) :
        EdgekdError("This model needs hairs taken out of the picture ($kind), which this app cannot do.")

    /** The network's second input takes [fields] of the person that are not known here: only age, sex and site. */
    public class NeedsPatient(public val fields: List<String>) :
        EdgekdError(
            "This model also needs to know ${fields.joinToString(", ")} of the person, " +
                "which this app cannot ask for.",
        )

    /** The card's [field] states a [rule] this library does not follow. */
    public class UnknownRule(public val field: String, public val rule: String) :
        EdgekdError("This model follows a rule that this app does not know ($field: \"$rule\").")

    /** The card has no operating point, so nothing can be called malignant or benign. */
    public class NotVerified :
        EdgekdError("This model was not verified: it has no operating point to compare a score with.")

    /** A picture of [width] × [height] pixels is refused before it is decoded. */
    public class PictureTooLarge(public val width: Int, public val height: Int) :
        EdgekdError(
            "The photo is too large: $width × $height pixels, the limit is " +
                "${PictureLimits.MAX_PIXELS / 1_000_000} megapixels.",
        )

    /** A picture without a pixel. */
    public class EmptyPicture : EdgekdError("The photo is empty: it has no pixels.")

    /** Whoever decodes throws it: no image, an empty or a damaged file. */
    public class UnreadablePicture(public val detail: String, cause: Throwable? = null) :
        EdgekdError("The photo cannot be read: $detail.", cause)

    /** Nobody is [years] old. */
    public class ImpossibleAge(public val years: Double) :
        EdgekdError("The age is $years, 0 to ${Person.MAX_AGE_YEARS} years are expected, or nothing.")

    /** The model in the engine is not the one the card describes. */
    public class EngineMismatch(public val detail: String) :
        EdgekdError("The model does not fit its card: $detail.")

    /** The engine could not load or run the model. */
    public class EngineFailed(public val detail: String, cause: Throwable? = null) :
        EdgekdError("The model could not be run: $detail.", cause)

    /** The accelerator that was asked for is not there; nothing else is run in its place. */
    public class AcceleratorUnavailable(
        public val accelerator: String,
        public val detail: String,
        cause: Throwable? = null,
    ) : EdgekdError("The accelerator \"$accelerator\" cannot be used on this device: $detail.", cause)
}
