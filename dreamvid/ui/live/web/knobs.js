// The controls of the settings, made from the inventory. A value's place on a slider is read off `stops`: the values at
// evenly spaced places, which the session works out.

import { element, newest, tell } from "./api.js";

const STEPS = 1000;
const RESTING_MS = 700; // after a change by hand, before the session's value is shown again

const title = (name) => {
  const words = name.replace(/_seconds$/, "").replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
};

const written = (value) =>
  typeof value === "number" ? String(Number(value.toPrecision(4))) : value === null || value === undefined ? "" : String(value);

function valueAt(stops, place) {
  const position = Math.min(Math.max(place, 0), 1) * (stops.length - 1);
  const index = Math.min(Math.floor(position), stops.length - 2);
  const value = stops[index] + (position - index) * (stops[index + 1] - stops[index]);
  return Number(value.toPrecision(4));
}

function placeOf(stops, value) {
  let index = 1;
  while (index < stops.length - 1 && stops[index] < value) index += 1;
  const [below, above] = [stops[index - 1], stops[index]];
  const part = above > below ? (value - below) / (above - below) : 0;
  return Math.min(Math.max((index - 1 + part) / (stops.length - 1), 0), 1);
}

class Row {
  constructor(control, learn) {
    this.control = control;
    this.changedAt = -Infinity;
    this.send = newest(async (value) => {
      try {
        await tell("set", { name: control.name, value });
        this.wrong("");
      } catch (error) {
        this.wrong(error.message);
      }
    });
    const id = `setting-${control.name}`;
    this.name = element("button", { type: "button", class: "name", "aria-expanded": "false", "aria-controls": `${id}-help` },
      title(control.name));
    this.name.addEventListener("click", () => this.explain(this.help.hidden));
    this.bound = learn && control.kind !== "text"
      ? element("button", { type: "button", class: "learn", title: "Learn: then move a MIDI knob", "aria-label":
        `Learn a MIDI knob for ${title(control.name)}`, onclick: () => learn(control.name) }, "M")
      : null;
    this.error = element("p", { class: "error", role: "alert", hidden: true });
    this.help = element("div", { class: "help", id: `${id}-help`, hidden: true });
    this.element = element("div", { class: `row ${control.kind}`, "data-setting": control.name });
    this.build(id);
    this.fillHelp();
  }

  /** Say that the person changed it: what the session says of it is not shown for a moment. */
  touch() {
    this.changedAt = performance.now();
  }

  get resting() {
    return performance.now() - this.changedAt > RESTING_MS;
  }

  wrong(message) {
    this.error.textContent = message;
    this.error.hidden = !message;
    this.element.classList.toggle("wrong", Boolean(message));
  }

  explain(open) {
    this.help.hidden = !open;
    this.name.setAttribute("aria-expanded", String(open));
  }

  fillHelp() {
    const { control } = this;
    const facts = [control.limits && `${control.limits} ${control.unit}`.trim(), `was ${written(control.default) || "not set"} at the start`];
    const reset = control.default === undefined ? null : element("button", { type: "button", class: "small" }, "Set back");
    reset?.addEventListener("click", () => {
      this.touch();
      this.show(control.default);
      this.send(control.default);
    });
    this.help.append(element("p", {}, control.help), element("p", { class: "facts" }, `${facts.filter(Boolean).join("; ")}. `, reset));
  }
}

