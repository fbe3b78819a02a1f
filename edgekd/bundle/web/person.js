// The form for what the model takes beside the picture. Every question may stay open, and nothing is kept.

import { AGE_YEARS, categoriesOf, fieldsOf } from "./patient.js";

const PAUSE_MS = 300; // an age is typed digit by digit: the answer waits for the last one

export class PersonForm {
  #form;
  #fields;

  /** Show the questions of the card's `patient` in `form`; `changed` is called when something else is told. */
  constructor(form, patient, changed) {
    this.#form = form;
    this.#fields = fieldsOf(patient);
    form.reset(); // some browsers fill in again what was typed before the page was loaded anew
    for (const field of this.#fields) this.#open(field, patient);
    let pause = 0;
    const later = () => {
      clearTimeout(pause);
      pause = setTimeout(() => {
        this.#mark();
        changed();
      }, PAUSE_MS);
    };
    for (const kind of ["input", "reset"]) form.addEventListener(kind, later);
    form.addEventListener("submit", (event) => event.preventDefault()); // what Enter does in a field
    form.hidden = false;
  }

  /** {person, problem}: {age, sex, site} less what is left empty, and a sentence on what cannot be, or "". */
  read() {
    const told = this.#fields.map((field) => [field, this.#told(field)]).filter(([, value]) => value !== null);
    return { person: Object.fromEntries(told), problem: this.#problem() };
  }

  #open(field, patient) {
    const control = this.#form.elements[field];
    if (field === "age") Object.assign(control, AGE_YEARS);
    else control.append(...categoriesOf(patient, field).map((category) => new Option(category, category)));
    control.closest("label").hidden = false;
  }

  #told(field) {
    const { value, valueAsNumber } = this.#form.elements[field];
    if (value === "") return null;
    return field === "age" ? valueAsNumber : value;
  }

  /** A number that cannot be read has an empty value too: only its validity tells it from an empty field. */
  #problem() {
    const { min, max } = AGE_YEARS;
    return this.#form.elements.age.validity.valid ? "" : `The age must be ${min} to ${max} years, or stay empty`;
  }

  #mark() {
    const problem = this.#problem(), note = this.#form.querySelector(".wrong");
    this.#form.elements.age.setAttribute("aria-invalid", String(Boolean(problem)));
    note.textContent = problem && `${problem}.`;
  }
}
