package org.edgekd.jvm

import java.io.InputStream
import javax.imageio.ImageIO
import org.edgekd.core.ArgbPicture
import org.edgekd.core.EdgekdError
import org.edgekd.core.Picture
import org.edgekd.core.PictureDecoder

/** PNG files by the JDK's own reader. */
public object PngDecoder : PictureDecoder {
    override fun decode(stream: InputStream): Picture {
        val image = ImageIO.read(stream) ?: throw EdgekdError.UnreadablePicture("it is no image")
        val pixels = image.getRGB(0, 0, image.width, image.height, null, 0, image.width)
        return ArgbPicture(image.width, image.height, pixels)
    }
}
