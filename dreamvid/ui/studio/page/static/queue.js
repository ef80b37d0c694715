// The queue: it only watches. Renders are processes of their own, and this page may be closed at any time.
(() => {
  const { make, path, clock } = Studio;
  const WORDS = { waiting: "waiting", running: "rendering", paused: "paused", cancelled: "cancelled", done: "done", failed: "failed" };
  const ACTIONS = {
    running: [["pause", "Pause"], ["cancel", "Cancel"]],
    waiting: [["first", "⤒", "First"], ["up", "↑", "Earlier"], ["down", "↓", "Later"], ["pause", "Hold"], ["cancel", "Cancel"]],
    paused: [["retry", "Continue"], ["cancel", "Cancel"]],
    cancelled: [["retry", "Try again"], ["forget", "Remove"]],
    failed: [["retry", "Try again"], ["forget", "Remove"]],
    done: [["forget", "Remove"]],
  };

  Studio.part("queue", (root) => {
    root.classList.add("dv-queue");
    const list = make("div", { class: "dv-jobs", role: "list" });
    const empty = make("div", { class: "dv-empty small" },
      make("strong", { text: "Nothing is queued" }), make("span", { text: "Tune a frame, then press “Queue this film”." }));
    const clear = make("button", { type: "button", class: "dv-button", text: "Remove finished", title: "Take all finished renders off this list; their results stay", onclick: async () => {
      for (const [id, one] of cards) if (one.node.dataset.state === "done") await act(id, "forget");
    } });
    const bar = make("div", { class: "dv-tools", hidden: true }, clear);
    root.append(bar, list, empty);
    const cards = new Map();

    // What an unfinished render has done so far is deleted with it: asked for twice.
    let sure = "";
    const act = async (id, action, button) => {
      if (action === "forget" && cards.get(id).begun && sure !== id) {
        sure = id;
        button.textContent = "Delete what is done?";
        setTimeout(() => { sure = ""; button.textContent = "Remove"; }, 4000);
        return;
      }
      try {
        await Studio.post(`queue/${encodeURIComponent(id)}/${action}`);
        await look();
      } catch (error) { Studio.toast(error.message, "error"); }
    };

    const card = (id) => {
      const picture = make("img", { class: "dv-jobpicture", alt: "" });
      const name = make("strong");
      const about = make("span", { class: "dv-note" });
      const share = make("i");
      const bar = make("div", { class: "dv-bar", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100" }, share);
      const line = make("div", { class: "dv-jobline" });
      const buttons = make("div", { class: "dv-group" });
      const video = make("video", { controls: true, loop: true, muted: true, hidden: true, class: "dv-partial" });
      const node = make("div", { class: "dv-job", role: "listitem", "data-id": id },
        picture, make("div", { class: "dv-jobbody" }, make("div", { class: "dv-jobhead" }, name, about), bar, line, video), buttons);
      return { node, picture, name, about, share, bar, line, buttons, video, state: "", still: undefined };
    };

    const fill = (one, job) => {
      one.node.dataset.state = job.state;
      one.begun = job.state !== "done" && (job.share > 0 || Boolean(job.partial));
      one.name.textContent = job.output.split("/")[1];
      one.about.textContent = `${job.source.replace(/^sources\//, "")}${job.preset ? ` · ${job.preset}` : ""}`;
      const percent = job.state === "done" ? 100 : Math.round(100 * (job.share || 0));
      one.share.style.width = `${percent}%`;
      one.bar.setAttribute("aria-valuenow", percent);
      const parts = [WORDS[job.state]];
      if (job.state === "running") {
        if (job.stage === "dream") {
          parts.push(`frame ${job.frame} of ${job.total}`);
          if (job.fps) parts.push(`${job.fps.toFixed(2)} fps`);
          if (job.seconds_left !== null) parts.push(`${clock(job.seconds_left)} left`);
          if (job.bottleneck) parts.push(`slow: ${job.bottleneck}`);
        } else if (job.stage === "scan") parts.push("reading the source");
        else if (job.stage === "join") parts.push("joining");
        else parts.push("starting");
      } else if (job.state === "done" && job.seconds) parts.push(`in ${clock(job.seconds)}`);
      else if (job.total) parts.push(`${percent}%`);
      if (job.message && job.state !== "done") parts.push(job.message);
      one.line.textContent = parts.join(" · ");
      one.line.title = job.message || "";
      const still = job.still ? `/studio/queue/${encodeURIComponent(job.id)}/still?${job.still}`
        : job.state === "done" ? `/studio/thumbnail/${path(job.output)}?height=180`
          : job.source === "noise" ? "/studio/static/noise.png" : `/studio/thumbnail/${path(job.source.split("@")[0])}?height=180`;
      if (still !== one.still) { one.picture.src = still; one.still = still; }
      const key = `${job.state}${Boolean(job.partial)}`;
      if (one.state === key) return;
      one.state = key;
      one.buttons.replaceChildren(...ACTIONS[job.state].map(([action, text, title]) => make("button", {
        type: "button", class: "dv-button", text, title: title || text, "data-action": action, onclick: (event) => act(job.id, action, event.currentTarget),
      })));
      if (job.partial) {
        one.buttons.append(make("button", { type: "button", class: "dv-button", text: "Watch", title: "Play what is done so far", onclick: () => {
          one.video.hidden = !one.video.hidden;
          if (one.video.hidden) one.video.removeAttribute("src");
          else { one.video.src = `/studio/queue/${encodeURIComponent(job.id)}/partial?${Date.now()}`; one.video.play().catch(() => {}); }
        } }));
      }
      if (job.state === "done") {
        one.buttons.append(make("button", { type: "button", class: "dv-button primary", text: "Open", onclick: () => {
          Studio.open("Results");
          document.dispatchEvent(new CustomEvent("dv-result", { detail: job.output }));
        } }));
      }
    };

    const look = async () => {
      const { jobs } = await Studio.get("queue");
      const seen = new Set();
      jobs.forEach((job, index) => {
        seen.add(job.id);
        if (!cards.has(job.id)) cards.set(job.id, card(job.id));
        const one = cards.get(job.id);
        fill(one, job);
        if (list.children[index] !== one.node) list.insertBefore(one.node, list.children[index] || null);
      });
      for (const [id, one] of cards) if (!seen.has(id)) { one.node.remove(); cards.delete(id); }
      empty.hidden = jobs.length > 0;
      bar.hidden = jobs.filter((job) => job.state === "done").length < 2;
    };
    Studio.every(1000, root, look);
    look().catch(() => {});
  });
})();
