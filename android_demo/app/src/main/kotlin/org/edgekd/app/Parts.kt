package org.edgekd.app

import android.app.Activity
import android.view.View

/** The view [id] of this screen, which its layout holds. */
internal fun <T : View> Activity.part(id: Int): T = checkNotNull(findViewById<T>(id))

/** The view [id] in this one, which its layout holds. */
internal fun <T : View> View.part(id: Int): T = checkNotNull(findViewById<T>(id))
