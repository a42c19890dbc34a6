// A scatter plot in SVG: characters as points, ellipses, a line with stations. See map.py for what the model holds.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 560, HEIGHT = 520, LEFT = 46, RIGHT = 10, TOP = 10, BOTTOM = 42;
const NEAR = 14; // pixels within which the mouse means a point
const PAUSE = 80; // milliseconds between two messages to the kernel while the mouse moves
const HOW = "Hover or press an arrow key; click or Enter chooses A, Shift-click or Shift-Enter chooses B.";
let maps = 0; // so that clip paths of several maps on a page have different names

const STYLE = `
.workbench-map { color: var(--jp-ui-font-color1, var(--vscode-editor-foreground, #222)); width: ${WIDTH}px;
  max-width: 100%; --paper: var(--jp-layout-color0, var(--vscode-editor-background, #fff)); font: 12px sans-serif }
.workbench-map svg { display: block; width: 100%; height: auto; background: var(--paper); cursor: crosshair;
  user-select: none }
.workbench-map svg:focus-visible { outline: 3px solid #0173b2; outline-offset: -3px }
.workbench-map text { fill: currentColor }
.workbench-map .point { font: bold 12px sans-serif; text-anchor: middle; dominant-baseline: central;
  paint-order: stroke; stroke: currentColor; stroke-width: .4px; stroke-linejoin: round }
.workbench-map .ring { fill: none; stroke: currentColor; stroke-width: 2 }
.workbench-map .hover { fill: none; stroke: currentColor; stroke-width: 1.5; stroke-dasharray: 3 2 }
.workbench-map .name { font: bold 15px sans-serif; paint-order: stroke; stroke: var(--paper); stroke-width: 4px }
.workbench-map .frame { fill: none; stroke: currentColor; opacity: .6 }
.workbench-map .ellipse { fill: none }
.workbench-map .path { fill: none; stroke: currentColor; stroke-width: 1.5 }
.workbench-map .station { fill: var(--paper); stroke: currentColor; stroke-width: 1.2 }
.workbench-map ul { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 14px; margin: 4px 0 0 ${LEFT}px;
  padding: 0 }
.workbench-map li { display: flex; align-items: center; gap: 4px; margin: 0 }
.workbench-map li svg { width: 26px; height: 16px; background: none; cursor: default; flex: none }
.workbench-map .said { margin: 2px 0 0 ${LEFT}px; min-height: 1.3em }
`;

function make(name, attributes = {}, text = null) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  return node;
}

// round numbers between two values, about `count` of them
function ticks(low, high, count = 6) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) found.push(Number((k * step).toPrecision(6)));
  return found;
}

// from the data's units to pixels, equally many for a unit of either axis
function scales([left, right, bottom, top]) {
  const wide = WIDTH - LEFT - RIGHT, high = HEIGHT - TOP - BOTTOM;
  const unit = Math.min(wide / (right - left), high / (top - bottom));
  const x = (value) => LEFT + wide / 2 + unit * (value - (left + right) / 2);
  const y = (value) => TOP + high / 2 - unit * (value - (bottom + top) / 2);
  const spanX = wide / unit / 2, spanY = high / unit / 2;
  const middle = [(left + right) / 2, (bottom + top) / 2];
  return { x, y, unit, xs: [middle[0] - spanX, middle[0] + spanX], ys: [middle[1] - spanY, middle[1] + spanY] };
}

function drawAxes(layer, scale, names) {
  const [low, right] = [HEIGHT - BOTTOM, WIDTH - RIGHT];
  layer.replaceChildren(make("rect", { class: "frame", x: LEFT, y: TOP, width: right - LEFT, height: low - TOP }));
  if (!names[0] && !names[1]) return; // coordinates without a meaning
  const minus = (value) => String(value).replace("-", "\u2212");
  for (const value of ticks(...scale.xs)) {
    const x = scale.x(value);
    layer.append(make("line", { x1: x, x2: x, y1: low, y2: low + 4, class: "frame" }));
    layer.append(make("text", { x, y: low + 15, "text-anchor": "middle", "font-size": 11 }, minus(value)));
  }
  for (const value of ticks(...scale.ys)) {
    const y = scale.y(value);
    layer.append(make("line", { x1: LEFT - 4, x2: LEFT, y1: y, y2: y, class: "frame" }));
    layer.append(make("text", { x: LEFT - 7, y: y + 4, "text-anchor": "end", "font-size": 11 }, minus(value)));
  }
  const across = { x: (LEFT + right) / 2, y: HEIGHT - 8, "text-anchor": "middle" };
  const up = { transform: `translate(13 ${(TOP + low) / 2}) rotate(-90)`, "text-anchor": "middle" };
  layer.append(make("text", across, names[0]), make("text", up, names[1]));
}

