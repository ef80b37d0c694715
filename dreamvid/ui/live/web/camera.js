// Sends the browser's camera to the session: the newest picture only, the next one when the last has arrived.

const WIDEST = 960;
const QUALITY = 0.85;

export class Camera {
  constructor(changed) {
    this.changed = changed;
    this.stream = null;
  }

  get on() {
    return this.stream !== null;
  }

  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("This browser gives its camera only to pages of this machine, or over https. Open the page at 127.0.0.1.");
    }
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: "user" },
      });
    } catch (error) {
      this.stream = null;
      throw new Error(
        error.name === "NotAllowedError" ? "The camera was not allowed. Allow it in the browser's address bar."
        : error.name === "NotFoundError" ? "This device has no camera."
        : `The camera cannot be used: ${error.message}`,
      );
    }
    const video = document.createElement("video");
    video.muted = true;
    video.playsInline = true;
    video.srcObject = this.stream;
    this.stream.getVideoTracks()[0].addEventListener("ended", () => this.stop());
    await video.play();
    this.changed(true);
    this.send(video, this.stream);
  }

  async send(video, stream) {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("2d", { alpha: false });
    const next = () =>
      new Promise((done) => (video.requestVideoFrameCallback ? video.requestVideoFrameCallback(done) : setTimeout(done, 33)));
    while (this.stream === stream) {
      await next();
      if (this.stream !== stream) break;
      const scale = Math.min(1, WIDEST / video.videoWidth);
      canvas.width = Math.round(video.videoWidth * scale);
      canvas.height = Math.round(video.videoHeight * scale);
      context.drawImage(video, 0, 0, canvas.width, canvas.height);
      const picture = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
      try {
        const response = await fetch("api/camera", {
          method: "POST",
          headers: { "Content-Type": "image/jpeg" },
          body: await picture.arrayBuffer(),
        });
        if (!response.ok && response.status !== 429) {
          const content = await response.json().catch(() => ({}));
          return this.stop(content.error ?? `The session answered ${response.status}.`);
        }
      } catch {
        return this.stop("The session is gone.");
      }
    }
  }

  stop(message = "") {
    if (!this.stream) return;
    for (const track of this.stream.getTracks()) track.stop();
    this.stream = null;
    this.changed(false, message);
  }
}
