// The camera's picture on a canvas, with the regions and patches that are followed.
import { REGIONS, colour } from "./common.js";

const MOVED = 6; // patches' movements are drawn so many times as large

export class FaceView {
  constructor(canvas) {
    this.canvas = canvas;
    this.regions = true;
    this.close = true;
    this.window = null;
  }

  /** picture: ImageBitmap; head: size of the frame and the faces in it, frame px. */
  show(picture, head) {
    const [x0, y0, x1, y1] = this.#aim(head);
    const scale = Math.min(devicePixelRatio || 1, 2);
    const width = Math.max(200, Math.round(this.canvas.clientWidth * scale));
    const height = Math.round(width * (y1 - y0) / (x1 - x0));
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const ctx = this.canvas.getContext("2d", { alpha: false });
    const fine = picture.width / head.width; // picture px per frame px
    ctx.drawImage(picture, x0 * fine, y0 * fine, (x1 - x0) * fine, (y1 - y0) * fine, 0, 0, width, height);
    const zoom = width / (x1 - x0);
    if (this.regions) {
      for (const face of head.faces) this.#outline(ctx, face, (x, y) => [(x + 0.5 - x0) * zoom, (y + 0.5 - y0) * zoom], scale);
    }
  }

  /** The part of the frame to show: all of it, or the first face, followed without haste. */
  #aim(head) {
    const whole = [0, 0, head.width, head.height];
    const face = head.faces[0];
    if (!this.close || !face) {
      this.window = null;
      return whole;
    }
    const points = Object.values(face.regions).flat();
    const xs = points.map((p) => p[0]);
    const ys = points.map((p) => p[1]);
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const size = 1.35 * Math.max(right - left, (bottom - top) * 4 / 3);
    const wanted = [(left + right) / 2, (top + bottom) / 2, size];
    this.window = this.window?.map((old, k) => old + 0.15 * (wanted[k] - old)) ?? wanted;
    const [x, y, wide] = this.window;
    return [x - wide / 2, y - wide * 3 / 8, x + wide / 2, y + wide * 3 / 8];
  }

  #outline(ctx, face, place, scale) {
    ctx.lineJoin = "round";
    for (const name of Object.keys(REGIONS)) {
      const corners = face.regions[name];
      if (!corners?.length) continue;
      ctx.beginPath();
      corners.forEach(([x, y], k) => ctx[k ? "lineTo" : "moveTo"](...place(x, y)));
      ctx.closePath();
      ctx.fillStyle = colour(name, 0.1);
      ctx.fill();
      ctx.strokeStyle = colour(name, 0.85);
      ctx.lineWidth = 1.4 * scale;
      ctx.stroke();
    }
    face.patches.forEach(([x, y, dx, dy], k) => {
      const [left, top] = place(x, y);
      ctx.fillStyle = k < face.rigid ? "rgba(255, 255, 255, 0.42)" : "#fff";
      ctx.beginPath();
      ctx.arc(left, top, (k < face.rigid ? 1.2 : 1.8) * scale, 0, 2 * Math.PI);
      ctx.fill();
      if (k >= face.rigid && Math.hypot(dx, dy) > 0.12) {
        ctx.strokeStyle = "#fff";
        ctx.lineWidth = 1.2 * scale;
        ctx.beginPath();
        ctx.moveTo(left, top);
        ctx.lineTo(...place(x + MOVED * dx, y + MOVED * dy));
        ctx.stroke();
      }
    });
  }
}

/** A picture as the server packs it: length of the head, the head, a JPEG. */
export async function unpack(buffer) {
  const size = new DataView(buffer).getUint32(0);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  const picture = await createImageBitmap(new Blob([new Uint8Array(buffer, 4 + size)], { type: "image/jpeg" }));
  return { head, picture };
}
