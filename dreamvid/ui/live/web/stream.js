// Shows the MJPEG stream in an image, and begins again when it ends.

const RETRY_MS = 1000;

/** Stream into an <img>; `changed(lost)` is called when the stream is lost, and when it is back. */
export function keepStreaming(image, changed = () => {}) {
  let attempt = 0;
  let timer = 0;
  const open = () => {
    attempt += 1;
    image.src = `stream?n=${attempt}`;
  };
  image.addEventListener("load", () => {
    image.classList.remove("lost");
    changed(false);
  });
  image.addEventListener("error", () => {
    image.classList.add("lost");
    changed(true);
    clearTimeout(timer);
    timer = setTimeout(open, RETRY_MS);
  });
  open();
  return open;
}
