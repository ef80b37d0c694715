// Complete layers and classes in the objective's field, and pick channels from the images of what they respond to.
(() => {
  const { make, path } = Studio;
  const SNIPPETS = ["class:", 'guide("sources/', "strongest(8)", "average(8)", "weakest(8)"];

  Studio.part("objective", (root, trigger) => {
    root.classList.add("dv-objective");
    const menu = make("div", { class: "dv-complete", role: "listbox", hidden: true });
    const layer = make("select", { "aria-label": "Layer" });
    const more = make("button", { type: "button", class: "dv-button", text: "More channels", hidden: true });
    const grid = make("div", { class: "dv-atlas" });
    const note = make("span", { class: "dv-note", text: "What the channels of a layer respond to. A click adds one to the objective." });
    const picker = make("details", {}, make("summary", { text: "Layers and channels" }), make("div", { class: "dv-tools" }, layer, more, note), grid);
    const wrong = make("div", { class: "dv-error", role: "alert", hidden: true });
    root.append(menu, wrong, picker);
    document.addEventListener("dv-failed", (event) => {
      if (!state || event.detail.kind !== state.kind) return;
      wrong.textContent = event.detail.message;
      wrong.hidden = !/objective|layer|class|channel|guide|network/i.test(event.detail.message);
    });
    let state = null;
    let layers = {};
    let classes = [];
    let count = 0;
    let place = -1;

    const field = () => document.querySelector(`#${state.field} textarea, #${state.field} input`);
    const put = (text) => {
      const input = field();
      const own = Object.getPrototypeOf(input);
      Object.getOwnPropertyDescriptor(own, "value").set.call(input, text);
      input.dispatchEvent(new Event("input", { bubbles: true }));
    };
    const word = (input) => {
      const before = input.value.slice(0, input.selectionStart);
      const match = before.match(/[\w.]*$/);
      return { text: match[0], start: before.length - match[0].length };
    };
    const offers = (text) => {
      if (!text) return [];
      const known = [...Object.keys(layers), ...SNIPPETS];
      const begins = known.filter((name) => name.startsWith(text) && name !== text).sort((a, b) => a.length - b.length);
      const holds = known.filter((name) => !name.startsWith(text) && name.includes(text));
      const named = classes.filter((name) => name.startsWith(text.toLowerCase())).map((name) => `class:${/ /.test(name) ? `"${name}"` : name}`);
      return [...begins, ...named, ...holds].slice(0, 8);
    };
    const complete = () => {
      const input = field();
      const { text } = word(input);
      const found = document.activeElement === input ? offers(text) : [];
      place = -1;
      menu.hidden = found.length === 0;
      menu.replaceChildren(...found.map((name) => make("button", {
        type: "button", role: "option", class: "dv-option",
        onpointerdown: (event) => { event.preventDefault(); take(name); },
      }, make("span", { text: name }), make("small", { text: layers[name] ? `${layers[name]} channels` : "" }))));
    };
    const take = (name) => {
      const input = field();
      const { text, start } = word(input);
      const value = input.value;
      put(value.slice(0, start) + name + value.slice(start + text.length));
      input.focus();
      input.setSelectionRange(start + name.length, start + name.length);
      menu.hidden = true;
    };
    const attach = () => {
      const input = field();
      if (!input || input.dataset.dv) return;
      input.dataset.dv = "1";
      input.setAttribute("autocomplete", "off");
      input.setAttribute("spellcheck", "false");
      input.addEventListener("input", complete);
      input.addEventListener("blur", () => { menu.hidden = true; });
      input.addEventListener("keydown", (event) => {
        if (menu.hidden) return;
        const options = [...menu.children];
        if (event.key === "ArrowDown" || event.key === "ArrowUp") {
          place = (place + (event.key === "ArrowDown" ? 1 : -1) + options.length) % options.length;
          options.forEach((one, index) => one.setAttribute("aria-selected", String(index === place)));
          event.preventDefault();
        } else if ((event.key === "Enter" || event.key === "Tab") && place >= 0) {
          take(options[place].firstChild.textContent);
          event.preventDefault();
        } else if (event.key === "Escape") menu.hidden = true;
      });
    };

    const askAtlas = () => {
      if (!layer.value) return;
      const total = layers[layer.value];
      count = Math.min(total, count + 24);
      more.hidden = count >= total;
      trigger("atlas", { layer: layer.value, count });
    };
    const showLayers = () => {
      const blocks = Object.keys(layers).filter((name) => /^(blocks\.\d+\.\d+|mixed\w+|Mixed_\w+|inception\w+|layer\d\.\d+|features\.\d+|stages\.\d+\.\d+)$/.test(name));
      const shown = blocks.length ? blocks : Object.keys(layers);
      layer.replaceChildren(...shown.map((name) => make("option", { value: name, text: `${name} (${layers[name]})` })));
      layer.value = shown.includes("blocks.4.1") ? "blocks.4.1" : shown[Math.floor(shown.length / 2)];
    };
    layer.addEventListener("change", () => { count = 0; grid.replaceChildren(); askAtlas(); });
    more.addEventListener("click", askAtlas);
    picker.addEventListener("toggle", () => { if (picker.open && !grid.children.length) askAtlas(); });
    document.addEventListener("dv-layers", (event) => {
      if (!state || event.detail.kind !== state.kind || event.detail.stage === "error") return;
      layers = event.detail.layers;
      classes = event.detail.classes || [];
      grid.replaceChildren();
      count = 0;
      showLayers();
      if (picker.open) askAtlas();
    });
    document.addEventListener("dv-atlas", (event) => {
      const { detail } = event;
      if (state && detail.kind === state.kind && detail.stage === "error") Studio.toast(detail.message, "error");
      if (!state || detail.kind !== state.kind || detail.stage !== "part" || detail.layer !== layer.value) return;
      if (grid.querySelector(`[data-channel="${detail.channel}"]`)) return;
      grid.append(make("button", {
        type: "button", class: "dv-channel", "data-channel": detail.channel, title: `${detail.layer}:${detail.channel}`,
        onclick: (click) => {
          const input = field();
          const term = `${detail.layer}:${detail.channel}`;
          put(click.shiftKey || !input.value.trim() ? term : `${input.value.trim()} + ${term}`);
        },
      }, make("img", { src: `/studio/atlas/${path(`${state.atlas}-${detail.layer}`)}/${detail.channel}.jpg`, alt: "" }), make("span", { text: detail.channel })));
    });

    return {
      show(values) {
        state = values;
        attach();
        const input = field();
        if (input && menu.parentElement === root) input.parentElement.append(menu);
      },
    };
  });
})();
