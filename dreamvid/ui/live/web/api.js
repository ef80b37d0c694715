// Talks to the session. All addresses are relative: the page may be mounted below another one.

async function answer(response) {
  const content = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(content.error ?? `The session answered ${response.status}.`);
  return content;
}

export const ask = async (path) => answer(await fetch(`api/${path}`, { cache: "no-store" }));

export const tell = async (path, fields = {}) =>
  answer(
    await fetch(`api/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(fields),
    }),
  );

/** Send the newest value only: while one is on its way, later ones replace each other. */
export function newest(send) {
  let busy = false;
  let waiting;
  return async function push(...values) {
    waiting = values;
    if (busy) return;
    busy = true;
    try {
      while (waiting) {
        const next = waiting;
        waiting = undefined;
        await send(...next);
      }
    } finally {
      busy = false;
    }
  };
}

/** Make an element: its attributes, then its children. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}
