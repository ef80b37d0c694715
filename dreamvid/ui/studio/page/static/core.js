// What all parts of the studio's page share. A part is a function that fills an element of Gradio's HTML component.
(() => {
  const parts = {};
  let sent = 0;
  const Studio = {
    part(name, fill) { parts[name] = fill; },
    has(name) { return name in parts && Boolean(Studio.wipe && Studio.painter); },

    // Called by the component: `trigger` sends an event to Python, `watch` tells of values that came from there.
    mount(name, element, trigger, props, watch) {
      const root = element.querySelector(".dv-part") || element;
      // Numbered, as answers are worked on side by side: an older event must not win over a newer one.
      const send = (event, data) => {
        trigger(event, { ...data, n: ++sent });
        return sent;
      };
      const part = parts[name](root, send, props) || {};
      const show = () => { if (props.value && part.show) part.show(props.value); };
      watch("value", show);
      show();
    },

    make(tag, attributes = {}, ...children) {
      const node = document.createElement(tag);
      for (const [name, value] of Object.entries(attributes)) {
        if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
        else if (name === "text") node.textContent = value;
        else if (value === true) node.setAttribute(name, "");
        else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
      }
      node.append(...children.filter((child) => child));
      return node;
    },

    async get(path) {
      const answer = await fetch(`/studio/${path}`);
      const values = await answer.json();
      if (!answer.ok) throw new Error(values.error || answer.statusText);
      return values;
    },

    async post(path) {
      const answer = await fetch(`/studio/${path}`, { method: "POST", headers: { "x-dreamvid-studio": "1" } });
      const values = await answer.json();
      if (!answer.ok) throw new Error(values.error || answer.statusText);
      return values;
    },

    // Send a file or a blob as it is; `onShare` is told how much of it has arrived.
    upload(blob, name, purpose, onShare = () => {}) {
      return new Promise((resolve, reject) => {
        const request = new XMLHttpRequest();
        request.open("PUT", `/studio/upload?name=${encodeURIComponent(name)}&purpose=${purpose}`);
        request.setRequestHeader("x-dreamvid-studio", "1");
        request.upload.onprogress = (event) => onShare(event.loaded / event.total);
        request.onerror = () => reject(new Error("The studio does not answer."));
        request.onload = () => {
          let values = {};
          try { values = JSON.parse(request.responseText); } catch { /* a message without JSON */ }
          if (request.status === 200) resolve(values.name);
          else reject(new Error(values.error || request.responseText || "The upload failed."));
        };
        request.send(blob);
      });
    },

    // The stream of what is dreamed for one part of the page.
    listen(session, onEvent) {
      const source = new EventSource(`/studio/events/${session}`);
      source.onmessage = (message) => onEvent(JSON.parse(message.data));
      return source;
    },

    path(name) { return name.split("/").map(encodeURIComponent).join("/"); },

    clock(seconds, digits = 0) {
      const whole = Math.max(0, seconds);
      const minutes = Math.floor(whole / 60);
      const rest = (whole - 60 * minutes).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
      const hours = Math.floor(minutes / 60);
      return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
    },

    size(bytes) {
      return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
    },

    toast(text, kind = "note") {
      let tray = document.querySelector(".dv-toasts");
      if (!tray) {
        tray = Studio.make("div", { class: "dv-toasts", role: "status", "aria-live": "polite" });
        document.body.append(tray);
      }
      const toast = Studio.make("div", { class: `dv-toast ${kind}`, text });
      tray.append(toast);
      setTimeout(() => toast.remove(), kind === "error" ? 9000 : 4000);
    },

    // Call again and again while the part can be seen.
    every(milliseconds, element, call) {
      let busy = false;
      const tick = async () => {
        if (busy || document.hidden || !element.isConnected || !element.offsetParent) return;
        busy = true;
        try { await call(); } catch { /* the next one may work */ } finally { busy = false; }
      };
      setInterval(tick, milliseconds);
      new IntersectionObserver(tick).observe(element);
      return tick;
    },

    open(tab) {
      const button = [...document.querySelectorAll("button[role=tab]")].find((one) => one.textContent.trim() === tab);
      if (button) button.click();
    },
  };
  window.Studio = Studio;

  // The help of a control is shortened to two lines: hovering shows all of it, a click unfolds it. (Unfolding it while
  // the control has the focus would move what is below between a press and its release.)
  const help = (event) => event.target.closest?.(".dv-knob .info-text");
  document.addEventListener("mouseover", (event) => { const text = help(event); if (text) text.title = text.textContent; });
  document.addEventListener("click", (event) => {
    const text = help(event);
    if (text) { text.classList.toggle("open"); event.preventDefault(); }
  });

  // Drops on anything but a place for files must not replace the page.
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
})();