function drawEllipses(layer, scale, ellipses) {
  layer.replaceChildren(...ellipses.map((e) => {
    const turn = (-e.angle * 180) / Math.PI; // the page's y points down
    const node = make("ellipse", {
      class: "ellipse", rx: e.a * scale.unit, ry: e.b * scale.unit,
      stroke: e.colour, "stroke-width": e.width, "stroke-dasharray": e.dash,
      transform: `translate(${scale.x(e.x)} ${scale.y(e.y)}) rotate(${turn})`,
    });
    node.append(make("title", {}, e.text));
    return node;
  }));
}

function drawPath(layer, scale, path) {
  const places = path.map(([x, y]) => [scale.x(x), scale.y(y)]);
  layer.replaceChildren(make("polyline", { class: "path", points: places.map((p) => p.join(",")).join(" ") }));
  for (const [cx, cy] of places.slice(1, -1)) layer.append(make("circle", { class: "station", cx, cy, r: 3 }));
}

// a row for every sign of the points, and for every line style of the ellipses
function drawLegend(list, legend, ellipses) {
  const sign = (mark, colour) => make("text", { class: "point", x: 13, y: 8, style: `fill:${colour}` }, mark);
  const rows = legend.map(([mark, colour, text]) => [sign(mark, colour), text]);
  const seen = new Set();
  for (const e of ellipses) {
    if (seen.has(e.text)) continue;
    seen.add(e.text);
    const line = { x1: 1, x2: 25, y1: 8, y2: 8, stroke: e.colour, "stroke-width": e.width, "stroke-dasharray": e.dash };
    rows.push([make("line", line), e.text]);
  }
  list.replaceChildren(...rows.map(([drawn, text]) => {
    const row = document.createElement("li"), picture = make("svg", { viewBox: "0 0 26 16", "aria-hidden": "true" });
    picture.append(drawn);
    row.append(picture, text);
    return row;
  }));
}

// the nearest of some points within a distance of a place
function nearest(places, [x, y], within) {
  let best = -1, least = within ** 2;
  for (const [point, [px, py]] of places) {
    const distance = (px - x) ** 2 + (py - y) ** 2;
    if (distance < least) [best, least] = [point, distance];
  }
  return best;
}

// the next point in a direction: near, and rather straight ahead than aside
function neighbour(places, from, [dx, dy]) {
  let best = from, least = Infinity;
  const [x, y] = places.get(from);
  for (const [point, [px, py]] of places) {
    const ahead = (px - x) * dx + (py - y) * dy, aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
    if (ahead <= 0.5 || aside > 2 * ahead) continue;
    if (ahead + 2 * aside < least) [best, least] = [point, ahead + 2 * aside];
  }
  return best;
}

// sends `hovered` at most once in PAUSE milliseconds, and only when it has changed; the last value always arrives
function throttled(model) {
  let waiting = null, wanted = null, last = 0;
  function send() {
    waiting = null;
    last = performance.now();
    if (wanted === model.get("hovered")) return;
    model.set("hovered", wanted);
    model.save_changes();
  }
  return (point) => {
    wanted = point;
    if (waiting === null) waiting = setTimeout(send, Math.max(0, PAUSE - (performance.now() - last)));
  };
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const introduction = (model) => `${model.get("title")}. ${HOW}`;

function build(model, el) {
  const style = document.createElement("style"), root = document.createElement("div"), clip = `map-clip-${maps++}`;
  style.textContent = STYLE;
  root.className = "workbench-map";
  root.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes arrow keys and B as commands of the notebook
  const svg = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, tabindex: 0, role: "application",
    "aria-roledescription": "map of points", "aria-label": introduction(model) });
  const inside = make("clipPath", { id: clip });
  inside.append(make("rect", { x: LEFT, y: TOP, width: WIDTH - LEFT - RIGHT, height: HEIGHT - TOP - BOTTOM }));
  const layers = { inside };
  for (const name of ["axes", "points", "ellipses", "path", "rings"]) {
    layers[name] = make("g", { "aria-hidden": "true" });
    if (name !== "axes") layers[name].setAttribute("clip-path", `url(#${clip})`);
  }
  svg.append(...Object.values(layers));
  const said = document.createElement("div"), legend = document.createElement("ul");
  said.className = "said";
  said.textContent = HOW;
  said.setAttribute("aria-live", "polite");
  root.append(svg, said, legend);
  el.append(style, root);
  return { svg, layers, said, legend };
}

