// Results: the source and the dream in step, side by side or with a slider over the playing video; scores; recipes.
(() => {
  const { make, path, clock } = Studio;
  const MEASURES = [
    ["strength", "Strength", "of the objective, over that of the source; 1 is no dream"],
    ["excess", "Excess", "warping error beyond the source's; 0 is as steady as the source"],
    ["flashes", "Flashes", "per mille of blocks that are bare for one frame"],
    ["noise", "Noise", "per mille of blocks with saturated grain"],
    ["evenness", "Evenness", "change of strength from frame to frame; 0 is even"],
    ["clipped", "Clipped", "pixels that the dream drove to black or white"],
  ];

  Studio.part("results", (root, trigger) => {
    root.classList.add("dv-results");
    const shelf = make("div", { class: "dv-shelf tall", role: "listbox", "aria-label": "Results" });
    const empty = make("div", { class: "dv-empty small" },
      make("strong", { text: "No results yet" }), make("span", { text: "Finished films of the queue appear here." }));
    const source = make("video", { muted: true, playsinline: true, preload: "auto" });
    const dream = make("video", { playsinline: true, preload: "auto", loop: true });
    source.muted = true;
    const wipe = Studio.wipe(source, dream, ["source", "dream"]);
    const seek = make("input", { type: "range", min: "0", max: "1000", value: "0", class: "dv-seek", "aria-label": "Position" });
    const time = make("span", { class: "dv-time" });
    const button = (text, title, onclick, extra = "") => make("button", { type: "button", class: `dv-button ${extra}`, text, title, onclick });
    const play = button("▶ Play", "Play or pause (space)", () => (dream.paused ? start() : stop()), "primary");
    const layout = button("Side by side", "Show both videos next to each other", () => {
      const beside = box.classList.toggle("beside");
      layout.textContent = beside ? "Slider" : "Side by side";
    });
    const score = button("Score", "Measure how strong and how steady the dream is", () => run(() => Studio.post(`score/${path(chosen.name)}`)));
    const recipe = button("Recipe", "Show the settings of this result", async () => {
      if (!text.hidden) { text.hidden = true; return; }
      const answer = await fetch(`/studio/file/${path(chosen.recipe)}`);
      text.textContent = await answer.text();
      text.hidden = false;
    });
    const retune = button("Re-tune", "Take these settings to the tab where they are tuned", () => trigger("retune", { name: chosen.name }));
    const download = make("a", { class: "dv-button", text: "Download", download: "" });
    let sure = 0;
    const remove = button("Delete", "Delete this result and its recipe", () => {
      if (Date.now() - sure > 4000) { sure = Date.now(); remove.textContent = "Delete for good?"; setTimeout(() => { remove.textContent = "Delete"; }, 4000); return; }
      sure = 0;
      const name = chosen.name;
      close();
      run(() => Studio.post(`delete/${path(name)}`));
    }, "danger");
    const box = make("div", { class: "dv-frame" }, wipe.box);
    const bar = make("div", { class: "dv-tools" }, play, make("div", { class: "dv-seekrow" }, seek, time));
    const tools = make("div", { class: "dv-tools" }, make("div", { class: "dv-group" }, layout, score, recipe, retune), make("div", { class: "dv-group" }, download, remove));
    const numbers = make("div", { class: "dv-numbers" });
    const plot = make("img", { class: "dv-plot", alt: "plots of the score", hidden: true });
    const text = make("pre", { class: "dv-code", hidden: true });
    const player = make("div", { class: "dv-player", hidden: true }, box, bar, tools, numbers, plot, text);
    root.append(shelf, empty, player);
    let chosen = null;
    let wanted = null;
    let offset = 0; // seconds of the source at which the dream begins

    // The dream leads; the source follows it. It is set right when it is off by more than a frame or so.
    const follow = () => {
      if (!source.src || !source.duration) return;
      const at = Math.min(dream.currentTime + offset, source.duration - 0.001);
      if (Math.abs(source.currentTime - at) > (dream.paused ? 0.001 : 0.06)) source.currentTime = at;
    };
    const start = () => { follow(); source.play().catch(() => {}); dream.play().catch(() => {}); };
    const stop = () => { dream.pause(); source.pause(); follow(); };
    dream.addEventListener("play", () => { play.textContent = "❚❚ Pause"; source.play().catch(() => {}); });
    dream.addEventListener("pause", () => { play.textContent = "▶ Play"; source.pause(); follow(); });
    dream.addEventListener("seeked", follow);
    dream.addEventListener("timeupdate", () => {
      follow();
      if (dream.duration) seek.value = (1000 * dream.currentTime) / dream.duration;
      time.textContent = `${clock(dream.currentTime, 2)} / ${clock(dream.duration || 0, 2)}`;
    });
    seek.addEventListener("input", () => { if (dream.duration) dream.currentTime = (seek.value / 1000) * dream.duration; });
    dream.addEventListener("loadedmetadata", () => wipe.box.style.setProperty("--ratio", dream.videoWidth / dream.videoHeight));
    root.addEventListener("keydown", (event) => {
      if (event.key === " " && !event.target.closest("button, input, textarea, a")) { play.click(); event.preventDefault(); }
    });
    const run = async (call) => {
      try { await call(); await look(); } catch (error) { Studio.toast(error.message, "error"); }
    };
    // What the browser cannot play, it is given as a copy that it can.
    const load = (video, name) => {
      video.dataset.name = name || "";
      delete video.dataset.copy;
      if (name) video.src = `/studio/file/${path(name)}`;
      else { video.removeAttribute("src"); video.load(); }
    };
    const loadCopy = (video) => {
      const { name } = video.dataset;
      if (!name) return;
      if (video.dataset.copy) { Studio.toast(`${name.split("/")[1]} cannot be played here. Download it.`, "error"); video.dataset.name = ""; return; }
      video.dataset.copy = "1";
      time.textContent = "making a copy that this browser plays …";
      video.src = `/studio/playable/${path(name)}`;
      video.addEventListener("canplay", start, { once: true });
    };
    for (const video of [source, dream]) {
      video.addEventListener("error", () => loadCopy(video));
      video.addEventListener("loadedmetadata", () => { if (!video.videoWidth) loadCopy(video); });
    }
    const close = () => {
      chosen = null;
      player.hidden = true;
      for (const video of [source, dream]) { video.pause(); load(video, ""); }
    };

    const open = (one) => {
      chosen = one;
      player.hidden = false;
      text.hidden = true;
      const compares = Boolean(one.source) && one.kind === "run" && /\.(mp4|mkv|webm|mov|m4v|avi|mpg|ts|gif|webp)$/i.test(one.source);
      box.classList.toggle("single", !compares);
      layout.hidden = !compares;
      wipe.move(compares ? 50 : 0);
      offset = 0;
      if (compares && one.first_frame) {
        Studio.get(`film/${path(one.source)}`).then((facts) => { offset = one.first_frame / facts.fps; follow(); }, () => {});
      }
      load(dream, one.name);
      load(source, compares ? one.source : "");
      download.href = `/studio/file/${path(one.name)}`;
      download.download = one.name.split("/")[1];
      start();
      mark();
      describe();
    };
    const mark = () => {
      for (const card of shelf.children) card.setAttribute("aria-selected", String(chosen && card.dataset.name === chosen.name));
    };
    const describe = () => {
      score.hidden = !chosen.source || chosen.kind !== "run";
      recipe.hidden = retune.hidden = !chosen.recipe;
      score.disabled = chosen.scoring;
      score.textContent = chosen.scoring ? "Scoring …" : "Score";
      const cells = chosen.score ? MEASURES.filter(([key]) => chosen.score[key] !== undefined && chosen.score[key] !== null)
        .map(([key, name, help]) => make("div", { class: "dv-number", title: help },
          make("b", { text: Number(chosen.score[key]).toFixed(2) }), make("span", { text: name }), make("small", { text: help }))) : [];
      if (chosen.message) cells.push(make("div", { class: "dv-error", text: chosen.message }));
      numbers.replaceChildren(...cells);
      plot.hidden = !chosen.plot;
      if (chosen.plot && plot.dataset.name !== chosen.plot) { plot.src = `/studio/file/${path(chosen.plot)}`; plot.dataset.name = chosen.plot; }
    };

    let shown = "";
    const look = async () => {
      const { results } = await Studio.get("results");
      const names = results.map((one) => one.name + one.bytes).join();
      if (names !== shown) {
        shown = names;
        shelf.replaceChildren(...results.map((one) => make("button", {
          type: "button", class: "dv-card", role: "option", "data-name": one.name, title: `${one.name}, ${Studio.size(one.bytes)}`, onclick: () => open(one),
        }, make("img", { src: `/studio/thumbnail/${path(one.name)}?height=120&seconds=0.5`, alt: "", loading: "lazy" }),
        make("span", { text: one.name.split("/")[1] }))));
      }
      empty.hidden = results.length > 0;
      const newest = chosen && results.find((one) => one.name === chosen.name);
      if (newest) { chosen = newest; describe(); mark(); }
      const asked = wanted && results.find((one) => one.name === wanted);
      if (asked) { wanted = null; open(asked); } else if (!chosen && results.length && !wanted) open(results[0]);
    };
    document.addEventListener("dv-result", (event) => { wanted = event.detail; look().catch(() => {}); });
    Studio.every(2000, root, look);
    look().catch(() => {});
  });
})();
