// What the logits mean by the card, in numbers and in plain words. Numbers are float64, as in Python.

import { fieldsOf } from "./patient.js";

/** {score, probability, malignant, borderline}: malignant is null where the card has no operating point. */
export function assess(card, logits) {
  const chosen = (wanted) => Array.from(logits).filter((_, at) => card.malignant.includes(card.labels[at]) === wanted);
  const score = card.labels.length === 1 ? logits[0] : logsumexp(chosen(true)) - logsumexp(chosen(false));
  const point = card.operating_point ?? null, half = point?.borderline_halfwidth ?? 0;
  return {
    score,
    probability: 1 / (1 + Math.exp(-score / card.temperature)),
    malignant: point && score >= point.threshold,
    borderline: Boolean(point) && Math.abs(score - point.threshold) < half,
  };
}

function logsumexp(values) {
  const most = Math.max(...values);
  return most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0));
}

/** A number with its sign and a true minus. */
export function signed(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? text : (value < 0 ? "−" : "+") + text;
}

export function percent(share) {
  return `${(100 * share).toFixed(share < 0.1 || share > 0.9 ? 1 : 0)} %`;
}

/** One line that says the call. */
export function headline({ malignant, borderline }) {
  if (malignant === null) return "No call: this model has no operating point";
  if (borderline) return `Borderline: ${malignant ? "just called malignant" : "just not called malignant"}`;
  return malignant ? "Called malignant" : "Not called malignant";
}

/** Two or three sentences on how the call came about. */
export function explanation(card, { score, malignant, borderline }) {
  const point = card.operating_point;
  if (malignant === null) {
    return [`The score is ${signed(score)}. The model was not verified, so nobody has set the score from which it calls a lesion malignant.`];
  }
  const side = malignant ? "at or above" : "below";
  const sentences = [
    `The score is ${signed(score)}, which is ${side} ${signed(point.threshold)}, where this model starts to call a lesion malignant.`,
    `That threshold was ${origin(point)}.`,
  ];
  if (borderline) sentences.unshift(nearness(point));
  return sentences;
}

/** The fields of the card that `person` leaves open, as "age, sex and site"; "" for none. */
export function leftEmpty({ patient }, person) {
  return patient ? listed(fieldsOf(patient).filter((field) => !(field in person))) : "";
}

/** What the model knew of the person; none for a model of pictures alone. */
export function knowledge(card, person) {
  if (!card.patient) return [];
  const told = fieldsOf(card.patient).filter((field) => field in person).map((field) => `${field} ${person[field]}`);
  const open = leftEmpty(card, person), sentences = [];
  if (told.length) sentences.push(`Beside the photo the model was told: ${told.join(", ")}.`);
  if (open) sentences.push(`It answers without ${open}, left empty: the figures of its card were measured with all that the data set knew of each person.`);
  return [sentences.join(" ")];
}

function listed(names) {
  return names.join(", ").replace(/, ([^,]*)$/, " and $1");
}

function nearness(point) {
  const rule = point.borderline_rule ? ` (${point.borderline_rule})` : "";
  return `The score is less than ${point.borderline_halfwidth.toFixed(2)} from the threshold${rule}: too close to rely on the call, another photo of the same lesion may fall on the other side.`;
}

const RULES = {
  sensitivity_at_least: (share) => `so that at least ${share} of the malignant lesions there are called malignant`,
  specificity_at_least: (share) => `so that at least ${share} of the benign lesions there are not called malignant`,
  youden: () => "so that sensitivity plus specificity is as large as it gets there",
};

/** How the threshold was found, from the card's rule. */
export function origin({ rule, fitted_on: split }) {
  if (rule === "given") return "given by hand";
  const [, name, target] = /^(\w+?)(?:\(([\d.]+)\))?$/.exec(rule) ?? [];
  const meaning = RULES[name]?.(percent(Number(target)));
  return `fitted on the ${split} images${meaning ? ` ${meaning}` : ` by the rule ${rule}`}`;
}
