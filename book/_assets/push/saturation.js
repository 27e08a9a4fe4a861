/* Saturation: push the inputs of sigmoid, tanh or ReLU about, with and without standardizing. */
(function () {
  "use strict";

  // each activation: the value, the slope written in terms of z and y, and the range drawn
  const UNITS = {
    sigmoid: { f: (z) => 1 / (1 + Math.exp(-z)), d: (z, y) => y * (1 - y), lo: 0, hi: 1 },
    tanh: { f: Math.tanh, d: (z, y) => 1 - y * y, lo: -1, hi: 1 },
    ReLU: { f: (z) => Math.max(z, 0), d: (z) => (z > 0 ? 1 : 0), lo: 0, hi: 8 },
  };
  const BINS = 25;

  // a normal distribution as 5000 values between -5 and 5 deviations, and their shares
  const grid = [];
  let total = 0;
  for (let k = -2500; k < 2500; k++) {
    const z = (k + 0.5) / 500;
    const weight = Math.exp((-z * z) / 2);
    grid.push([z, weight]);
    total += weight;
  }

  /** Mean size of the slope of an activation on inputs shift + scale * z, with z normal. */
  function meanSlope(name, shift, scale) {
    const unit = UNITS[name];
    return grid.reduce((sum, [z, weight]) => {
      const a = shift + scale * z;
      return sum + (Math.abs(unit.d(a, unit.f(a))) * weight) / total;
    }, 0);
  }

  /** Share of the outputs in each of 25 equal bins over the range drawn; beyond it, in the last. */
  function histogram(name, shift, scale) {
    const unit = UNITS[name];
    const bars = new Array(BINS).fill(0);
    for (const [z, weight] of grid) {
      const share = (unit.f(shift + scale * z) - unit.lo) / (unit.hi - unit.lo);
      bars[Math.min(BINS - 1, Math.max(0, Math.floor(share * BINS)))] += weight / total;
    }
    return bars;
  }

  window.coursePush = window.coursePush || {};
  window.coursePush.saturation = { meanSlope, histogram };

  const root = document.getElementById("push-saturation");
  if (!root) return;

  const radios = Object.keys(UNITS)
    .map(
      (name, k) =>
        `<label><input type="radio" name="push-saturation-f" value="${name}"` +
        `${k === 0 ? " checked" : ""}> ${name}</label>`,
    )
    .join("");
  const slider = (id, words, min, max, step, value) =>
    `<label for="push-saturation-${id}">${words} <span id="push-saturation-${id}-now"></span></label>` +
    `<input type="range" id="push-saturation-${id}" min="${min}" max="${max}" step="${step}" value="${value}">`;
  root.insertAdjacentHTML(
    "beforeend",
    `<fieldset><legend>Activation</legend>${radios}</fieldset>
<div class="push-row">
${slider("shift", "Shift", -6, 6, 0.5, 4)}
${slider("scale", "Scale", 0.25, 8, 0.25, 1)}
</div>
<div class="push-panels">
<div><p>As it comes</p><svg viewBox="0 0 300 150" aria-hidden="true"></svg></div>
<div><p>Standardized first</p><svg viewBox="0 0 300 150" aria-hidden="true"></svg></div>
</div>
<output aria-live="polite" for="push-saturation-shift push-saturation-scale"></output>`,
  );
  const find = (id) => root.querySelector("#push-saturation-" + id);
  const panels = root.querySelectorAll("svg");
  const output = root.querySelector("output");

  function drawBars(svg, name, bars, color) {
    const unit = UNITS[name];
    const width = 280 / BINS;
    const top = Math.max(...bars);
    const parts = bars.map((share, i) => {
      const height = (share / top) * 105;
      return (
        `<rect x="${10 + i * width}" y="${125 - height}" width="${width - 1.5}" ` +
        `height="${height}" fill="${color}"/>`
      );
    });
    const over = unit.hi > 1 ? " or more" : "";
    svg.innerHTML =
      parts.join("") +
      '<path d="M10 125.5H290" stroke="currentColor"/>' +
      `<text x="10" y="143">${unit.lo}</text>` +
      '<text x="150" y="143" text-anchor="middle">output</text>' +
      `<text x="290" y="143" text-anchor="end">${unit.hi}${over}</text>` +
      `<text x="10" y="13">tallest bar: ${(100 * top).toFixed(0)} %</text>`;
  }

  function draw() {
    const name = root.querySelector("input[name=push-saturation-f]:checked").value;
    const shift = Number(find("shift").value);
    const scale = Number(find("scale").value);
    find("shift-now").textContent = shift.toFixed(1);
    find("scale-now").textContent = scale.toFixed(2);
    drawBars(panels[0], name, histogram(name, shift, scale), "#d26a00");
    drawBars(panels[1], name, histogram(name, 0, 1), "#1f9460");
    output.textContent =
      `Mean |slope| of the ${name}: ${meanSlope(name, shift, scale).toPrecision(2)} as it comes, ` +
      `${meanSlope(name, 0, 1).toPrecision(2)} standardized first.`;
  }

  root.addEventListener("input", draw);
  draw();
  root.hidden = false;
})();
