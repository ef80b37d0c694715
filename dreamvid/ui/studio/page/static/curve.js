// The curve editor: points over the film's waveform, beats and shots. Its text is made and read by Python alone.
(() => {
  const { make, clock } = Studio;
  const EASINGS = ["linear", "hold", "ease-in", "ease-out", "ease-in-out", "sine", "elastic"];
  const LEFT = 56, RIGHT = 14, TOP = 14, BOTTOM = 58;

  Studio.part("curve", (root, trigger) => {
    root.classList.add("dv-curve");
    const canvas = make("canvas", { tabindex: "0", "aria-label": "Curve: double-click adds a point, arrows move the chosen one, Delete removes it" });
    const easing = make("select", { "aria-label": "Easing to this point" }, ...EASINGS.map((name) => make("option", { value: name, text: name })));
    const at = make("input", { type: "number", step: "0.01", min: "0", "aria-label": "Time in seconds" });
    const value = make("input", { type: "text", "aria-label": "Value" });
    const remove = make("button", { type: "button", class: "dv-button", text: "Remove point" });
    const hint = make("span", { class: "dv-note" });
    const bar = make("div", { class: "dv-tools" }, make("label", { text: "at " }, at, document.createTextNode(" s")),
      make("label", { text: "value " }, value), make("label", { text: "easing " }, easing), remove, hint);
    root.append(canvas, bar);
    const pen = canvas.getContext("2d");
    let state = null;
    let points = [];
    let chosen = -1;
    let dragging = false;
    let sent = 0; // the number of the last points that were sent

    const box = () => ({ w: canvas.clientWidth - LEFT - RIGHT, h: canvas.clientHeight - TOP - BOTTOM });
    const words = () => state && state.form === "objective";
    const x = (seconds) => LEFT + (seconds / state.duration) * box().w;
    const y = (number) => TOP + (1 - (number - state.low) / (state.high - state.low || 1)) * box().h;
    const seconds = (px) => Math.min(state.duration, Math.max(0, ((px - LEFT) / box().w) * state.duration));
    const number = (py) => {
      const raw = state.high - ((py - TOP) / box().h) * (state.high - state.low);
      const kept = Math.min(state.most, Math.max(state.least, raw));
      return state.whole ? Math.round(kept) : Number(kept.toPrecision(4));
    };
    const snapped = (time, exact) => {
      if (exact) return time;
      const marks = [...state.beats, ...state.shots].sort((a, b) => Math.abs(a - time) - Math.abs(b - time));
      return marks.length && Math.abs(x(marks[0]) - x(time)) < 6 ? marks[0] : Math.round(time * 100) / 100;
    };

    const draw = () => {
      if (!state || !canvas.clientWidth) return;
      const ratio = window.devicePixelRatio || 1;
      const { w, h } = box();
      canvas.width = canvas.clientWidth * ratio;
      canvas.height = canvas.clientHeight * ratio;
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.font = "12px system-ui, sans-serif";
      pen.fillStyle = "#12151b";
      pen.fillRect(LEFT, TOP, w, h);
      // sound, below
      const base = TOP + h + 40;
      pen.fillStyle = "#3a4b63";
      state.waveform.forEach((peak, index) => {
        const left = LEFT + (index / state.waveform.length) * w;
        pen.fillRect(left, base - 14 * peak, Math.max(1, w / state.waveform.length), 28 * peak);
      });
      pen.strokeStyle = "rgba(245,190,110,.35)";
      for (const beat of state.beats) line(x(beat), TOP, x(beat), base + 14);
      pen.strokeStyle = "rgba(183,156,255,.9)";
      pen.setLineDash([4, 4]);
      for (const shot of state.shots) line(x(shot), TOP, x(shot), base + 14);
      pen.setLineDash([]);
      // grid
      pen.strokeStyle = "#232936";
      pen.fillStyle = "#8f97a6";
      if (!words()) {
        for (let step = 0; step <= 4; step++) {
          const level = state.low + (step / 4) * (state.high - state.low);
          line(LEFT, y(level), LEFT + w, y(level));
          pen.textAlign = "right";
          pen.fillText(String(Number(level.toPrecision(3))), LEFT - 8, y(level) + 4);
        }
      }
      pen.textAlign = "center";
      const every = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 600].find((one) => state.duration / one <= 12) || 1200;
      for (let tick = 0; tick <= state.duration + 1e-6; tick += every) {
        pen.fillText(every < 1 ? tick.toFixed(1) : clock(tick), x(tick), TOP + h + 16);
      }
      if (words()) drawWords(w, h);
      else drawCurve();
    };
    const drawWords = (w, h) => {
      const colors = ["#b79cff", "#5fd0c5", "#f5be6e", "#ef8fa8", "#8fb8ff"];
      const ordered = [...points].sort((a, b) => a.t - b.t);
      ordered.forEach((point, index) => {
        const left = index ? x(point.t) : LEFT;
        const right = index + 1 < ordered.length ? x(ordered[index + 1].t) : LEFT + w;
        pen.globalAlpha = 0.28;
        pen.fillStyle = colors[index % colors.length];
        pen.fillRect(left, TOP + 20, right - left, h - 40);
        pen.globalAlpha = 1;
        pen.fillStyle = "#e8eaee";
        pen.textAlign = "left";
        pen.save();
        pen.beginPath();
        pen.rect(left, TOP, right - left - 4, h);
        pen.clip();
        pen.fillText(point.text, left + 12, TOP + h / 2 + 4);
        pen.restore();
        dot(x(point.t), TOP + 20, points.indexOf(point) === chosen);
      });
    };
    const drawCurve = () => {
      pen.strokeStyle = "#b79cff";
      pen.lineWidth = 2;
      pen.beginPath();
      state.curve.forEach((level, index) => {
        const time = (state.duration * index) / (state.curve.length - 1);
        pen[index ? "lineTo" : "moveTo"](x(time), y(Math.min(state.high * 2, level)));
      });
      pen.stroke();
      pen.lineWidth = 1;
      points.forEach((point, index) => dot(x(point.t), y(point.v), index === chosen));
    };
    const line = (a, b, c, d) => { pen.beginPath(); pen.moveTo(a, b); pen.lineTo(c, d); pen.stroke(); };
    const dot = (px, py, on) => {
      pen.beginPath();
      pen.arc(px, py, on ? 8 : 6, 0, 7);
      pen.fillStyle = on ? "#ffffff" : "#b79cff";
      pen.fill();
    };

    const nearest = (event) => {
      const area = canvas.getBoundingClientRect();
      const px = event.clientX - area.left, py = event.clientY - area.top;
      let best = -1, least = 16;
      points.forEach((point, index) => {
        const distance = words() ? Math.abs(px - x(point.t)) : Math.hypot(px - x(point.t), py - y(point.v));
        if (distance < least) { best = index; least = distance; }
      });
      return { best, px, py };
    };
    const send = () => { sent = trigger("points", { name: state.name, points }); };
    const choose = (index) => {
      chosen = index;
      const point = points[index];
      for (const node of [easing, at, value, remove]) node.disabled = !point;
      if (point) {
        easing.value = point.easing;
        // What is being typed stays when an answer comes.
        if (at !== document.activeElement) at.value = point.t;
        if (value !== document.activeElement) value.value = words() ? point.text : point.v;
      }
      draw();
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (!state || state.form === "expression") return;
      const { best } = nearest(event);
      choose(best);
      dragging = best >= 0;
      if (dragging) canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!dragging || chosen < 0) return;
      const area = canvas.getBoundingClientRect();
      const point = points[chosen];
      point.t = snapped(seconds(event.clientX - area.left), event.altKey);
      if (!words()) point.v = number(event.clientY - area.top);
      choose(chosen);
    });
    canvas.addEventListener("pointerup", () => { if (dragging) { dragging = false; send(); } });
    canvas.addEventListener("dblclick", (event) => {
      if (!state || state.form === "expression") return;
      const { px, py, best } = nearest(event);
      if (best >= 0) return;
      const point = { t: snapped(seconds(px), event.altKey), v: words() ? null : number(py), easing: words() ? "ease-in-out" : "linear", text: state.layer || "blocks.4.1" };
      points.push(point);
      choose(points.length - 1);
      send();
    });
    const drop = () => {
      if (chosen < 0 || points.length < 2) return;
      points.splice(chosen, 1);
      choose(-1);
      send();
    };
    remove.addEventListener("click", drop);
    canvas.addEventListener("keydown", (event) => {
      if (event.key === "Delete" || event.key === "Backspace") { drop(); event.preventDefault(); return; }
      if (event.key === "Tab" || chosen < 0) {
        if (event.key === "Enter" && points.length) choose(0);
        return;
      }
      const point = points[chosen];
      const step = (state.high - state.low) / 100;
      if (event.key === "ArrowLeft") point.t = Math.max(0, point.t - 0.04);
      else if (event.key === "ArrowRight") point.t = Math.min(state.duration, point.t + 0.04);
      else if (event.key === "ArrowUp" && !words()) point.v = number(y(point.v + step));
      else if (event.key === "ArrowDown" && !words()) point.v = number(y(point.v - step));
      else if (event.key === "Enter") chosen = (chosen + 1) % points.length;
      else return;
      point.t = Math.round(point.t * 100) / 100;
      choose(chosen);
      if (event.key !== "Enter") send();
      event.preventDefault();
    });
    const edit = (change) => () => { if (chosen >= 0) { change(points[chosen]); choose(chosen); send(); } };
    easing.addEventListener("change", edit((point) => { point.easing = easing.value; }));
    at.addEventListener("change", edit((point) => { point.t = Math.max(0, Number(at.value) || 0); }));
    value.addEventListener("change", edit((point) => {
      if (words()) point.text = value.value;
      else if (value.value.trim() !== "" && Number.isFinite(Number(value.value))) point.v = Number(value.value);
    }));
    new ResizeObserver(draw).observe(canvas);

    return {
      show(values) {
        // An answer to what was sent before would undo what was done since.
        if (state && state.name === values.name && (dragging || values.taken < sent)) return;
        const before = state;
        const last = points[chosen];
        state = values;
        points = (values.points || []).map((point) => ({ ...point }));
        if (last) chosen = points.findIndex((point) => Math.abs(point.t - last.t) < 0.002);
        root.dataset.points = points.length;
        hint.textContent = values.form === "expression" ? "An expression: edit its text; its curve is drawn here."
          : "Double-click adds a point; it snaps to beats and shots (Alt: not).";
        if (!before || before.name !== values.name || chosen >= points.length) chosen = -1;
        choose(chosen);
      },
    };
  });
})();
