package org.edgekd.app

import android.text.Editable
import android.text.TextWatcher
import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.EditText
import android.widget.Spinner
import android.widget.TextView
import org.edgekd.core.PatientInput
import org.edgekd.core.Person

/**
 * The questions about the person in [form]: those the card's model learns from, each of which may stay empty.
 * [tell] hears of every change. The views themselves save nothing when the phone is turned or the process ends.
 */
class PersonForm(private val form: View, private val tell: (Told) -> Unit) {
    private var asked: PatientInput? = null
    private var filling = false
    private val age: EditText get() = form.part(R.id.age)

    /** Asks what [patient] takes, nothing at all where it is null, and shows what was [told]. */
    fun show(patient: PatientInput?, told: Told) {
        form.visibility = if (patient == null) View.GONE else View.VISIBLE
        if (patient == null) return
        if (patient !== asked) open(patient)
        if (told != read()) fill(told)
        form.part<View>(R.id.age_wrong).visibility = if (told.person == null) View.VISIBLE else View.GONE
        form.part<View>(R.id.forget).isEnabled = told != Told()
    }

    private fun open(patient: PatientInput) {
        asked = patient
        for ((field, views) in VIEWS) {
            for (id in views) form.part<View>(id).visibility = if (field in patient.fields) View.VISIBLE else View.GONE
        }
        for ((field, id) in CHOICES) offer(form.part(id), patient.categories(field))
        age.addTextChangedListener(object : TextWatcher {
            override fun beforeTextChanged(text: CharSequence?, start: Int, count: Int, after: Int) = Unit

            override fun onTextChanged(text: CharSequence?, start: Int, before: Int, count: Int) = Unit

            override fun afterTextChanged(text: Editable?) = changed()
        })
    }

    private fun offer(choice: Spinner, categories: List<String>) {
        val unknown = form.resources.getString(R.string.person_unknown)
        choice.adapter = ArrayAdapter(form.context, R.layout.choice, listOf(unknown) + categories)
        choice.onItemSelectedListener = object : AdapterView.OnItemSelectedListener {
            override fun onItemSelected(parent: AdapterView<*>?, view: View?, place: Int, id: Long) = changed()

            override fun onNothingSelected(parent: AdapterView<*>?) = changed()
        }
    }

    private fun changed() {
        if (!filling) tell(read())
    }

    private fun fill(told: Told) {
        filling = true
        age.setText(told.age)
        for ((field, id) in CHOICES) {
            form.part<Spinner>(id).setSelection(asked?.categories(field).orEmpty().indexOf(told.said(field)) + 1)
        }
        filling = false
    }

    private fun read(): Told = Told(age.text.toString(), chosen(Person.SEX), chosen(Person.SITE))

    /** The first place stands for what is left empty. */
    private fun chosen(field: String): String? {
        val place = form.part<Spinner>(CHOICES.getValue(field)).selectedItemPosition
        return asked?.categories(field).orEmpty().getOrNull(place - 1)
    }

    companion object {
        private val CHOICES = mapOf(Person.SEX to R.id.sex, Person.SITE to R.id.site)
        private val VIEWS = mapOf(
            Person.AGE to listOf(R.id.age_label, R.id.age),
            Person.SEX to listOf(R.id.sex_label, R.id.sex),
            Person.SITE to listOf(R.id.site_label, R.id.site),
        )

        /** What a [field] of a card is called in a sentence. */
        fun nameOf(field: String): Int = when (field) {
            Person.AGE -> R.string.field_age
            Person.SEX -> R.string.field_sex
            else -> R.string.field_site
        }
    }
}
