// The picture alone. A double click, or F, fills the screen.
import { keepStreaming } from "./stream.js";

keepStreaming(document.getElementById("picture"));

const fill = () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen());
addEventListener("dblclick", fill);
addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "f" && !event.ctrlKey && !event.metaKey && !event.altKey) fill();
});

// A projector's screen stays on.
const stayAwake = () => document.visibilityState === "visible" && navigator.wakeLock?.request("screen").catch(() => {});
addEventListener("visibilitychange", stayAwake);
stayAwake();
