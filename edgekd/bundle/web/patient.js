// What is known of a person as bytes, by the columns of a model card: edgekd/data/patient.py, byte for byte.

export const RULE =
  "byte = floor(255 * v + 0.5); v of a column with a category: 1 where the field is that category (any case), " +
  "else 0; of any other: (value - low) / (high - low), cut to 0..1. A .tflite file takes the bytes as uint8 [1, f], " +
  "a Core ML package and a Keras model byte / 255 as float32 [1, f]";
export const MISSING = "byte 0 for all that is not known, a category that is not listed, and a person's only picture";
export const AGE_YEARS = { min: 0, max: 120 };
const AGE_UNIT = "age: years";

// What a person can be asked. What their other pictures show is beyond a page that sees one of them.
const NUMBERS = new Set(["age"]), WORDS = new Set(["sex", "site"]);
const KEYS = new Set(["tensor", "columns", "rule", "units", "missing"]);
const COLUMN_KEYS = new Set(["name", "field", "category", "low", "high"]);
const STEPS = 255;

/** The fields the columns read, each once, in their order. */
export function fieldsOf({ columns }) {
  return [...new Set(columns.map(({ field }) => field))];
}

/** The categories of `field`, as the card lists them. */
export function categoriesOf({ columns }, field) {
  return columns.filter((column) => column.field === field).map(({ category }) => category);
}

/** The fields among them that nobody can be asked for here. */
export function beyond(patient) {
  return fieldsOf(patient).filter((field) => !NUMBERS.has(field) && !WORDS.has(field));
}

/** Whether `patient` of a card has columns at all, before anything is asked of them. */
export function hasColumns(patient) {
  const { columns } = patient;
  return Array.isArray(columns) && columns.length > 0 && columns.every((column) => typeof column?.field === "string");
}

/** Whether the bytes are made by the rule known here. */
export function isKnown({ rule, missing, units, ...rest }) {
  const years = String(units).split("; ").includes(AGE_UNIT) || !fieldsOf(rest).includes("age");
  return rule === RULE && missing === MISSING && years && Object.keys(rest).every((name) => KEYS.has(name));
}

/** Whether every column says one thing, and can say it. */
export function makesSense({ columns }) {
  return columns.every(columnMakesSense) && new Set(columns.map(({ name }) => name)).size === columns.length;
}

function columnMakesSense(column) {
  const { name, field, category, low, high } = column;
  const ranged = NUMBERS.has(field) && category === null && Number.isFinite(low) && Number.isFinite(high) && low < high;
  const named = WORDS.has(field) && typeof category === "string" && category !== "" && word(category) === category;
  return typeof name === "string" && (ranged || named) && Object.keys(column).every((key) => COLUMN_KEYS.has(key));
}

/**
 * The bytes (Uint8Array, one a column) of a person {age, sex, site}: age in years, the others words.
 * What is absent, null or undefined is not known. Throws a RangeError for an age nobody has.
 */
export function encode({ columns }, person) {
  const { age } = person, { min, max } = AGE_YEARS;
  if ((age ?? null) !== null && !(age >= min && age <= max)) throw new RangeError(`age is ${age}, expected ${min} to ${max} years`);
  return Uint8Array.from(columns, (column) => byte(column, person[column.field] ?? null));
}

function byte({ category, low, high }, value) {
  if (value === null) return 0;
  if (category !== null) return word(value) === category ? STEPS : 0;
  const share = (value - low) / (high - low);
  return Math.floor(STEPS * Math.min(1, Math.max(0, share)) + 0.5);
}

/** A word in lower case, blanks made one. */
function word(text) {
  return text.toLowerCase().trim().split(/\s+/).join(" ");
}
