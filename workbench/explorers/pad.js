// A pad to draw on with mouse, finger, pen or keyboard. What is on it goes to `ink`: SIZE x SIZE bytes in base64, 0 is
// empty, 255 is ink.
const SIZE = 56;
const SIDE = 196; // pixels on the page
const PEN = SIDE / 13;
const STEP = SIDE / 28;
const PAUSE = 60; // milliseconds between two messages while a line is drawn

function render({ model, el }) {
  const box = document.createElement("div");
  box.className = "workbench-pad";
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", model.get("label"));
  canvas.style.cssText = "background:#000;border:1px solid #777;touch-action:none;cursor:crosshair;display:block";
  const clear = document.createElement("button");
  clear.textContent = "Clear";
  clear.className = "jupyter-button widget-button";
  const status = document.createElement("span");
  status.setAttribute("role", "status");
  status.style.cssText = "font-size:12px;margin-left:8px";
  const bar = document.createElement("div");
  bar.append(clear, status);
  box.append(canvas, bar);
  el.append(box);

  const pad = canvas.getContext("2d", { willReadFrequently: true });
  Object.assign(pad, { strokeStyle: "#fff", lineWidth: PEN, lineCap: "round", lineJoin: "round" });
  const small = document.createElement("canvas");
  small.width = small.height = SIZE;
  const reader = small.getContext("2d", { willReadFrequently: true });
  let pen = { x: SIDE / 2, y: SIDE / 2 };
  let down = false;
  let waiting = null;

  function send() {
    waiting = null;
    reader.clearRect(0, 0, SIZE, SIZE);
    reader.drawImage(canvas, 0, 0, SIZE, SIZE);
    const { data } = reader.getImageData(0, 0, SIZE, SIZE);
    const ink = new Uint8Array(SIZE * SIZE);
    for (let i = 0; i < ink.length; i++) ink[i] = (data[4 * i] * data[4 * i + 3]) / 255;
    model.set("ink", btoa(String.fromCharCode(...ink)));
    model.save_changes();
  }

  const later = () => { waiting ??= setTimeout(send, PAUSE); };
  const now = () => { clearTimeout(waiting); send(); };

  function lineTo(x, y) {
    pad.beginPath();
    pad.moveTo(pen.x, pen.y);
    pad.lineTo(x, y);
    pad.stroke();
  }

  function moveTo(x, y) {
    if (down) lineTo(x, y);
    pen = { x, y };
    if (down) later();
  }

  const place = (event) => {
    const frame = canvas.getBoundingClientRect();
    return [((event.clientX - frame.left) * SIDE) / frame.width, ((event.clientY - frame.top) * SIDE) / frame.height];
  };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    [pen.x, pen.y] = place(event);
    down = true;
    moveTo(pen.x, pen.y + 0.01);
  });
  canvas.addEventListener("pointermove", (event) => { if (down && event.buttons) moveTo(...place(event)); });
  canvas.addEventListener("pointerup", () => { down = false; now(); });
  canvas.addEventListener("pointercancel", () => { down = false; now(); });

  function wipe() {
    pad.clearRect(0, 0, SIDE, SIDE);
    now();
  }

  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const inside = (v) => Math.min(Math.max(v, 0), SIDE);
    if (event.key in ways) {
      const [dx, dy] = ways[event.key];
      moveTo(inside(pen.x + dx * STEP), inside(pen.y + dy * STEP));
    } else if (event.key === " ") {
      down = !down;
      moveTo(pen.x, pen.y + 0.01);
    } else if (event.key === "c") {
      wipe();
    } else {
      return; // Tab and all other keys are the page's
    }
    const [column, row] = [pen.x, pen.y].map((v) => Math.round(v / STEP));
    status.textContent = `pen ${down ? "down" : "up"}, column ${column}, row ${row}`;
    event.preventDefault();
    event.stopPropagation(); // or the notebook takes the key for one of its commands
  });
  clear.addEventListener("click", wipe);
  return () => clearTimeout(waiting);
}

export default { render };
