// Paint a mask over the picture: white dreams, black does not. It is uploaded as an image and becomes the setting `mask`.
(() => {
  const { make } = Studio;

  Studio.painter = (box, picture, onPainted, onClosed) => {
    const canvas = make("canvas", { class: "dv-paint", "aria-label": "Mask" });
    const size = make("input", { type: "range", min: "4", max: "160", value: "48", "aria-label": "Brush size", title: "Brush size" });
    const erase = make("input", { type: "checkbox", id: `dv-erase-${Math.random()}` });
    const invert = make("button", { type: "button", class: "dv-button", text: "Invert", title: "Dream where it was not to be dreamed" });
    const input = make("input", { type: "file", hidden: true, accept: "image/*,video/*" });
    const upload = make("button", { type: "button", class: "dv-button", text: "Upload …", title: "Use an image or a video as the mask" });
    const none = make("button", { type: "button", class: "dv-button", text: "No mask", title: "Dream everywhere" });
    const done = make("button", { type: "button", class: "dv-button primary", text: "Use mask" });
    const cancel = make("button", { type: "button", class: "dv-button", text: "Close" });
    const bar = make("div", { class: "dv-paintbar" },
      size,
      make("label", {}, erase, document.createTextNode(" erase")), make("div", { class: "dv-group" }, invert, upload, none), done, cancel, input);
    const layer = make("div", { class: "dv-paintlayer", hidden: true }, canvas, bar);
    box.append(layer);
    const pen = canvas.getContext("2d");
    let last = null;

    const point = (event) => {
      const area = canvas.getBoundingClientRect();
      const scale = canvas.width / area.width;
      return [(event.clientX - area.left) * scale, (event.clientY - area.top) * scale, Number(size.value) * scale];
    };
    const draw = (event) => {
      const [x, y, width] = point(event);
      pen.globalCompositeOperation = erase.checked ? "destination-out" : "source-over";
      pen.strokeStyle = "rgba(255,255,255,1)";
      pen.lineCap = pen.lineJoin = "round";
      pen.lineWidth = width;
      pen.beginPath();
      pen.moveTo(...(last || [x, y]));
      pen.lineTo(x, y);
      pen.stroke();
      last = [x, y];
    };
    canvas.addEventListener("pointerdown", (event) => {
      event.stopPropagation();
      canvas.setPointerCapture(event.pointerId);
      last = null;
      draw(event);
    });
    canvas.addEventListener("pointermove", (event) => { if (canvas.hasPointerCapture(event.pointerId)) draw(event); });
    bar.addEventListener("pointerdown", (event) => event.stopPropagation());
    invert.addEventListener("click", () => {
      pen.globalCompositeOperation = "xor";
      pen.fillStyle = "white";
      pen.fillRect(0, 0, canvas.width, canvas.height);
    });
    const close = () => { layer.hidden = true; onClosed(); };
    cancel.addEventListener("click", close);
    const use = async (blob, name) => {
      try {
        onPainted(await Studio.upload(blob, name, "source"));
        close();
      } catch (error) {
        Studio.toast(error.message, "error");
      }
    };
    upload.addEventListener("click", () => input.click());
    input.addEventListener("change", async () => {
      const [file] = input.files;
      if (file) await use(file, file.name);
      input.value = "";
    });
    none.addEventListener("click", () => {
      pen.clearRect(0, 0, canvas.width, canvas.height);
      onPainted("");
      close();
    });
    done.addEventListener("click", () => {
      const flat = make("canvas", { width: canvas.width, height: canvas.height });
      const ink = flat.getContext("2d");
      ink.fillStyle = "black";
      ink.fillRect(0, 0, flat.width, flat.height);
      ink.drawImage(canvas, 0, 0);
      flat.toBlob((blob) => use(blob, "mask.png"), "image/png");
    });
    return {
      open() {
        const image = picture();
        if (canvas.width !== image.naturalWidth || canvas.height !== image.naturalHeight) {
          canvas.width = image.naturalWidth;
          canvas.height = image.naturalHeight;
        }
        if (layer.hidden) layer.hidden = false;
        else close();
      },
    };
  };
})();
