// The page of a live session: the picture, its state, presets, knobs and actions.

import { ask, element, tell } from "./api.js";
import { Camera } from "./camera.js";
import { Curve } from "./curve.js";
import { buildKnobs } from "./knobs.js";
import { keepStreaming } from "./stream.js";

const POLL_MS = 250;
const HIDDEN_POLL_MS = 2000;
const NOTICE_MS = 7000;
const ICONS = {
  freeze: "M9 6v12M15 6v12",
  reset: "M19 12a7 7 0 1 1-2.2-5.1M19 4v4h-4",
  snapshot: "M5 8h3l1.5-2h5L16 8h3v10H5zM12 10a3 3 0 1 0 .01 0",
  blackout: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  record: "M12 7a5 5 0 1 0 .01 0",
  tap: "M6 4v16M12 8v8M18 4v16",
};

const $ = (id) => document.getElementById(id);
const curve = new Curve($("curve"));
let inventory = null;
let rows = new Map();
let lastMessage = "";
let noticeTimer = 0;
let lost = false;

function notice(text, stays = false) {
  const place = $("notice");
  clearTimeout(noticeTimer);
  place.textContent = text;
  place.hidden = !text;
  if (text && !stays) noticeTimer = setTimeout(() => (place.hidden = true), NOTICE_MS);
}

const attempt = async (work) => {
  try {
    return await work();
  } catch (error) {
    notice(error.message);
    return undefined;
  }
};

const capital = (text) => text[0].toUpperCase() + text.slice(1);
const fadeSeconds = () => Number($("fade").value);

// --- what is made once

function buildActions() {
  $("actions").replaceChildren(
    ...inventory.actions.map((action) => {
      const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      icon.setAttribute("viewBox", "0 0 24 24");
      icon.setAttribute("aria-hidden", "true");
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", ICONS[action.name] ?? "M12 8v8M8 12h8");
      icon.append(path);
      return element(
        "button",
        {
          type: "button",
          class: `action ${action.name}`,
          "data-action": action.name,
          "aria-pressed": action.switched ? "false" : undefined,
          title: `${action.help.replaceAll("`", "")}${action.key ? ` (${capital(action.key)})` : ""}`,
          onclick: () => act(action.name),
        },
        icon,
        element("span", {}, capital(action.name)),
      );
    }),
  );
}

function buildPresets() {
  $("presets").replaceChildren(
    ...inventory.presets.map((preset, index) =>
      element(
        "button",
        {
          type: "button",
          class: "preset",
          "data-preset": preset.name,
          title: `${preset.description}${index < 9 ? ` (${index + 1})` : ""}`,
          onclick: () => choose(preset.name),
        },
        element("img", { alt: "", hidden: true }),
        element("span", {}, preset.name.replaceAll("-", " ")),
      ),
    ),
  );
}

function watchPresets() {
  watcher.disconnect();
  seen.clear();
  for (const tile of $("presets").children) watcher.observe(tile);
}

function buildOutside() {
  const lines = [];
  if (inventory.osc) {
    lines.push(
      element("p", {}, "OSC listens at ", element("code", {}, inventory.osc), ": ", element("code", {}, "/dreamvid/step_size 0.02"),
        ", ", element("code", {}, "/dreamvid/preset plants 4"), ", ", element("code", {}, "/dreamvid/freeze"), "; ",
        element("code", {}, "/dreamvid/state"), " and ", element("code", {}, "/dreamvid/list"), " answer."),
    );
  }
  if (inventory.midi) {
    const targets = element("select", { "aria-label": "What a pad is to do" },
      ...inventory.actions.map(({ name }) => element("option", {}, name)),
      ...inventory.presets.map(({ name }) => element("option", {}, `preset ${name}`)));
    lines.push(element("p", { id: "midi" }),
      element("p", { class: "learn pads" }, "Pad for ", targets, " ",
        element("button", { type: "button", class: "small", onclick: () => attempt(() => tell("learn", { name: targets.value })) }, "Learn")));
  }
  const keys = Object.entries(inventory.keys).filter(([, action]) => action !== "quit");
  lines.push(
    element("p", { class: "keys" }, ...keys.flatMap(([key, action]) => [element("kbd", {}, capital(key)), ` ${action}  `]),
      element("kbd", {}, "1–9"), " preset"),
  );
  $("outside").replaceChildren(...lines);
}

