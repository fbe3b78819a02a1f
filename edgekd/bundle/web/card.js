// The model card: what this page can do with it, and why it refuses the rest.

import * as patients from "./patient.js";
import { isKnown } from "./quality.js";

export const SCHEMA = "edgekd.card/1";
export const PIXEL_RULE = "upright RGB, centre square, edgekd.resample/1 to input_px, uint8";
export const SCORE_RULE = "logsumexp(malignant logits) - logsumexp(benign logits)";
const LARGEST_PX = 10000;

// Every field this page knows. One it does not know may say what must be done to a picture or an answer.
const FIELDS = new Set([
  "schema", "name", "precision", "input_px", "labels", "malignant", "pixel_rule", "hair_removal", "patient",
  "score_rule", "operating_point", "temperature", "margin", "quality", "intended_use", "limits", "provenance",
]);

/** A bundle or model that is not used; the message is a sentence for the person in front of the page. */
export class Refusal extends Error {}

/** Nothing, when this page can serve the card; throws a Refusal else. */
export function checkCard(card) {
  if (card?.schema !== SCHEMA) {
    throw new Refusal(`The model card is of schema “${card?.schema}”, this page knows “${SCHEMA}”.`);
  }
  if ((card.hair_removal ?? "none") !== "none") {
    throw new Refusal(
      `This model wants hairs removed from the picture first (“${card.hair_removal}”), which this page cannot do.`);
  }
  if (card.patient) checkPatient(card.patient);
  if (card.pixel_rule !== PIXEL_RULE) throw new Refusal(`This page does not know the pixel rule “${card.pixel_rule}”.`);
  if (card.score_rule !== SCORE_RULE) throw new Refusal(`This page does not know the score rule “${card.score_rule}”.`);
  const strange = Object.keys(card).filter((name) => !FIELDS.has(name) && says(card[name]));
  if (strange.length) throw new Refusal(`The model card says something this page does not know: ${words(strange)}.`);
  if (!isKnown(card.quality)) throw new Refusal("This page does not know how the model card wants photos to be looked at first.");
  if (!makesSense(card)) throw new Refusal("The model card contradicts itself: its numbers or labels cannot be used.");
}

/** Nothing, when the form of this page can ask for all that the model takes beside the picture. */
function checkPatient(patient) {
  if (!patients.hasColumns(patient)) throw new Refusal("The model card contradicts itself: it names no patient columns.");
  const beyond = patients.beyond(patient);
  if (beyond.length) {
    throw new Refusal(
      `This model also wants to know ${words(beyond)} of the patient, which a page that sees one picture cannot tell it.`);
  }
  if (!patients.isKnown(patient)) throw new Refusal(`This page does not know the patient rule “${patient.rule}”.`);
  if (!patients.makesSense(patient)) throw new Refusal("The model card contradicts itself: its patient columns cannot be used.");
}

/** Whether a field has anything to say. */
function says(value) {
  return !(value === null || value === "none" || value === false || (typeof value === "object" && !Object.keys(value).length));
}

function words(names) {
  return names.join(", ");
}

function makesSense({ input_px: px, labels, malignant, temperature, operating_point: point }) {
  return (
    Number.isInteger(px) && px >= 1 && px <= LARGEST_PX &&
    isNames(labels) && isNames(malignant) && malignant.every((name) => labels.includes(name)) &&
    (labels.length === 1 || malignant.length < labels.length) &&
    Number.isFinite(temperature) && temperature > 0 &&
    (point === null || point === undefined || Number.isFinite(point.threshold))
  );
}

function isNames(value) {
  return Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === "string");
}
