// What happened between onset and apex: the two crops, flow as arrows, u, v, strain, and the map that the model saw.
import { LABELS, byId, colour, labelled, make, scoreBar } from "./common.js";

const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
const numbers = (text) => new Int16Array(bytes(text).buffer);

/** found: the server's answer; logged: the event's own scores, or null. */
export async function showMaps(found, logged) {
  const { width, height, step, size } = found;
  const flow = numbers(found.flow);
  const strain = numbers(found.strain);
  const [onset, apex] = await Promise.all([found.onset, found.apex].map(
    (text) => createImageBitmap(new Blob([bytes(text)], { type: "image/jpeg" })),
  ));
  const channel = (k) => Float32Array.from({ length: width * height }, (_, at) => flow[2 * at + k] * step);
  const [u, v] = [channel(0), channel(1)];
  const strained = Float32Array.from(strain, (value) => value * step / 100);
  const cells = bytes(found.map);
  const most = Math.max(0.2, ...percentile(u), ...percentile(v));
  byId("maps").replaceChildren(
    tile("onset", picture(onset)),
    tile("apex, flow × 4", withArrows(apex, found.arrows)),
    tile(`u, to the right (± ${most.toFixed(1)} px)`, diverging(u, width, height, most)),
    tile(`v, downwards (± ${most.toFixed(1)} px)`, diverging(v, width, height, most)),
    tile("strain", sequential(strained, width, height)),
    ...["u", "v", "strain"].map((name, k) => tile(`the model saw: ${name}`, mapped(cells, size, k), "cells")),
    said(found, logged),
  );
}

function percentile(values) {
  const ordered = Float32Array.from(values, Math.abs).sort();
  return [ordered[Math.floor(0.995 * (ordered.length - 1))]];
}

function tile(caption, canvas, kind = "") {
  canvas.className = kind;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", caption);
  return make("figure", {}, canvas, make("figcaption", {}, caption));
}

function picture(bitmap, scale = 1) {
  const canvas = make("canvas", { width: bitmap.width * scale, height: bitmap.height * scale });
  const ctx = canvas.getContext("2d");
  ctx.imageSmoothingQuality = "high";
  ctx.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}

function withArrows(bitmap, arrows) {
  const scale = 3;
  const canvas = picture(bitmap, scale);
  const ctx = canvas.getContext("2d");
  ctx.strokeStyle = ctx.fillStyle = "#ffd23f";
  ctx.lineWidth = 2;
  for (const [x, y, du, dv] of arrows) {
    const length = Math.hypot(du, dv);
    if (length < 0.15) continue;
    const [left, top] = [x * scale, y * scale];
    const [right, bottom] = [left + 4 * scale * du, top + 4 * scale * dv];
    ctx.beginPath();
    ctx.moveTo(left, top);
    ctx.lineTo(right, bottom);
    ctx.stroke();
    const turn = Math.atan2(dv, du);
    ctx.beginPath();
    for (const [reach, angle] of [[2, 0], [-5, 0.45], [-5, -0.45]]) {
      ctx.lineTo(right + reach * Math.cos(turn + angle), bottom + reach * Math.sin(turn + angle));
    }
    ctx.fill();
  }
  return canvas;
}

/** Each value as a mixture of the ground and one of two inks. */
function painted(values, width, height, mix) {
  const canvas = make("canvas", { width, height });
  const ctx = canvas.getContext("2d");
  const image = ctx.createImageData(width, height);
  values.forEach((value, at) => image.data.set([...mix(value), 255], 4 * at));
  ctx.putImageData(image, 0, 0);
  return canvas;
}

const ink = (name) => colour(name).match(/[\d.]+/g).slice(0, 3).map(Number);
const blend = (from, to, share) => from.map((value, k) => value + (to[k] - value) * Math.min(1, share));

function diverging(values, width, height, most) {
  const [ground, less, more] = [ink("card"), ink("left_eye_brow"), ink("bad")];
  return painted(values, width, height, (value) => blend(ground, value < 0 ? less : more, Math.abs(value) / most));
}

function sequential(values, width, height) {
  const most = Math.max(1e-3, ...percentile(values));
  const [ground, full] = [ink("card"), ink("accent")];
  return painted(values, width, height, (value) => blend(ground, full, value / most));
}

function mapped(cells, size, k) {
  const one = Float32Array.from({ length: size * size }, (_, at) => cells[3 * at + k]);
  const full = ink(k === 2 ? "accent" : "ink"); // u and v are stretched each by its own range: where 0 was is not known
  return painted(one, size, size, (value) => blend(ink("card"), full, value / 255));
}

/** What the model said then, and what it says of the map above. */
function said(found, logged) {
  const block = make("div", { class: "said figures" });
  if (logged) block.append(make("span", {}, "then: ", labelled(logged.label)), scoreBar(logged.scores));
  if (found.model) {
    block.append(make("span", {}, logged ? "of these maps: " : "the model says: ", labelled(found.label)), scoreBar(found.scores));
    block.append(make("span", { class: "soft" }, LABELS.map((label) => `${label} ${found.scores[label].toFixed(2)}`).join(", ")));
    block.append(make("span", { class: "soft" }, found.model));
  } else {
    block.append(make("span", { class: "soft" }, "the session's model is not here"));
  }
  return block;
}