function render({ model, el }) {
  const { svg, layers, said, legend } = build(model, el);
  const hover = throttled(model);
  let scale, places = new Map(), focused = -1;

  function points() {
    scale = scales(model.get("bounds"));
    drawAxes(layers.axes, scale, model.get("axes"));
    const { x = [], y = [], mark, colour, group } = model.get("points"), shown = new Set(model.get("shown"));
    const chosen = new Set([model.get("a"), model.get("b")]);
    places = new Map();
    const nodes = [];
    for (let i = 0; i < x.length; i++) {
      if (!shown.has(group[i]) && !chosen.has(i)) continue;
      places.set(i, [scale.x(x[i]), scale.y(y[i])]);
      const [px, py] = places.get(i);
      const look = { class: "point", x: px.toFixed(1), y: py.toFixed(1), style: `fill:${colour[i]}` };
      nodes.push(make("text", look, mark[i]));
    }
    layers.points.replaceChildren(...nodes);
    if (!places.has(focused)) focus(-1); // it has gone with another map, or with its group
    overlays();
  }

  function overlays() {
    const ellipses = model.get("ellipses"), path = model.get("path");
    drawEllipses(layers.ellipses, scale, ellipses);
    if (path.length) drawPath(layers.path, scale, path);
    else layers.path.replaceChildren();
    drawLegend(legend, model.get("legend"), ellipses);
    rings();
  }

  function rings() {
    layers.rings.replaceChildren();
    for (const [name, point, side] of [["A", model.get("a"), -1], ["B", model.get("b"), 1]]) {
      if (!places.has(point)) continue;
      const [cx, cy] = places.get(point);
      layers.rings.append(make("circle", { class: "ring", cx, cy, r: 10 }));
      layers.rings.append(make("text", { class: "name", x: cx + side * 17, y: cy + 5, "text-anchor": "middle" }, name));
    }
    if (places.has(focused)) {
      const [cx, cy] = places.get(focused);
      layers.rings.append(make("circle", { class: "hover", cx, cy, r: 13 }));
    }
  }

  function focus(point) {
    if (point === focused) return;
    focused = point;
    const text = point < 0 ? "" : model.get("points").text[point];
    said.textContent = text || HOW;
    svg.setAttribute("aria-label", (text && `${text}. `) + introduction(model));
    rings();
    hover(point);
  }

  function choose(point, name) {
    if (point < 0) return;
    model.set(name, point);
    model.save_changes();
  }

  const under = (event) => {
    const box = svg.getBoundingClientRect(), ratio = WIDTH / box.width;
    return nearest(places, [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio], NEAR);
  };
  svg.addEventListener("mousemove", (event) => focus(under(event)));
  svg.addEventListener("mouseleave", () => focus(-1));
  svg.addEventListener("click", (event) => choose(under(event), event.shiftKey ? "b" : "a"));
  svg.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key, from = [focused, model.get("a"), ...places.keys()].find((point) => places.has(point));
    if (from === undefined) return;
    if (key in ARROWS) focus(neighbour(places, from, ARROWS[key]));
    else if (key === "Enter") choose(from, event.shiftKey ? "b" : "a");
    else if (key.toLowerCase() === "a" || key.toLowerCase() === "b") choose(from, key.toLowerCase());
    else if (key === "Escape") focus(-1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  // one message may change several traits: all of them are drawn once, afterwards
  let due = null;
  function later(draw) {
    if (due === null) queueMicrotask(() => { const drawn = due; due = null; drawn(); });
    due = due === points ? points : draw; // which draws the overlays, too
  }
  const everything = () => later(points), above = () => later(overlays);
  const handlers = [
    ...["points", "shown", "bounds", "axes", "a", "b"].map((name) => [`change:${name}`, everything]),
    ...["ellipses", "path", "legend"].map((name) => [`change:${name}`, above]),
  ];
  for (const [name, handler] of handlers) model.on(name, handler);
  points();
  return () => handlers.forEach(([name, handler]) => model.off(name, handler));
}

export default { render };
