// Code that would run, with a button that copies it.
(() => {
  const { make } = Studio;
  Studio.part("code", (root) => {
    root.classList.add("dv-codes");
    const blocks = ["command", "python"].map((kind) => {
      const text = make("pre", { class: "dv-code", tabindex: "0", "data-kind": kind });
      const copy = make("button", { type: "button", class: "dv-button", text: `Copy as ${kind === "python" ? "Python" : "command"}`, onclick: async () => {
        await navigator.clipboard.writeText(text.textContent).catch(() => {
          const area = make("textarea", {});
          area.value = text.textContent;
          document.body.append(area);
          area.select();
          document.execCommand("copy");
          area.remove();
        });
        copy.textContent = "Copied";
        setTimeout(() => { copy.textContent = `Copy as ${kind === "python" ? "Python" : "command"}`; }, 1500);
      } });
      root.append(make("div", { class: "dv-codeblock" }, copy, text));
      return [kind, text];
    });
    return { show(values) { for (const [kind, text] of blocks) text.textContent = values[kind] || ""; } };
  });
})();
