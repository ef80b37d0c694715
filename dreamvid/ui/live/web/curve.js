// Draws frames per second and the delay of the last minute.

const KEPT_MS = 60_000;

export class Curve {
  constructor(canvas) {
    this.canvas = canvas;
    this.points = [];
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  add(fps, delay) {
    const now = performance.now();
    this.points.push({ now, fps, delay });
    while (this.points.length && now - this.points[0].now > KEPT_MS) this.points.shift();
    this.draw();
  }

  draw() {
    const { canvas, points } = this;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    context.strokeStyle = style.getPropertyValue("--line");
    context.beginPath();
    context.moveTo(0, height - 0.5);
    context.lineTo(width, height - 0.5);
    context.stroke();
    this.line(context, width, height, "delay", style.getPropertyValue("--cool"), 100);
    this.line(context, width, height, "fps", style.getPropertyValue("--accent"), 10);
  }

  line(context, width, height, name, color, least) {
    const top = Math.max(least, ...this.points.map((point) => point[name])) * 1.15;
    const now = this.points.at(-1)?.now ?? 0;
    context.beginPath();
    for (const point of this.points) {
      const x = width - ((now - point.now) / KEPT_MS) * width;
      context.lineTo(x, height - 2 - (point[name] / top) * (height - 4));
    }
    context.strokeStyle = color;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.stroke();
  }
}
