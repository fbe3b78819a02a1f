// The square of the photo that the model sees: dragged on the picture, or moved with three sliders.

import { centreSquare } from "./resample.js";

const SMALLEST = 16; // pixels of the photo
const LONGEST_PREVIEW = 1200, SHORTEST_PREVIEW = 720;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

export class SquareChooser {
  #picture = null;
  #square = null;
  #parts;
  #changed;

  /** `parts`: {preview, square, side, left, top} elements; `changed` is called when the person has let go. */
  constructor(parts, changed) {
    this.#parts = parts;
    this.#changed = changed;
    for (const name of ["side", "left", "top"]) {
      parts[name].addEventListener("input", () => this.#slide(name));
      parts[name].addEventListener("change", changed);
    }
    parts.square.addEventListener("pointerdown", (event) => this.#drag(event));
    addEventListener("resize", () => this.#picture && this.#place());
  }

  /** {left, top, side} in pixels of the upright photo. */
  get square() {
    return this.#square;
  }

  /** Whether it is the square of the definition, with which the model was trained and tested. */
  get isCentre() {
    const { left, top, side } = centreSquare(this.#picture.width, this.#picture.height), now = this.#square;
    return now.left === left && now.top === top && now.side === side;
  }

  show(picture) {
    this.#picture = picture;
    drawPreview(this.#parts.preview, picture);
    this.toCentre();
  }

  toCentre() {
    this.#square = centreSquare(this.#picture.width, this.#picture.height);
    this.#place();
  }

  #slide(name) {
    const value = Number(this.#parts[name].value), { left, top, side } = this.#square;
    if (name !== "side") return this.#set({ ...this.#square, [name]: value });
    const middle = (start) => Math.round(start + (side - value) / 2);
    return this.#set({ left: middle(left), top: middle(top), side: value });
  }

  #set({ left, top, side }) {
    const { width, height } = this.#picture, longest = Math.min(width, height);
    side = clamp(Math.round(side), Math.min(SMALLEST, longest), longest);
    this.#square = { left: clamp(Math.round(left), 0, width - side), top: clamp(Math.round(top), 0, height - side), side };
    this.#place();
  }

  #place() {
    const { left, top, side } = this.#square, { width, height } = this.#picture, { style } = this.#parts.square;
    style.left = `${(100 * left) / width}%`;
    style.top = `${(100 * top) / height}%`;
    style.width = `${(100 * side) / width}%`;
    style.height = `${(100 * side) / height}%`;
    const longest = Math.min(width, height);
    this.#slider("side", Math.min(SMALLEST, longest), longest, side);
    this.#slider("left", 0, width - side, left);
    this.#slider("top", 0, height - side, top);
  }

  #slider(name, min, max, value) {
    const slider = this.#parts[name];
    Object.assign(slider, { min, max, disabled: min === max });
    slider.value = value;
    slider.setAttribute("aria-valuetext", `${value} pixels`);
  }

  #drag(event) {
    event.preventDefault();
    const { square, preview } = this.#parts, begun = { ...this.#square }, corner = event.target.dataset.corner;
    const scale = this.#picture.width / preview.clientWidth;
    const move = ({ clientX, clientY }) => {
      const right = (clientX - event.clientX) * scale, down = (clientY - event.clientY) * scale;
      this.#set(corner ? this.#pulled(begun, corner, right, down) : { ...begun, left: begun.left + right, top: begun.top + down });
    };
    const end = () => {
      square.removeEventListener("pointermove", move);
      this.#changed();
    };
    square.setPointerCapture(event.pointerId);
    square.addEventListener("pointermove", move);
    square.addEventListener("lostpointercapture", end, { once: true });
  }

  /** `begun` with one corner pulled, the opposite corner where it was. */
  #pulled({ left, top, side }, corner, right, down) {
    const { width, height } = this.#picture, west = corner.includes("w"), north = corner.includes("n");
    const room = Math.min(west ? left + side : width - left, north ? top + side : height - top);
    const wanted = Math.round(side + Math.max(west ? -right : right, north ? -down : down));
    const grown = clamp(wanted, Math.min(SMALLEST, room), room);
    return { left: west ? left + side - grown : left, top: north ? top + side - grown : top, side: grown };
  }
}

function drawPreview(canvas, { bitmap, width, height }) {
  const longest = Math.max(width, height);
  const scale = clamp(1, SHORTEST_PREVIEW / longest, LONGEST_PREVIEW / longest);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = scale < 8; // single pixels stay pixels
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
}
