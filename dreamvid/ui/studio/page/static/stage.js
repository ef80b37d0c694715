// The stage: sources, the picture with its slider, the scrub bar, and presets as thumbnails of this very frame.
(() => {
  const { make, path, clock } = Studio;
  const SOUND = /\.(wav|mp3|flac|ogg|m4a|aac|opus)$/i;

  Studio.part("stage", (root, trigger) => {
    let state = null;
    let stream = null;
    let facts = null;
    let begun = 0;
    let coarseShown = null;
    const kept = {};
    let latest = null;

    // --- the picture
    const source = make("img", { alt: "source", draggable: "false" });
    const dream = make("img", { alt: "dream", draggable: "false" });
    const wipe = Studio.wipe(source, dream, ["source", "dream"]);
    const motion = make("video", { class: "dv-motion", loop: true, muted: true, playsinline: true, hidden: true });
    motion.muted = true;
    const empty = make("div", { class: "dv-empty" },
      make("strong", { text: "Drop a video or an image here" }),
      make("span", { text: "or choose one above. It is copied into the workspace and stays on this machine." }));
    wipe.box.append(motion);
    const frame = make("div", { class: "dv-frame" }, wipe.box, empty);
    const status = make("span", { class: "dv-status", role: "status" });
    const fail = make("div", { class: "dv-error", role: "alert", hidden: true });

    const button = (text, title, onclick, extra = "") => make("button", { type: "button", class: `dv-button ${extra}`, title, text, onclick });
    const views = make("div", { class: "dv-group", role: "group", "aria-label": "View" },
      button("Source", "Show the source (1)", () => wipe.move(100)),
      button("Split", "Show both (2)", () => wipe.move(50)),
      button("Dream", "Show the dream (3)", () => wipe.move(0)));
    // The server keeps only the newest pictures; these are kept here, and sharpen if they were kept too early.
    const keepPicture = async (slot, number, url) => {
      const picture = URL.createObjectURL(await (await fetch(url)).blob());
      if (kept[slot] && kept[slot].number === number) {
        URL.revokeObjectURL(kept[slot].picture);
        kept[slot].picture = picture;
      }
      if (comparing) showKept(true);
    };
    const keep = (slot) => button(`Keep as ${slot}`, `Keep this picture and its settings as ${slot}`, () => {
      if (!latest || Number(root.dataset.number) < state.number) { Studio.toast("The first picture of these settings is on its way."); return; }
      kept[slot] = { number: state.number, picture: latest };
      trigger("keep", { slot });
      compare.hidden = !(kept.A && kept.B);
      use[slot].hidden = false;
      if (kept.A && kept.B) showKept(true);
      keepPicture(slot, state.number, latest).catch(() => {});
    });
    const use = {
      A: button("Use A", "Take the settings that were kept as A", () => trigger("use", { slot: "A" })),
      B: button("Use B", "Take the settings that were kept as B", () => trigger("use", { slot: "B" })),
    };
    use.A.hidden = use.B.hidden = true;
    let comparing = false;
    const compare = button("A | B", "Compare A with B", () => showKept(!comparing), "toggle");
    compare.hidden = true;
    let motionOf = 0; // the number of the settings whose motion is awaited
    const play = button("▶ Motion", "Dream the 1.5 seconds around this moment as a draft and play them in a loop", () => {
      if (!motion.hidden || motionOf) { stopMotion(); return; }
      motionOf = state.number;
      play.textContent = "Motion …";
      trigger("motion", {});
    }, "toggle");
    const paint = button("Mask", "Paint or upload a mask: where to dream", () => { if (comparing) showKept(false); wipe.move(100); painter.open(); }, "toggle");
    const tools = make("div", { class: "dv-tools" }, views, make("div", { class: "dv-group" }, keep("A"), keep("B"), compare, use.A, use.B),
      make("div", { class: "dv-group" }, play, paint), status);

    const showKept = (on) => {
      comparing = on;
      compare.classList.toggle("on", on);
      if (on) {
        source.src = kept.A.picture; dream.src = kept.B.picture;
        dream.classList.remove("stale");
        wipe.labels("A", "B");
        wipe.move(50);
      } else {
        wipe.labels("source", "dream");
        source.src = frameUrl(state.moment.seconds);
        if (latest) dream.src = latest;
      }
    };
    const stopMotion = () => {
      motionOf = 0;
      motion.hidden = true;
      motion.removeAttribute("src");
      play.textContent = "▶ Motion";
      play.classList.remove("on");
    };
    const frameUrl = (seconds) => state.moment.source === "noise" ? "/studio/static/noise.png"
      : `/studio/thumbnail/${path(state.moment.source)}?height=720&seconds=${seconds.toFixed(2)}`;
    const fitFrame = () => {
      if (source.naturalWidth) wipe.box.style.setProperty("--ratio", source.naturalWidth / source.naturalHeight);
    };
    source.addEventListener("load", fitFrame);

    // --- the scrub bar
    const strip = make("div", { class: "dv-strip" });
    const marks = make("div", { class: "dv-marks" });
    const head = make("div", { class: "dv-playhead" });
    const scrub = make("div", {
      class: "dv-scrub", role: "slider", tabindex: "0", "aria-label": "Moment in seconds", "aria-valuemin": "0",
    }, strip, marks, head);
    const time = make("span", { class: "dv-time" });
    const scrubRow = make("div", { class: "dv-scrubrow" }, scrub, time);
    let wanted = 0;
    let loading = false;
    let pending = false;
    const place = () => {
      const length = facts ? facts.duration_seconds : 0;
      head.style.left = `${length ? (100 * wanted) / length : 0}%`;
      time.textContent = length ? `${clock(wanted, 2)} / ${clock(length, 2)}` : "";
      scrub.setAttribute("aria-valuenow", wanted.toFixed(2));
    };
    const showSource = () => {
      if (loading) { pending = true; return; }
      loading = true;
      const image = new Image();
      image.onload = image.onerror = () => {
        loading = false;
        if (image.naturalWidth && !comparing) source.src = image.src;
        if (pending) { pending = false; showSource(); }
      };
      image.src = frameUrl(wanted);
    };
    const seek = (seconds, final) => {
      if (!facts || !facts.duration_seconds) return;
      const last = Math.max(0, facts.duration_seconds - 1 / facts.fps);
      wanted = Math.min(last, Math.max(0, seconds));
      place();
      stopMotion();
      if (comparing) showKept(false);
      showSource();
      if (final) {
        dream.classList.add("stale");
        trigger("moment", { source: state.moment.source, seconds: Math.round(wanted * 1000) / 1000 });
      }
    };
    const scrubTo = (event, final) => {
      const area = scrub.getBoundingClientRect();
      seek(((event.clientX - area.left) / area.width) * (facts ? facts.duration_seconds : 0), final);
    };
    scrub.addEventListener("pointerdown", (event) => { scrub.setPointerCapture(event.pointerId); scrubTo(event, false); });
    scrub.addEventListener("pointermove", (event) => { if (scrub.hasPointerCapture(event.pointerId)) scrubTo(event, false); });
    scrub.addEventListener("pointerup", (event) => scrubTo(event, true));
    scrub.addEventListener("keydown", (event) => {
      if (!facts || !facts.fps) return;
      const frames = { ArrowLeft: -1, ArrowRight: 1, PageUp: -facts.fps, PageDown: facts.fps }[event.key];
      if (frames !== undefined) seek(wanted + (frames * (event.shiftKey ? 10 : 1)) / facts.fps, true);
      else if (event.key === "Home") seek(0, true);
      else if (event.key === "End") seek(1e9, true);
      else return;
      event.preventDefault();
    });
    const showFacts = (values) => {
      facts = values;
      const film = values && values.kind === "video";
      scrubRow.hidden = !film;
      play.hidden = !film && state.kind === "run";
      marks.replaceChildren();
      if (!film) return;
      strip.style.backgroundImage = `url("/studio/strip/${path(values.name)}")`;
      scrub.setAttribute("aria-valuemax", values.duration_seconds);
      for (const shot of values.shots) {
        const mark = make("i", { class: "dv-shot", title: `Shot at ${clock(shot, 2)}` });
        mark.style.left = `${(100 * shot) / values.duration_seconds}%`;
        marks.append(mark);
      }
      place();
    };

    // --- sources
    const shelf = make("div", { class: "dv-shelf", role: "listbox", "aria-label": "Sources" });
    const input = make("input", { type: "file", hidden: true, multiple: true, accept: "video/*,image/*,audio/*,.mkv,.toml" });
    const meter = make("div", { class: "dv-meter", hidden: true }, make("i"));
    const add = button("+ Add", "Upload a video, an image, a sound or a recipe", () => input.click(), "add");
    let sure = 0;
    const discard = button("Delete", "Delete the chosen source from the workspace", async () => {
      const name = state.moment.source;
      if (Date.now() - sure > 4000) {
        sure = Date.now();
        discard.textContent = "Delete it?";
        setTimeout(() => { discard.textContent = "Delete"; }, 4000);
        return;
      }
      sure = 0;
      discard.textContent = "Delete";
      try {
        await Studio.post(`delete/${path(name)}`);
        const { sources } = await Studio.get("sources");
        const next = sources.find((one) => one.kind !== "sound");
        choose(state.kind === "zoom" ? "noise" : next ? next.name : null);
        showSources();
      } catch (error) { Studio.toast(error.message, "error"); }
    }, "add quiet");
    input.addEventListener("change", () => receive([...input.files]));
    const receive = async (files) => {
      for (const file of files) {
        meter.hidden = false;
        const recipe = /\.toml$/i.test(file.name);
        try {
          const name = await Studio.upload(file, file.name, recipe ? "recipe" : "source", (share) => { meter.firstChild.style.width = `${100 * share}%`; });
          if (recipe) { trigger("preset", { name }); continue; }
          await showSources();
          if (SOUND.test(name)) trigger("sound", { name });
          else choose(name);
        } catch (error) {
          Studio.toast(error.message, "error");
        } finally {
          meter.hidden = true;
        }
      }
      input.value = "";
    };
    const choose = (name) => {
      latest = null;
      dream.removeAttribute("src");
      wanted = 0;
      trigger("moment", { source: name, seconds: 0 });
    };
    const showSources = async () => {
      const { sources } = await Studio.get("sources");
      const cards = sources.map((one) => {
        const label = one.name.split("/")[1];
        const picture = one.kind === "sound" ? make("span", { class: "dv-note", text: "♪" })
          : make("img", { src: `/studio/thumbnail/${path(one.name)}?height=72`, alt: "", loading: "lazy" });
        return make("button", {
          type: "button", class: `dv-card ${one.kind}`, role: "option", title: `${label}, ${Studio.size(one.bytes)}`, "data-name": one.name,
          disabled: one.kind === "sound",
          onclick: () => choose(one.name),
        }, picture, make("span", { text: label }));
      });
      if (state && state.kind === "zoom") {
        cards.unshift(make("button", {
          type: "button", class: "dv-card", role: "option", "data-name": "noise", title: "Colored noise", onclick: () => choose("noise"),
        }, make("img", { src: "/studio/static/noise.png", alt: "" }), make("span", { text: "noise" })));
      }
      shelf.replaceChildren(...cards, add, discard, input, meter);
      markSource();
    };
    const markSource = () => {
      for (const card of shelf.querySelectorAll(".dv-card")) {
        card.setAttribute("aria-selected", String(state && card.dataset.name === state.moment.source));
      }
      discard.hidden = !state || !/^sources\//.test(state.moment.source);
    };
    // Files may be dropped anywhere on the page while this tab is open.
    window.addEventListener("dragover", () => { if (root.offsetParent) root.classList.add("dropping"); });
    window.addEventListener("dragleave", (event) => { if (!event.relatedTarget) root.classList.remove("dropping"); });
    window.addEventListener("drop", (event) => {
      root.classList.remove("dropping");
      if (root.offsetParent) receive([...event.dataTransfer.files]);
    });

    // --- presets
    const presets = make("div", { class: "dv-presets", role: "listbox", "aria-label": "Presets" });
    const tags = make("div", { class: "dv-tags" });
    let tag = "";
    const showTags = () => {
      const known = [...new Set(state.presets.flatMap((one) => one.tags))].sort();
      tags.hidden = known.length < 2;
      tags.replaceChildren(...["", ...known].map((name) => make("button", {
        type: "button", class: `dv-tag${name === tag ? " on" : ""}`, text: name || "all", "aria-pressed": String(name === tag),
        onclick: () => { tag = name; showTags(); showPresets(); },
      })));
    };
    const showPresets = () => {
      const cards = state.presets.map((one) => {
        const known = presets.querySelector(`[data-preset="${one.name}"] img`);
        return make("button", {
          type: "button", class: "dv-preset", role: "option", "data-preset": one.name, title: one.description,
          "aria-selected": String(one.name === state.preset),
          onclick: () => trigger("preset", { name: one.name }),
        }, known || make("img", { alt: "" }), make("span", { text: one.name.replace(/^recipes\//, "").replace(/\.toml$/, "") }));
      });
      cards.forEach((card, index) => { card.hidden = Boolean(tag) && !state.presets[index].tags.includes(tag); });
      presets.replaceChildren(...cards);
    };

    const painter = Studio.painter(wipe.box, () => source, (name) => trigger("painted", { name }), () => wipe.move(50));
    root.classList.add("dv-stage");
    root.append(shelf, frame, fail, scrubRow, tools, tags, presets);

    const failed = (message) => {
      fail.hidden = !message;
      fail.textContent = message;
      document.dispatchEvent(new CustomEvent("dv-failed", { detail: { kind: state.kind, message } }));
    };

    // --- what is dreamed
    const onEvent = (event) => {
      if (event.name === "preview") {
        if (event.number < state.number) return;
        failed(event.stage === "error" ? event.message : "");
        if (event.stage === "error") {
          status.textContent = "";
          return;
        }
        const url = `/studio/picture/${state.session}/${event.picture}`;
        const image = new Image();
        image.onload = () => {
          if (event.number < state.number) return;
          latest = url;
          for (const slot of ["A", "B"]) if (kept[slot] && kept[slot].number === event.number) keepPicture(slot, event.number, url).catch(() => {});
          if (!comparing) { dream.src = url; dream.classList.remove("stale"); }
          if (event.stage === "coarse") coarseShown = performance.now();
          const seconds = ((performance.now() - begun) / 1000).toFixed(1);
          status.textContent = event.stage === "fine" ? `${event.lines} lines, ${seconds} s` : `sharpening: ${event.lines} lines`;
          root.dataset.stage = event.stage;
          root.dataset.number = event.number;
          root.dispatchEvent(new CustomEvent("dv-picture", { detail: event }));
        };
        image.src = url;
      } else if (event.name === "presets" && event.stage === "part") {
        const image = presets.querySelector(`[data-preset="${CSS.escape(event.preset)}"] img`);
        if (image) image.src = `/studio/picture/${state.session}/${event.picture}`;
      } else if (event.name === "motion") {
        if (!motionOf || motionOf !== state.number) return;
        if (event.stage === "part") play.textContent = `Motion ${event.done}/${event.total}`;
        else if (event.stage === "error") { stopMotion(); Studio.toast(event.message, "error"); }
        else {
          motion.src = `/studio/cache/${event.file}`;
          motion.hidden = false;
          motion.muted = !event.sound;
          motion.play().catch(() => { motion.muted = true; motion.play().catch(() => {}); });
          play.textContent = "■ Stop";
          play.classList.add("on");
        }
      } else if (event.name === "note") {
        Studio.toast(event.message, event.stage);
      } else if (event.name === "layers" || event.name === "atlas") {
        document.dispatchEvent(new CustomEvent(`dv-${event.name}`, { detail: { ...event, kind: state.kind } }));
      }
    };

    root.addEventListener("keydown", (event) => {
      if (event.target.matches("input, textarea")) return;
      const places = { 1: 100, 2: 50, 3: 0 };
      if (event.key in places) wipe.move(places[event.key]);
      if (event.key === "m") play.click();
    });

    return {
      show(values) {
        const before = state;
        state = values;
        if (!before || before.session !== values.session) {
          if (stream) stream.close();
          stream = Studio.listen(values.session, onEvent);
          showSources();
        }
        const has = Boolean(values.moment.source);
        empty.hidden = has;
        wipe.box.hidden = !has;
        tools.hidden = !has;
        presets.hidden = tags.hidden = !has;
        paint.hidden = values.kind === "zoom";
        if (!has) { scrubRow.hidden = true; return; }
        if (!before || values.number !== before.number) {
          // The first pictures may have come before this answer to what asked for them.
          if (Number(root.dataset.number || 0) < values.number) {
            begun = performance.now();
            status.textContent = "dreaming …";
            root.dataset.stage = "asked";
          }
          stopMotion(); // it shows other settings
          if (comparing) showKept(false);
        }
        if (!before || before.moment.source !== values.moment.source) {
          scrubRow.hidden = true;
          facts = null;
          if (comparing) showKept(false);
          wanted = values.moment.seconds;
          source.src = frameUrl(wanted);
          if (values.moment.source === "noise") showFacts(null);
          else Studio.get(`film/${path(values.moment.source)}`).then(showFacts, (error) => Studio.toast(error.message, "error"));
          if (![...shelf.querySelectorAll(".dv-card")].some((card) => card.dataset.name === values.moment.source)) showSources();
        } else if (Math.abs(values.moment.seconds - wanted) > 0.002) {
          wanted = values.moment.seconds;
          place();
          showSource();
        }
        if (values.error) {
          failed(values.error);
          status.textContent = "";
        }
        markSource();
        showTags();
        showPresets();
      },
    };
  });
})();
