// What both pages share: names, colours, small helpers for the document.

export const REGIONS = {
  left_eye_brow: "left brow",
  right_eye_brow: "right brow",
  nose: "nose",
  left_mouth: "left mouth",
  right_mouth: "right mouth",
  chin: "chin",
};
export const LABELS = ["negative", "positive", "surprise"];
export const SIGNS = { negative: "−", positive: "+", surprise: "!", uncertain: "?" };

export const byId = (id) => document.getElementById(id);

/** A new element: properties, then children (text or elements). */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") element.className = value;
    else if (key.includes("-") || key === "role" || key === "scope") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

/** Set text only where it changed: a screen reader is not told the same twice. */
export function say(element, text, kind = "") {
  if (element.textContent !== text) element.textContent = text;
  if (kind !== null && element.dataset.kind !== kind) {
    element.classList.remove("good", "warn", "bad");
    if (kind) element.classList.add(kind);
    element.dataset.kind = kind;
  }
}

/** A colour of the style sheet, as the canvas takes it, in the theme of this moment. */
export function colour(name, alpha = 1) {
  const probe = colour.probe ??= document.body.appendChild(make("span", { hidden: true }));
  const scheme = matchMedia("(prefers-color-scheme: dark)").matches;
  const key = `${name} ${scheme}`;
  colour.known ??= new Map();
  if (!colour.known.has(key)) {
    probe.style.color = `var(--${name})`;
    colour.known.set(key, getComputedStyle(probe).color);
  }
  const found = colour.known.get(key);
  return alpha === 1 ? found : found.replace(/^rgba?\((.*?)(\/.*)?\)$/, (_, inner) => `rgba(${inner.trim()}, ${alpha})`);
}

/** m:ss.s of seconds; with milliseconds where asked. */
export function clock(seconds, digits = 0) {
  const sign = seconds < 0 ? "−" : "";
  const whole = Math.abs(seconds);
  const minutes = Math.floor(whole / 60);
  const rest = (whole - 60 * minutes).toFixed(digits);
  const hours = Math.floor(minutes / 60);
  const lead = hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}` : `${minutes}`;
  return `${sign}${lead}:${rest.padStart(digits ? 3 + digits : 2, "0")}`;
}

export const milliseconds = (ns) => `${Math.round(ns / 1e6)} ms`;

/** A label with its sign: never told by colour alone. */
export function labelled(label) {
  return make("span", { class: `label ${label}`, "data-sign": SIGNS[label] ?? "" }, label);
}

/** Three scores as one bar, told in words too. */
export function scoreBar(scores) {
  const told = LABELS.map((label) => `${label} ${(scores[label] ?? 0).toFixed(2)}`).join(", ");
  const bar = make("span", { class: "scores", role: "img", "aria-label": told, title: told });
  for (const label of LABELS) {
    const part = make("i", { class: label });
    part.style.width = `${100 * (scores[label] ?? 0)}%`;
    bar.append(part);
  }
  return bar;
}

/** Ask the server; throws Error with its own words. */
export async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("merealtime does not answer");
  }
  if (!response.ok) {
    const text = await response.text();
    let told = text;
    try { told = JSON.parse(text).error ?? text; } catch { /* plain text */ }
    throw new Error(told || `the server answered ${response.status}`);
  }
  return response;
}

/** Keys by their character; not while somebody writes, nor with Ctrl, Alt or Meta. */
export function onKeys(keys) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    const target = event.target;
    const writes = target.matches?.("textarea, select, input:not([type=checkbox]):not([type=range])");
    if (writes && event.key === "Escape") return void target.blur();
    if (writes || document.querySelector("dialog[open]")) return;
    if (target.matches?.("button, a, summary, [type=checkbox]") && (event.key === " " || event.key === "Enter")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = keys[event.shiftKey && event.key.length > 1 ? `Shift+${key}` : key];
    if (action) {
      event.preventDefault();
      action(event);
    }
  });
}

/** Opens and closes a dialog; focus goes back by itself. */
export function dialog(id, buttons) {
  const box = byId(id);
  for (const [button, action] of Object.entries(buttons)) {
    byId(button).addEventListener("click", () => { box.close(); action?.(); });
  }
  return () => box.showModal();
}
