// The golden pictures of the bundle, sent the way of a chosen photo: does this device compute what Python did?

import { loadChecked, sha256 } from "./bundle.js";
import { networkInput, openPicture } from "./picture.js";
import { centreSquare } from "./resample.js";

const SCHEMA = "edgekd.golden/1";

/** The golden record of the bundle, read once it is asked for. */
export async function goldenItems(manifest) {
  const record = JSON.parse(new TextDecoder().decode(await loadChecked(manifest, manifest.golden)));
  if (record.schema !== SCHEMA) throw new Error(`golden.json is “${record.schema}”, this page knows “${SCHEMA}”.`);
  return record.items;
}

/** The picture of a golden item as a file. */
export async function goldenFile(manifest, item) {
  return new Blob([await loadChecked(manifest, item.image)], { type: "image/png" });
}

/** {items, bytes, logits}: how many golden pictures there are and how many differ in either; `tell` hears each. */
export async function selfCheck({ manifest, page }, run, tell) {
  const items = await goldenItems(manifest), wrong = { items: items.length, bytes: 0, logits: 0 };
  for (const [number, item] of items.entries()) {
    tell(number, items.length);
    const picture = await openPicture(await goldenFile(manifest, item));
    const input = await networkInput(picture, centreSquare(picture.width, picture.height), page.input.px);
    picture.bitmap.close();
    const logits = await run(input);
    wrong.bytes += Number((await sha256(input)) !== item.input_sha256);
    wrong.logits += Number(!logits.every((value, at) => value === Math.fround(item.logits[at])));
  }
  return wrong;
}
