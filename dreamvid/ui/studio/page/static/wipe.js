// A slider between two layers that lie on one another: images or videos. Keyboard: arrows move it, Home and End end it.
(() => {
  const { make } = Studio;

  Studio.wipe = (below, above, labels) => {
    const handle = make("div", {
      class: "dv-handle", role: "slider", tabindex: "0",
      "aria-label": "Compare", "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": "50",
    });
    const left = make("span", { class: "dv-side left", text: labels[0] });
    const right = make("span", { class: "dv-side right", text: labels[1] });
    const box = make("div", { class: "dv-wipe" }, below, make("div", { class: "dv-above" }, above), handle, left, right);
    let at = 50;

    const move = (percent) => {
      at = Math.min(100, Math.max(0, percent));
      box.style.setProperty("--cut", `${at}%`);
      handle.setAttribute("aria-valuenow", Math.round(at));
      left.classList.toggle("faint", at < 12);
      right.classList.toggle("faint", at > 88);
    };
    const follow = (event) => {
      const area = box.getBoundingClientRect();
      move((100 * (event.clientX - area.left)) / area.width);
    };
    box.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || event.target.closest("button, .dv-paint")) return;
      box.setPointerCapture(event.pointerId);
      follow(event);
      handle.focus({ preventScroll: true });
      event.preventDefault();
    });
    box.addEventListener("pointermove", (event) => { if (box.hasPointerCapture(event.pointerId)) follow(event); });
    handle.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: at - 2, ArrowRight: at + 2, Home: 0, End: 100 };
      if (event.key in steps) { move(steps[event.key]); event.preventDefault(); }
    });
    move(50);
    return { box, move, labels(one, other) { left.textContent = one; right.textContent = other; } };
  };
})();
