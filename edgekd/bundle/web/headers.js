// What an image file says about itself, read without decoding: kind, size and its end; the rules, limits and
// words of edgekd/imaging/headers.py. Orientation is left to the browser, which applies it as Python does.

/** A picture that cannot be used; the message is a sentence for the person who chose it. */
export class PictureError extends Error {}

/** The largest file that is read, in bytes, and the largest picture that is decoded, in pixels. */
export const MAX_BYTES = 64 * 1024 * 1024;
export const MAX_PIXELS = 100_000_000;

/** {kind, width, height, alpha} of the bytes of an image file; `alpha`: it may hold transparent pixels. */
export function inspect(bytes) {
  if (bytes.length === 0) throw new PictureError("The file is empty (0 bytes).");
  if (bytes.length > MAX_BYTES) throw tooManyBytes();
  const known = KINDS.find(({ magic }) => magic(bytes));
  if (!known) throw new PictureError(unknown(bytes));
  const header = { kind: known.kind, alpha: false, ...read(known, bytes) };
  const size = `${header.width} × ${header.height} pixels`;
  if (Math.min(header.width, header.height) < 1) {
    throw new PictureError(`This ${known.kind} is damaged: its header says ${size}.`);
  }
  if (header.width * header.height > MAX_PIXELS) {
    const limit = MAX_PIXELS.toLocaleString("en");
    throw new PictureError(`This ${known.kind} has ${size}, the limit is ${limit} pixels: scale it down first.`);
  }
  return header;
}

export function tooManyBytes() {
  return new PictureError(`The file is larger than ${MAX_BYTES >> 20} MiB, the limit of an image file.`);
}

function unknown(bytes) {
  const box = text(bytes, 4, 8);
  if (box === "ftypheic" || box === "ftypheix" || box === "ftypmif1" || box === "ftypavif") {
    return "This is a HEIC or AVIF picture, which is not read here: save it as JPEG or PNG.";
  }
  return "This is not a JPEG, PNG, BMP or WebP file, whatever its name says.";
}

function read({ kind, header }, bytes) {
  try {
    return header(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    if (error instanceof RangeError) throw truncated(kind); // a value lies beyond the end
    throw error;
  }
}

function truncated(kind) {
  return new PictureError(`This ${kind} is truncated: the end of the file is missing.`);
}

function text(bytes, from, length) {
  return String.fromCharCode(...bytes.subarray(from, from + length));
}

const FRAMES = new Set([0xc0, 0xc1, 0xc2, 0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf]);

function jpeg(bytes, view) {
  let width = 0, height = 0, marker = jpegMarker(bytes, 2);
  while (marker >= 0 && bytes[marker] !== 0xd9) {
    const body = marker + 1;
    if (FRAMES.has(bytes[marker])) [height, width] = [view.getUint16(body + 3), view.getUint16(body + 5)];
    marker = jpegMarker(bytes, body + view.getUint16(body));
  }
  if (marker < 0) throw truncated("JPEG");
  return { width, height };
}

/** Where the code of the next marker stands; inside the data FF is followed by 00 or a restart mark. */
function jpegMarker(bytes, from) {
  for (let at = bytes.indexOf(0xff, from); at >= 0 && at + 1 < bytes.length; at = bytes.indexOf(0xff, at + 1)) {
    const code = bytes[at + 1];
    if (code > 1 && code < 0xff && !(code >= 0xd0 && code <= 0xd7)) return at + 1;
  }
  return -1;
}

function png(bytes, view) {
  const width = view.getUint32(16), height = view.getUint32(20);
  let alpha = bytes[25] === 4 || bytes[25] === 6;
  for (let at = 8, name = ""; name !== "IEND"; ) {
    const end = at + 8 + view.getUint32(at);
    name = text(bytes, at + 4, 4);
    if (view.getUint32(end) !== checksum(bytes.subarray(at + 4, end))) {
      throw new PictureError(`This PNG is damaged: the checksum of chunk '${name}' is wrong.`);
    }
    alpha ||= name === "tRNS";
    at = end + 4;
  }
  return { width, height, alpha };
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

function checksum(bytes) {
  let value = 0xffffffff;
  for (let at = 0; at < bytes.length; at++) value = CRC[(value ^ bytes[at]) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

function bmp(bytes, view) {
  const offset = view.getUint32(10, true), old = view.getUint32(14, true) === 12;
  const width = old ? view.getUint16(18, true) : view.getInt32(18, true);
  const height = Math.abs(old ? view.getUint16(20, true) : view.getInt32(22, true));
  const bits = view.getUint16(old ? 24 : 28, true), coding = old ? 0 : view.getUint32(30, true);
  const row = Math.floor((width * bits + 31) / 32) * 4;
  if (coding !== 1 && coding !== 2 && offset + row * height > bytes.length) throw truncated("BMP");
  return { width, height, alpha: bits === 32 };
}

function webp(bytes, view) {
  const end = 8 + view.getUint32(4, true);
  if (end > bytes.length) throw truncated("WebP");
  let width = 0, height = 0, alpha = false;
  for (let at = 12; at + 8 <= end; ) {
    const part = WEBP[text(bytes, at, 4)]?.(view, at + 8);
    if (part) {
      width = Math.max(width, part.width);
      height = Math.max(height, part.height);
      alpha ||= Boolean(part.alpha);
    }
    const length = view.getUint32(at + 4, true);
    at += 8 + length + (length % 2);
  }
  return { width, height, alpha };
}

const WEBP = {
  "VP8 ": (view, at) => ({
    width: view.getUint16(at + 6, true) & 0x3fff,
    height: view.getUint16(at + 8, true) & 0x3fff,
  }),
  VP8L: (view, at) => {
    const bits = view.getUint32(at + 1, true);
    return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1, alpha: (bits >>> 28) & 1 };
  },
  VP8X: (view, at) => ({
    width: (view.getUint16(at + 4, true) | (view.getUint8(at + 6) << 16)) + 1,
    height: (view.getUint16(at + 7, true) | (view.getUint8(at + 9) << 16)) + 1,
    alpha: view.getUint8(at) & 0x10,
  }),
};

const KINDS = [
  { kind: "JPEG", magic: (bytes) => text(bytes, 0, 3) === "\xff\xd8\xff", header: jpeg },
  { kind: "PNG", magic: (bytes) => text(bytes, 0, 8) === "\x89PNG\r\n\x1a\n", header: png },
  { kind: "BMP", magic: (bytes) => text(bytes, 0, 2) === "BM", header: bmp },
  {
    kind: "WebP",
    magic: (bytes) => text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 4) === "WEBP",
    header: webp,
  },
];