async function build() {
  inventory = await ask("inventory");
  buildActions();
  buildPresets();
  watchPresets();
  buildOutside();
  rows = buildKnobs($("groups"), inventory.controls, inventory.midi ? (name) => attempt(() => tell("learn", { name })) : null);
  document.body.classList.add("ready");
}

// --- what changes

function act(name) {
  const button = document.querySelector(`[data-action="${name}"]`);
  button?.classList.add("done");
  setTimeout(() => button?.classList.remove("done"), 160);
  return attempt(() => tell("action", { name }));
}

function choose(name) {
  return attempt(() => tell("preset", { name, seconds: fadeSeconds() }));
}

function press(name, on) {
  const button = document.querySelector(`[data-action="${name}"]`);
  button?.setAttribute("aria-pressed", String(Boolean(on)));
}

function part(name, detail, trouble = "") {
  return element("li", { class: trouble ? "trouble" : "" }, element("span", { class: "dot" }), element("b", {}, name),
    element("span", {}, trouble || detail));
}

function showParts(state, answer) {
  const { source, sinks, quality, recording } = state;
  const parts = [];
  const well = source.status === "connected";
  const size = source.width ? `${source.width} × ${source.height}` : "";
  const rate = state.fps_in ? `${state.fps_in.toFixed(0)} fps in` : "";
  // Of a file its name: the folder is known.
  const name = source.text.includes("://") ? source.text : source.text.split(/[\\/]/).at(-1);
  parts.push(part(name || "source", [size, rate, well ? "" : source.status].filter(Boolean).join(" · "),
    well || source.status === "connecting" ? "" : source.message || source.status));
  for (const sink of sinks) {
    const dropped = sink.dropped ? ` · ${sink.dropped} left out` : "";
    parts.push(part(sink.name, `${sink.sent} frames${dropped}`, sink.error));
  }
  const steps = [[quality.steps_down, "lowered"], [quality.steps_up, "raised"]].filter(([count]) => count);
  const counted = steps.map(([count, word]) => `${word} ${count} ×`).join(", ");
  if (quality.doing || counted) {
    const line = part("quality", [quality.doing || "full", counted].filter(Boolean).join(" · "));
    line.classList.add("wrapped");
    parts.push(line);
  }
  if (recording) parts.push(part("recording", `${recording.seconds.toFixed(0)} s · ${recording.path}`, recording.error));
  for (const [event, count] of Object.entries(state.events)) parts.push(part(event, `${count} ×`));
  if (answer.beats_per_minute) parts.push(part("tempo", `${answer.beats_per_minute.toFixed(1)} beats per minute`));
  $("parts").replaceChildren(...parts);
}

function showState(answer) {
  const { state } = answer;
  if (state) {
    $("fps").textContent = state.fps_out.toFixed(1);
    $("delay").textContent = state.delay_ms.toFixed(0);
    curve.add(state.fps_out, state.delay_ms);
    showParts(state, answer);
    press("freeze", state.frozen);
    press("blackout", state.blackout);
    press("record", state.recording);
    if (state.message !== lastMessage && !lost) notice(state.message);
    lastMessage = state.message;
  }
  for (const [name, row] of rows) {
    if (row.resting) row.show(answer.values[name], answer.used[name]);
    const problem = answer.problems[name];
    if (problem || row.problem) row.wrong(problem ?? "");
    row.problem = problem;
    const bindings = answer.midi.bindings?.[name];
    row.bound?.classList.toggle("bound", Boolean(bindings));
    row.bound?.classList.toggle("waiting", answer.midi.learning === name);
    if (row.bound) row.bound.title = bindings ? bindings.join("\n") : "Learn: then move a MIDI knob";
  }
  for (const button of $("presets").children) {
    const { preset } = button.dataset;
    button.setAttribute("aria-pressed", String(preset === answer.preset));
    const number = answer.thumbnails[preset];
    const image = button.firstElementChild;
    if (number && image.dataset.number !== String(number)) {
      image.dataset.number = number;
      image.src = `thumbnail.jpg?preset=${encodeURIComponent(preset)}&n=${number}`;
      image.hidden = false;
    }
  }
  if ($("midi")) {
    const ports = answer.midi.ports ?? [];
    document.body.classList.toggle("midi", ports.length > 0);
    $("midi").textContent = answer.midi.learning
      ? `MIDI: move a knob, or strike a pad, for ${answer.midi.learning}.`
      : ports.length ? `MIDI: ${ports.join(", ")}. Press M next to a setting, then move a knob.` : "MIDI: no device is connected.";
  }
}

