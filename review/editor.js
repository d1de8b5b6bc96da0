// The box editor: a picture with boxes that are drawn, moved, resized, relabelled and deleted, by mouse, touch or keys.
// Knows nothing of samples, decisions or servers (desk.js). Coordinates are pixels of the picture; what is not touched
// stays exactly as it came.
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const MIN_PX = 4, MOST_BOXES = 32, MOST_ZOOM = 16;
  const LEAST_PX = MIN_PX + 0.1; // what a box can be pushed together to: 5.1 - 1.1 is under 4
  const HANDLES = { nw: [0, 0], n: [0.5, 0], ne: [1, 0], e: [1, 0.5], se: [1, 1], s: [0.5, 1], sw: [0, 1], w: [0, 0.5] };
  const round = (v) => Math.round(v * 10) / 10;
  const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
  const copy = (boxes) => boxes.map((b) => ({ bbox: [...b.bbox], label: b.label }));
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

  function element(name, attributes = {}, parent = null) {
    const node = name === "svg" || parent instanceof SVGElement ? document.createElementNS(NS, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (parent) parent.append(node);
    return node;
  }

  class BoxEditor {
    // `say(text)` tells what happened; `changed()` is called after every edit.
    constructor(stage, loupes, { say, changed }) {
      Object.assign(this, { stage, loupes, say, changed, boxes: [], selected: -1, drawing: false, drag: null });
      this.svg = element("svg", { class: "rv-svg", role: "group", "aria-label": "Boxes on the picture" }, stage);
      this.image = element("image", { x: 0, y: 0 }, this.svg);
      this.ghosts = element("g", { class: "rv-ghosts" }, this.svg);
      this.layer = element("g", {}, this.svg);
      this.image.addEventListener("error", () => {
        stage.classList.add("rv-broken");
        this.say("The picture cannot be shown: it is missing, or was changed on disk. Skip the sample, or reject it.");
      });
      this.svg.addEventListener("pointerdown", (e) => this.down(e));
      this.svg.addEventListener("pointermove", (e) => this.move(e));
      for (const end of ["pointerup", "pointercancel"]) this.svg.addEventListener(end, (e) => this.up(e));
      this.svg.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
      this.pointers = new Map();
      new ResizeObserver(() => this.draw()).observe(stage);
    }

    load({ image, width, height, regions, proposed = [], readonly = false, crops }) {
      Object.assign(this, { width, height, proposed, readonly, crops, selected: -1, drawing: false, drag: null });
      this.boxes = copy(regions);
      this.undone = [];
      this.done = [];
      this.stage.classList.remove("rv-broken");
      this.stage.style.aspectRatio = `${width} / ${height}`;
      this.stage.style.setProperty("--ratio", width / height);
      for (const [key, value] of Object.entries({ href: image, width, height })) this.image.setAttribute(key, value);
      this.url = image;
      this.fit();
    }

    regions() { return copy(this.boxes); }
    dirty(since) { return !same(this.boxes, since); }

    // -- edits: every one is kept, and can be taken back
    edit(boxes, text, selected = this.selected) {
      if (this.readonly || same(boxes, this.boxes)) return this.draw();
      this.done.push({ boxes: this.boxes, selected: this.selected });
      this.undone = [];
      this.put(boxes, selected);
      this.say(text);
    }
    put(boxes, selected) {
      this.boxes = boxes;
      this.selected = clamp(selected, -1, boxes.length - 1);
      this.draw();
      this.changed();
    }
    undo() { this.travel(this.done, this.undone, "Undone."); }
    redo() { this.travel(this.undone, this.done, "Done again."); }
    travel(from, to, text) {
      const there = from.pop();
      if (!there) return this.say("There is nothing more.");
      to.push({ boxes: this.boxes, selected: this.selected });
      this.put(there.boxes, there.selected);
      this.say(text);
    }
    changedBox(index, bbox) {
      return this.boxes.map((b, i) => (i === index ? { bbox, label: b.label } : b));
    }
    nudge(dx, dy, resize) {
      if (this.selected < 0) return;
      const [x1, y1, x2, y2] = this.boxes[this.selected].bbox;
      const box = resize
        ? this.resized({ kind: `${dx ? "e" : ""}${dy ? "s" : ""}`, from: [x1, y1, x2, y2] }, x2 + dx, y2 + dy)
        : this.moved([x1, y1, x2, y2], dx, dy);
      this.edit(this.changedBox(this.selected, box), `Box ${this.selected + 1}: ${this.place(box)}`);
    }
    moved([x1, y1, x2, y2], dx, dy) {
      const mx = clamp(dx, -x1, this.width - x2), my = clamp(dy, -y1, this.height - y2);
      return [x1 + mx, y1 + my, x2 + mx, y2 + my].map(round);
    }
    relabel(index, label) {
      const text = label.replace(/\s+/g, " ").trim();
      if (!text) { this.say("A box needs a label."); return this.draw(); }
      this.edit(this.boxes.map((b, i) => (i === index ? { bbox: b.bbox, label: text } : b)), `Box ${index + 1} is now ${text}.`);
    }
    remove() {
      if (this.selected < 0) return;
      const gone = this.selected;
      this.edit(this.boxes.filter((_, i) => i !== gone), `Box ${gone + 1} is deleted. Ctrl+Z brings it back.`, -1);
    }
    select(index) {
      if (index === this.selected || index >= this.boxes.length) return;
      this.selected = index;
      this.draw();
      if (index >= 0) this.say(this.describe(index));
    }
    describe(index) {
      const { bbox, label } = this.boxes[index];
      return `Box ${index + 1}, ${label}, ${this.place(bbox)}`;
    }
    place([x1, y1, x2, y2]) {
      return `${Math.round(x2 - x1)} by ${Math.round(y2 - y1)} pixels at ${Math.round(x1)}, ${Math.round(y1)}`;
    }
    arm(on = !this.drawing) {
      if (this.readonly) return;
      this.drawing = on;
      this.stage.classList.toggle("rv-drawing", on);
      this.say(on ? "Drag over the picture to draw a box, or press Enter to get one. Escape stops." : "");
    }

    // -- pointer
    at(e) {
      const point = new DOMPoint(e.clientX, e.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
      return [clamp(point.x, 0, this.width), clamp(point.y, 0, this.height)];
    }
    down(e) {
      this.pointers.set(e.pointerId, [e.clientX, e.clientY]);
      this.svg.setPointerCapture(e.pointerId); // a finger that is let go outside is seen, too
      if (this.pointers.size === 2) return this.pinch();
      if (e.button > 1 || this.pointers.size > 2) return;
      const handle = e.target.dataset?.handle, owner = e.target.closest?.("[data-box]");
      const [x, y] = this.at(e);
      if (e.button === 1 || this.panning) this.drag = { kind: "pan", x: e.clientX, y: e.clientY, view: [...this.view] };
      else if (this.readonly) return;
      else if (this.drawing) this.drag = { kind: "draw", x, y };
      else if (owner) {
        const index = Number(owner.dataset.box);
        this.select(index);
        this.drag = { kind: handle ?? "move", x, y, index, from: [...this.boxes[index].bbox] };
      } else {
        this.select(-1);
        this.drag = { kind: "pan", x: e.clientX, y: e.clientY, view: [...this.view] };
      }
      e.preventDefault();
    }
    move(e) {
      if (this.pointers.has(e.pointerId)) this.pointers.set(e.pointerId, [e.clientX, e.clientY]);
      if (this.pinching) return this.pinched();
      const drag = this.drag;
      if (!drag) return;
      const [x, y] = this.at(e);
      if (drag.kind === "pan") {
        const scale = this.scale();
        this.look(drag.view[0] - (e.clientX - drag.x) * scale, drag.view[1] - (e.clientY - drag.y) * scale, drag.view[2]);
        return;
      }
      if (drag.kind === "draw") drag.box = [Math.min(drag.x, x), Math.min(drag.y, y), Math.max(drag.x, x), Math.max(drag.y, y)].map(round);
      else if (drag.kind === "move") drag.box = this.moved(drag.from, x - drag.x, y - drag.y);
      else drag.box = this.resized(drag, x, y);
      this.draw();
    }
    // Only the sides that are pulled change: the others stay as they came.
    resized({ kind, from }, x, y) {
      let [x1, y1, x2, y2] = from;
      if (kind.includes("w")) x1 = clamp(round(x), 0, x2 - LEAST_PX);
      if (kind.includes("e")) x2 = clamp(round(x), x1 + LEAST_PX, this.width);
      if (kind.includes("n")) y1 = clamp(round(y), 0, y2 - LEAST_PX);
      if (kind.includes("s")) y2 = clamp(round(y), y1 + LEAST_PX, this.height);
      return [x1, y1, x2, y2];
    }
    up(e) {
      this.pointers.delete(e.pointerId);
      if (this.pinching) { this.pinching = this.pointers.size === 2 ? this.pinching : null; return; }
      const drag = this.drag;
      this.drag = null;
      if (!drag?.box || e.type === "pointercancel") return this.draw();
      const [x1, y1, x2, y2] = drag.box;
      if (drag.kind !== "draw") {
        return this.edit(this.changedBox(drag.index, drag.box), `Box ${drag.index + 1}: ${this.place(drag.box)}`);
      }
      if (x2 - x1 < MIN_PX || y2 - y1 < MIN_PX) this.say(`That box is under ${MIN_PX} pixels wide or high. Draw it larger.`);
      else this.add(drag.box);
      this.draw();
    }
    add(bbox) {
      if (this.boxes.length >= MOST_BOXES) return this.say(`There are ${MOST_BOXES} boxes already, the most that are kept.`);
      const index = this.boxes.length;
      this.arm(false);
      this.edit([...this.boxes, { bbox, label: "area" }], `Box ${index + 1} is drawn. Say what it shows.`, index);
      this.editLabel(index);
    }
    // Without a pointer: a box in the middle of what is seen, for the arrow keys to place.
    addInTheMiddle() {
      const [x, y, w] = this.view, h = (w * this.height) / this.width;
      this.add([x + 0.375 * w, y + 0.375 * h, x + 0.625 * w, y + 0.625 * h].map(round));
    }
    cancel() {
      this.drag = null;
      this.arm(false);
      this.select(-1);
      this.draw();
    }

    // -- view: the part of the picture that fills the stage
    fit() { this.view = [0, 0, this.width]; this.draw(); }
    scale() { return this.view[2] / Math.max(1, this.svg.clientWidth); }
    look(x, y, width) {
      const w = clamp(width, this.width / MOST_ZOOM, this.width), h = (w * this.height) / this.width;
      this.view = [clamp(x, 0, this.width - w), clamp(y, 0, this.height - h), w];
      this.draw();
    }
    zoom(factor, at = null) {
      const [x, y, w] = this.view, h = (w * this.height) / this.width;
      const [cx, cy] = at ?? [x + w / 2, y + h / 2];
      const next = clamp(w / factor, this.width / MOST_ZOOM, this.width);
      this.look(cx - ((cx - x) * next) / w, cy - ((cy - y) * next) / w, next);
    }
    wheel(e) {
      e.preventDefault();
      this.zoom(e.deltaY < 0 ? 1.25 : 0.8, this.at(e));
    }
    spread() {
      const [[ax, ay], [bx, by]] = [...this.pointers.values()];
      return { size: Math.hypot(ax - bx, ay - by), x: (ax + bx) / 2, y: (ay + by) / 2 };
    }
    pinch() {
      this.drag = null;
      this.pinching = { ...this.spread(), view: [...this.view] };
    }
    pinched() {
      const from = this.pinching, now = this.spread(), [x, y, w] = from.view;
      const next = (w * from.size) / Math.max(1, now.size), scale = w / Math.max(1, this.svg.clientWidth);
      const rect = this.svg.getBoundingClientRect();
      const px = x + (from.x - rect.left) * scale, py = y + (from.y - rect.top) * scale;
      this.look(px - ((now.x - rect.left) * next) / rect.width, py - ((now.y - rect.top) * next) / rect.width, next);
    }

    // -- drawing
    draw() {
      if (!this.width) return;
      const [x, y, w] = this.view, scale = this.scale();
      this.svg.setAttribute("viewBox", `${x} ${y} ${w} ${(w * this.height) / this.width}`);
      this.stage.classList.toggle("rv-zoomed", w < this.width);
      const focused = document.activeElement?.closest?.("[data-box]")?.dataset.box;
      this.ghosts.replaceChildren(...this.proposed.filter((p) => !this.boxes.some((b) => same(b.bbox, p.bbox))).map((p) => this.rect("rect", p.bbox, "rv-ghost")));
      this.layer.replaceChildren(...this.boxes.map((box, i) => this.drawBox(box, i, scale)));
      if (this.drag?.kind === "draw" && this.drag.box) this.layer.append(this.rect("rect", this.drag.box, "rv-line on"));
      if (focused !== undefined) this.refocus(focused);
      this.drawLoupes();
    }
    // The boxes are drawn anew, and the focus goes where the choice is; it must not choose in its turn.
    refocus(focused) {
      this.refocusing = true;
      this.layer.querySelector(`[data-box="${this.selected < 0 ? focused : this.selected}"]`)?.focus();
      this.refocusing = false;
    }
    shown(index) { return this.drag?.index === index && this.drag.box ? this.drag.box : this.boxes[index].bbox; }
    rect(name, [x1, y1, x2, y2], css) {
      const node = document.createElementNS(NS, name);
      for (const [k, v] of Object.entries({ x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1), class: css })) node.setAttribute(k, v);
      return node;
    }
    drawBox(box, index, scale) {
      const bbox = this.shown(index), on = index === this.selected, [x1, y1, x2, y2] = bbox;
      const group = document.createElementNS(NS, "g");
      for (const [k, v] of Object.entries({ "data-box": index, tabindex: 0, role: "button", class: on ? "rv-box on" : "rv-box", "aria-label": this.describe(index) })) group.setAttribute(k, v);
      group.addEventListener("focus", () => this.refocusing || this.select(index));
      group.append(this.rect("rect", bbox, "rv-edge"), this.rect("rect", bbox, on ? "rv-line on" : "rv-line"));
      const tag = document.createElementNS(NS, "g"), size = 13 * scale, top = y1 > 24 * scale ? y1 - 6 * scale : y1 + 17 * scale;
      const text = document.createElementNS(NS, "text");
      text.textContent = on || this.svg.clientWidth > 480 ? `${index + 1} ${box.label}` : `${index + 1}`;
      for (const [k, v] of Object.entries({ x: x1 + 5 * scale, y: top, "font-size": size, class: "rv-tag" })) text.setAttribute(k, v);
      text.style.strokeWidth = 5 * scale;
      tag.append(text);
      group.append(tag);
      if (on && !this.readonly) {
        // What is seen of a handle is small; what a finger hits is not. On a small box they may not cover its middle.
        const room = Math.min(x2 - x1, y2 - y1) / 3, seen = Math.min(6 * scale, room), hit = Math.max(seen, Math.min(16 * scale, room));
        for (const [name, [fx, fy]] of Object.entries(HANDLES)) {
          for (const [css, r] of [["rv-handle", seen], [`rv-grip rv-${name}`, hit]]) {
            const dot = document.createElementNS(NS, "circle");
            for (const [k, v] of Object.entries({ cx: x1 + fx * (x2 - x1), cy: y1 + fy * (y2 - y1), r, class: css, "data-handle": name })) dot.setAttribute(k, v);
            group.append(dot);
          }
        }
      }
      return group;
    }

    // -- loupes: each crop as the model will see it, by the rule of lte_core/inference/examine.py
    crop([x1, y1, x2, y2]) {
      const dx = (x2 - x1) * this.crops.pad, dy = (y2 - y1) * this.crops.pad;
      const [a, c] = this.span(x1 - dx, x2 + dx, this.width), [b, d] = this.span(y1 - dy, y2 + dy, this.height);
      return [a, b, c - a, d - b];
    }
    span(low, high, limit) {
      const first = Math.max(0, Math.floor(low)), last = Math.min(limit, Math.ceil(high));
      const least = Math.min(this.crops.min_side, limit), missing = least - (last - first);
      if (missing <= 0) return [first, last];
      const start = Math.max(0, Math.min(first - Math.floor(missing / 2), limit - least));
      return [start, start + least];
    }
    drawLoupes() {
      while (this.loupes.children.length > this.boxes.length) this.loupes.lastChild.remove();
      while (this.loupes.children.length < this.boxes.length) this.loupes.append(this.loupe(this.loupes.children.length));
      this.boxes.forEach((box, index) => {
        const figure = this.loupes.children[index], svg = figure.querySelector("svg"), input = figure.querySelector("input");
        figure.classList.toggle("on", index === this.selected);
        const image = svg.firstChild;
        for (const [k, v] of Object.entries({ href: this.url, width: this.width, height: this.height })) if (image.getAttribute(k) !== String(v)) image.setAttribute(k, v);
        svg.setAttribute("viewBox", this.crop(this.shown(index)).join(" "));
        input.disabled = this.readonly;
        if (document.activeElement !== input) input.value = box.label;
      });
    }
    loupe(index) {
      const figure = document.createElement("figure");
      const svg = element("svg", { class: "rv-lens", "aria-hidden": "true" }, figure);
      element("image", { x: 0, y: 0 }, svg);
      const caption = element("figcaption", {}, figure);
      element("span", { class: "rv-n" }, caption).textContent = index + 1;
      const input = element("input", { type: "text", maxlength: 80, "aria-label": `Label of box ${index + 1}`, list: "rv-labels", spellcheck: "false" }, caption);
      input.addEventListener("change", () => this.relabel(index, input.value));
      input.addEventListener("keydown", (e) => {
        if (e.key === "Escape") input.value = this.boxes[index].label;
        if (e.key === "Enter" || e.key === "Escape") { input.blur(); this.layer.querySelector(`[data-box="${index}"]`)?.focus(); e.preventDefault(); }
        if (!e.ctrlKey && !e.metaKey) e.stopPropagation(); // Ctrl+Enter saves from here, too
      });
      input.addEventListener("focus", () => this.select(index));
      figure.addEventListener("click", () => this.select(index));
      return figure;
    }
    editLabel(index = this.selected) {
      const input = this.loupes.children[index]?.querySelector("input");
      if (!input) return this.say("Choose a box first: 1 to 9, or a click.");
      input.focus();
      input.select();
    }

    // -- keys; true when the key was for the editor
    key(e) {
      const step = e.shiftKey ? 10 : 1, resize = e.ctrlKey || e.altKey || e.metaKey;
      const arrows = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "z") { e.shiftKey ? this.redo() : this.undo(); return true; }
      if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "y") { this.redo(); return true; }
      if (arrows[e.key] && this.selected >= 0) { this.nudge(...arrows[e.key], resize); return true; }
      if (e.ctrlKey || e.metaKey || e.altKey) return false;
      const plain = {
        Delete: () => this.remove(), Backspace: () => this.remove(), Escape: () => this.cancel(),
        d: () => this.arm(), l: () => this.editLabel(), Enter: () => (this.drawing ? this.addInTheMiddle() : this.editLabel()), b: () => this.stage.classList.toggle("rv-no-ghosts"),
        "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.fit(),
      }[e.key.length === 1 ? e.key.toLowerCase() : e.key];
      if (plain) { plain(); return true; }
      if (/^[1-9]$/.test(e.key)) { this.select(Number(e.key) - 1); return true; }
      return false;
    }
  }

  window.LteBoxEditor = BoxEditor;
})();
