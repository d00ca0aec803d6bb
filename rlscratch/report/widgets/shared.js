// What all figures share.  A figure is `numbers`, a pure function of its data and the settings of its controls, and
// `show`, which puts these numbers into the picture that is there already.  A test calls `numbers` and Python.
const widgets = {};
const widget = (name, numbers, show, drag) => { widgets[name] = {numbers, show, drag}; };
const shown = (x, digits = 2) => (Math.abs(x) < 0.5 * 10 ** -digits ? 0 : x).toFixed(digits).replace("-", "−");
const signed = (x, digits = 2) => (x >= 0.5 * 10 ** -digits ? "+" : "") + shown(x, digits);

// A control's value: a slider of a logarithm stands for its power of ten.
const value = (control) => {
  if (control.type === "checkbox") return control.checked;
  if (control.tagName === "SELECT" || control.type === "text") return control.value;
  const x = clip(Number(control.value), Number(control.min), Number(control.max));
  return control.dataset.log ? 10 ** x : x;
};

class Figure {
  constructor(root) {
    this.root = root;
    this.data = JSON.parse(root.querySelector("script").textContent);
    this.parts = {};
    for (const node of root.querySelectorAll("[data-k]")) this.parts[node.dataset.k] = node;
    this.controls = [...root.querySelectorAll("input, select")];
    this.kind = widgets[root.dataset.widget];
    root.figure = this;
    root.addEventListener("input", () => this.draw());
    root.addEventListener("click", (event) => this.pressed(event.target.closest("button")));
    if (this.kind.drag) this.follow(root.querySelector("svg"));
    root.querySelector(".w-panel").hidden = false;
    this.draw();
  }

  settings() {
    return Object.fromEntries(this.controls.map((control) => [control.name, value(control)]));
  }

  control(name) {
    return this.controls.find((control) => control.name === name);
  }

  set(wanted) {
    for (const control of this.controls) {
      if (!(control.name in wanted)) continue;
      const x = wanted[control.name];
      if (control.type === "checkbox") control.checked = x;
      else control.value = control.dataset.log ? Math.log10(x) : x;
    }
    this.draw();
  }

  // Attributes of the parts with these keys; `text` is what they say, `off` takes them out of the picture.
  put(key, {text, off, ...attributes}) {
    const part = this.parts[key];
    if (text !== undefined && part.textContent !== text) part.textContent = text;
    if (off !== undefined) off ? part.setAttribute("display", "none") : part.removeAttribute("display");
    for (const [name, x] of Object.entries(attributes))
      part.setAttribute(name, typeof x === "number" ? Number(x.toFixed(1)) : x);
  }

  draw() {
    const settings = this.settings();
    for (const control of this.controls) {
      const output = control.parentElement.querySelector("output");
      if (!output) continue;
      output.textContent = shown(settings[control.name], control.dataset.digits);
      control.setAttribute("aria-valuetext", output.textContent);
    }
    this.kind.show(this, this.kind.numbers(this.data, settings), settings);
  }

  pressed(button) {
    if (!button) return;
    if (button.dataset.set) this.set(JSON.parse(button.dataset.set));
    if (button.dataset.by) this.move(button);
    if (button.dataset.every) this.playing ? this.stop() : this.play(button);
  }

  // A button's steps along a slider: one, or one after the other until the end.
  move(button) {
    const {along, by} = button.dataset, slider = this.control(along);
    this.set({[along]: Number(slider.value) + Number(by)});
    return Number(slider.value) < Number(slider.max);
  }

  play(button) {
    const {along} = button.dataset, {min, max} = this.control(along);
    if (this.control(along).value === max) this.set({[along]: min});
    this.playing = setInterval(() => { if (!button.isConnected || !this.move(button)) this.stop(); }, button.dataset.every);
    this.player = button;
    button.setAttribute("aria-pressed", "true");
    this.parts.said.setAttribute("aria-live", "off"); // not read aloud at every step
  }

  stop() {
    clearInterval(this.playing);
    this.playing = 0;
    this.player.setAttribute("aria-pressed", "false");
    this.parts.said.setAttribute("aria-live", "polite");
  }

  // The pointer in the picture's own units, while it is pressed: mouse, pen or finger.
  follow(svg) {
    const tell = (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      this.set(this.kind.drag(at.x, at.y, this.settings(), this.data));
    };
    svg.classList.add("w-drag");
    svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); tell(event); });
    svg.addEventListener("pointermove", (event) => { if (svg.hasPointerCapture(event.pointerId)) tell(event); });
  }
}