async function poll() {
  try {
    const answer = await ask("state");
    if (!inventory || answer.session !== inventory.session) {
      await build();
      stream();
    }
    if (lost) notice("");
    lost = false;
    showState(answer);
  } catch {
    lost = true;
    notice("The session does not answer. This page goes on when it is back.", true);
  }
  setTimeout(poll, document.hidden ? HIDDEN_POLL_MS : POLL_MS);
}

// --- buttons and keys

const camera = new Camera((on, message = "") => {
  $("camera").setAttribute("aria-pressed", String(on));
  if (message) notice(message);
  if (!on) attempt(() => tell("camera/leave"));
});
$("camera").addEventListener("click", () => (camera.on ? camera.stop() : attempt(() => camera.start())));

const fill = () => (document.fullscreenElement ? document.exitFullscreen() : $("stage").requestFullscreen());
$("fullscreen").addEventListener("click", () => attempt(fill));
$("stage").addEventListener("dblclick", () => attempt(fill));

const showFade = () => {
  $("fade-value").textContent = `${fadeSeconds()} s`;
  $("fade").style.setProperty("--to", fadeSeconds() / $("fade").max);
};
$("fade").addEventListener("input", showFade);
showFade();
// Thumbnails are dreamed for the presets that one sees, once they are seen.
const seen = new Set();
const wanted = new Set();
let asking = 0;
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const { preset } = target.dataset;
    if (isIntersecting) seen.add(preset);
    else seen.delete(preset);
    if (isIntersecting && !target.dataset.asked) want(target);
  }
});

function want(tile) {
  tile.dataset.asked = "yes";
  wanted.add(tile.dataset.preset);
  clearTimeout(asking);
  asking = setTimeout(() => {
    const names = [...wanted];
    wanted.clear();
    tell("thumbnails", { names }).catch(() => {});
  }, 200); // while one scrolls past
}

$("renew").addEventListener("click", () => {
  for (const tile of $("presets").children) {
    delete tile.dataset.asked;
    if (seen.has(tile.dataset.preset)) want(tile);
  }
});

$("command").addEventListener("click", () =>
  attempt(async () => {
    $("command-text").textContent = (await ask("command")).command;
    $("command-copy").textContent = "Copy";
    $("command-dialog").showModal();
  }),
);
$("command-copy").addEventListener("click", async () => {
  const text = $("command-text");
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch {
    // A page of another machine may not use the clipboard: select the text instead.
    getSelection().selectAllChildren(text);
    document.execCommand("copy");
  }
  $("command-copy").textContent = "Copied";
});

addEventListener("keydown", (event) => {
  if (!inventory || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input:not([type=range]), textarea, select, dialog")) return;
  const key = event.key === " " ? "space" : event.key.toLowerCase();
  if (key === "space" && event.target.closest("button, a")) return;
  const action = inventory.keys[key];
  const preset = /^[1-9]$/.test(key) && inventory.presets[Number(key) - 1];
  if (preset) choose(preset.name);
  else if (action === "full screen") attempt(fill);
  else if (action && action !== "quit") act(action);
  else return;
  event.preventDefault();
});

const stream = keepStreaming($("picture"));
poll();