class NumberRow extends Row {
  build(id) {
    const { control } = this;
    this.slider = element("input", { type: "range", id, min: 0, max: STEPS, step: 1, "aria-label": title(control.name) });
    this.field = element("input", { type: "text", class: "value", spellcheck: "false", autocomplete: "off",
      "aria-label": `${title(control.name)}, value${control.scheduled ? " or expression" : ""}` });
    this.unit = element("span", { class: "unit" }, control.unit ?? "");
    this.slider.addEventListener("input", () => {
      this.touch();
      let value = valueAt(control.stops, this.slider.value / STEPS);
      if (control.kind === "integer") value = Math.round(value);
      this.field.value = written(value);
      this.fill();
      this.send(value);
    });
    this.slider.addEventListener("keydown", (event) => this.step(event));
    this.field.addEventListener("change", () => {
      this.touch();
      const text = this.field.value.trim();
      if (text) this.send(Number.isFinite(Number(text)) ? Number(text) : text);
    });
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.field.value = written(this.target);
      if (event.key === "Enter" || event.key === "Escape") this.field.blur();
    });
    const mark = element("span", { class: "mark", "aria-hidden": "true" });
    this.mark = mark;
    this.element.append(this.name, this.bound ?? "", this.field, this.unit,
      element("div", { class: "track" }, this.slider, mark), this.error, this.help);
  }

  /** An integer moves by one, which its place on the slider may be too coarse or too fine for. */
  step(event) {
    const sign = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 }[event.key];
    if (!sign || this.control.kind !== "integer" || typeof this.target !== "number") return;
    event.preventDefault();
    const value = Math.min(Math.max(this.target + sign, this.control.minimum), this.control.maximum);
    this.touch();
    this.show(value);
    this.send(value);
  }

  /** Color the slider from 0 to its value: from the middle, where a value can be below 0. */
  fill() {
    const place = this.slider.value / STEPS;
    const zero = this.control.minimum < 0 ? placeOf(this.control.stops, 0) : 0;
    this.element.style.setProperty("--from", Math.min(place, zero));
    this.element.style.setProperty("--to", Math.max(place, zero));
  }

  show(value, used) {
    this.target = value;
    const expression = typeof value === "string";
    const number = expression ? used : value;
    this.element.classList.toggle("expression", expression);
    // Coherence sets others; it has no value where these were set one by one.
    this.element.classList.toggle("unset", value === null);
    this.field.placeholder = value === null ? "–" : "";
    if (value === null) {
      this.slider.value = STEPS / 2;
      this.fill();
    }
    if (document.activeElement !== this.field) this.field.value = written(value);
    this.field.title = expression ? `${value}\nnow ${written(used)}` : "";
    if (typeof number === "number") {
      this.slider.value = Math.round(placeOf(this.control.stops, number) * STEPS);
      this.slider.setAttribute("aria-valuetext", `${written(number)} ${this.control.unit ?? ""}`.trim());
      this.fill();
    }
    if (typeof used === "number") this.element.style.setProperty("--used", placeOf(this.control.stops, used));
    this.mark.hidden = typeof used !== "number" || Math.abs(used - number) < 1e-9;
  }
}

class ChoiceRow extends Row {
  build(id) {
    const { control } = this;
    this.select = element("select", { id, "aria-label": title(control.name) },
      ...control.choices.map((choice) => element("option", { value: choice }, choice)));
    this.select.addEventListener("change", () => {
      this.touch();
      this.send(this.select.value);
    });
    this.element.append(this.name, this.bound ?? "", this.select, this.error, this.help);
  }

  show(value) {
    // What only the command line can choose, such as the palette of a file.
    if (value !== null && !this.control.choices.includes(value)) {
      this.select.append(element("option", { value, disabled: true }, String(value)));
      this.control.choices.push(value);
    }
    this.select.value = value;
  }
}

class SwitchRow extends Row {
  build(id) {
    this.box = element("input", { type: "checkbox", role: "switch", id, "aria-label": title(this.control.name) });
    this.box.addEventListener("change", () => {
      this.touch();
      this.send(this.box.checked);
    });
    this.element.append(this.name, this.bound ?? "", this.box, this.error, this.help);
  }

  show(value) {
    this.box.checked = value;
  }
}

class TextRow extends Row {
  build(id) {
    this.field = element("textarea", { id, rows: 1, spellcheck: "false", autocomplete: "off", "aria-label": title(this.control.name) });
    this.field.addEventListener("change", () => {
      this.touch();
      this.send(this.field.value.trim());
    });
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        this.field.blur();
      }
    });
    this.element.append(this.name, this.field, this.error, this.help);
  }

  show(value) {
    if (document.activeElement !== this.field && !this.element.classList.contains("wrong")) this.field.value = value;
  }
}

const KINDS = { number: NumberRow, integer: NumberRow, choice: ChoiceRow, switch: SwitchRow, text: TextRow };

/** Make a section for each group; return the rows by the settings' names. */
export function buildKnobs(place, controls, learn) {
  const rows = new Map();
  const groups = new Map();
  for (const control of controls) {
    if (!groups.has(control.group)) groups.set(control.group, []);
    groups.get(control.group).push(control);
  }
  place.replaceChildren();
  for (const [group, members] of groups) {
    const made = members.map((control) => new KINDS[control.kind](control, learn));
    for (const row of made) rows.set(row.control.name, row);
    place.append(element("section", { "aria-label": title(group) },
      element("header", {}, element("h2", {}, title(group))), ...made.map((row) => row.element)));
  }
  return rows;
}
