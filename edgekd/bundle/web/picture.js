// A chosen file as upright pixels, and the square of it that the network sees.

import { MAX_BYTES, PictureError, inspect, tooManyBytes } from "./headers.js";
import { coefficients, resizeColumns, resizeRows } from "./resample.js";

export { PictureError };

// The bytes as they are in the file: no colour management, no colours multiplied by transparency.
const AS_STORED = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
const BAND_PIXELS = 1 << 20; // rows are read in bands of this size: a phone has little memory for a canvas
const WORK_MS = 50; // how long the page may be deaf; to draw it anew between all bands takes longer than the bands

/** {bitmap, width, height, alpha} of an image file (a Blob), turned upright as its Exif data say. */
export async function openPicture(file) {
  if (file.size > MAX_BYTES) throw tooManyBytes();
  const header = inspect(new Uint8Array(await bytesOf(file)));
  const bitmap = await decode(file, header.kind);
  const { width, height } = bitmap;
  const same = (width === header.width && height === header.height) || (width === header.height && height === header.width);
  if (!same) {
    bitmap.close();
    throw new PictureError(`The header of this ${header.kind} says ${header.width} × ${header.height} pixels, its data do not.`);
  }
  return { bitmap, width, height, alpha: header.alpha };
}

async function bytesOf(file) {
  try {
    return await file.arrayBuffer();
  } catch {
    throw new PictureError("The file cannot be read. Was it moved or changed?");
  }
}

async function decode(file, kind) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image", ...AS_STORED });
  } catch {
    throw new PictureError(`This ${kind} is damaged, or too large for this device: it cannot be decoded.`);
  }
}

/** What the network is fed of `picture`: its `square` {left, top, side} as uint8 RGB [px][px][3]. */
export async function networkInput(picture, square, px) {
  const { side } = square, table = coefficients(side, px);
  const rows = new Uint8Array(side * px * 3), band = Math.min(side, Math.max(1, Math.floor(BAND_PIXELS / side)));
  const reader = picture.alpha ? transparentReader(side, band) : opaqueReader(side, band);
  for (let top = 0, rested = performance.now(); top < side; top += band) {
    if (performance.now() - rested > WORK_MS) {
      await breath();
      rested = performance.now();
    }
    const count = Math.min(band, side - top);
    const pixels = await reader(picture.bitmap, square.left, square.top + top, count);
    resizeRows(pixels, count, side, table, rows, top);
  }
  return resizeColumns(rows, px, table);
}

/** Lets the browser draw and answer between two pieces of work; setTimeout takes 4 ms where it is often called. */
export function breath() {
  return globalThis.scheduler?.yield?.() ?? new Promise((done) => setTimeout(done));
}

function opaqueReader(side, band) {
  const context = canvas(side, band).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  return (bitmap, left, top, rows) => {
    context.fillStyle = "#fff";
    context.fillRect(0, 0, side, rows);
    context.drawImage(bitmap, left, top, side, rows, 0, 0, side, rows);
    return context.getImageData(0, 0, side, rows).data;
  };
}

function canvas(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

/**
 * Transparent pixels over white by Python's formula. A 2D canvas keeps colours multiplied by their
 * transparency, so the stored ones are read through WebGL; without it the canvas has to do, a grey level off.
 */
function transparentReader(side, band) {
  const gl = canvas(1, 1).getContext("webgl");
  if (!gl || Math.max(side, band) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return opaqueReader(side, band);
  const kept = new Uint8Array(side * band * 4);
  return async (bitmap, left, top, rows) => {
    const piece = await createImageBitmap(bitmap, left, top, side, rows, AS_STORED);
    storedPixels(gl, piece, side, rows, kept);
    piece.close();
    overWhite(kept, side * rows);
    return kept;
  };
}

function storedPixels(gl, bitmap, width, height, out) {
  const texture = gl.createTexture(), frame = gl.createFramebuffer();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, out);
  gl.deleteFramebuffer(frame);
  gl.deleteTexture(texture);
}

function overWhite(pixels, count) {
  for (let at = 0; at < count * 4; at += 4) {
    const alpha = pixels[at + 3], white = 255 * (255 - alpha) + 127;
    for (let c = at; c < at + 3; c++) pixels[c] = Math.floor((pixels[c] * alpha + white) / 255);
  }
}

/**
 * Whether this browser gives a page the pixels it drew. Some protect against fingerprinting by changing
 * them, and then the network would be fed other bytes than it was tested with.
 */
export function readsTrulyHere() {
  const side = 32, context = canvas(side, side).getContext("2d", { willReadFrequently: true });
  if (!context) return false;
  const drawn = context.createImageData(side, side);
  for (let at = 0; at < drawn.data.length; at++) drawn.data[at] = at % 4 === 3 ? 255 : (at * 73) % 256;
  context.putImageData(drawn, 0, 0);
  const read = context.getImageData(0, 0, side, side).data;
  return read.every((value, at) => value === drawn.data[at]);
}

// One pixel of grey level 128 in a PNG that says its levels are linear light (gAMA 1): shown, it is 188.
const LINEAR_GREY =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAABGdBTUEAAY" +
  "agMeiWXwAAAAxJREFUeNpjaGhoAAADBAGBdS4BvAAAAABJRU5ErkJggg==";

/** Whether this browser changes colours by the profile in a file although it was asked not to. */
export async function appliesProfiles() {
  const png = Uint8Array.from(atob(LINEAR_GREY), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([png], { type: "image/png" }), AS_STORED);
  const [level] = opaqueReader(1, 1)(bitmap, 0, 0, 1);
  bitmap.close();
  return level !== 128;
}
