/* Variance shift along the depth: choose the noise, its place, the coherence, and how many layers. */
(function () {
  "use strict";

  /* Mean square over variance of the ReLU of a standard normal number. */
  const KAPPA = Math.PI / (Math.PI - 1);

  /** Variance of the factor of inverted dropout, p / (1 - p). */
  function noiseInverted(keep) {
    return (1 - keep) / keep;
  }

  /** Variance of the factor of Uout, which is uniform between 1 - beta and 1 + beta. */
  function noiseUniform(beta) {
    return (beta * beta) / 3;
  }

  /** Test over training variance of a unit with this mean and variance behind inverted dropout. */
  function shiftInverted(keep, mean, variance) {
    return variance / ((mean * mean + variance) / keep - mean * mean);
  }

  /** The same for Uout. */
  function shiftUniform(beta, mean, variance) {
    return variance / ((mean * mean + variance) * (1 + (beta * beta) / 3) - mean * mean);
  }

  /**
   * Test over running variance at each of so many batch norms, the first first.
   * place: "linear" (dropout before each linear layer but the first), "before" (right before each
   * batch norm) or "after" (once, after the last); s2: variance of the factor; coherence: variance
   * of the weighted sum of signals, over what it would be for uncorrelated ones.
   */
  function shiftDepth(place, s2, coherence, layers) {
    const step = place === "after" ? 1 : coherence / (coherence + s2 * KAPPA);
    const own = place === "before" ? 1 / (1 + s2) : 1;
    return Array.from({ length: layers }, (_, l) => own * Math.pow(step, l));
  }

  window.coursePush = window.coursePush || {};
  window.coursePush["variance-shift"] = {
    noiseInverted,
    noiseUniform,
    shiftInverted,
    shiftUniform,
    shiftDepth,
  };

  const root = document.getElementById("push-variance-shift");
  if (!root) return;

  const BAR = "#2f7fd0";
  const WIDTH = 360;
  const HEIGHT = 210;
  const BOX = { left: 38, right: 352, top: 26, bottom: 168 };
  const PLACES = {
    linear: "before each linear layer",
    before: "right before each batch norm",
    after: "once, after the last batch norm",
  };

  const id = (name) => "push-variance-shift-" + name;
  const radio = (group, value, words, checked) =>
    `<label><input type="radio" name="${id(group)}" value="${value}"${checked ? " checked" : ""}> ` +
    `${words}</label>`;
  const slider = (name, words, min, max, step, value) =>
    `<label for="${id(name)}">${words} <span id="${id(name)}-now"></span></label>` +
    `<input type="range" id="${id(name)}" min="${min}" max="${max}" step="${step}" value="${value}">`;
  root.insertAdjacentHTML(
    "beforeend",
    `<fieldset><legend>Noise</legend>${radio("noise", "dropout", "dropout", true)}
${radio("noise", "uout", "Uout", false)}</fieldset>
<fieldset><legend>Place</legend>${Object.entries(PLACES)
      .map(([key, words]) => radio("place", key, words, key === "linear"))
      .join("")}</fieldset>
<div class="push-row">
${slider("keep", "Dropout: keep", 0.3, 0.95, 0.05, 0.5)}
${slider("beta", "Uout: β", 0.05, 1, 0.05, 0.1)}
${slider("a", "Coherence a", 1, 16, 0.5, 3)}
${slider("layers", "Batch norms", 2, 12, 1, 6)}
</div>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" style="max-width: 32rem; margin: 0.75rem auto 0"></svg>
<output aria-live="polite" for="${["keep", "beta", "a", "layers"].map(id).join(" ")}"></output>`,
  );
  const find = (name) => root.querySelector("#" + id(name));
  const chosen = (group) => root.querySelector(`input[name=${id(group)}]:checked`).value;
  const svg = root.querySelector("svg");
  const output = root.querySelector("output");
  const text = (x, y, words, anchor) =>
    `<text x="${x}" y="${y}" text-anchor="${anchor}">${words}</text>`;

  /** A factor in few digits: 0.0033, 1.04, 12.3, 4,600. */
  function short(value, digits = 2) {
    if (value < 0.1) return value.toPrecision(2);
    if (value < 10) return value.toFixed(digits);
    if (value < 100) return value.toFixed(1);
    return value < 1000 ? value.toFixed(0) : Number(value.toPrecision(2)).toLocaleString("en-US");
  }

  function draw() {
    const uout = chosen("noise") === "uout";
    const place = chosen("place");
    const [keep, beta, a, layers] = ["keep", "beta", "a", "layers"].map((n) => Number(find(n).value));
    find("keep").disabled = uout;
    find("beta").disabled = !uout;
    find("keep-now").textContent = keep.toFixed(2);
    find("beta-now").textContent = beta.toFixed(2);
    find("a-now").textContent = a.toFixed(1);
    find("layers-now").textContent = layers;

    const s2 = uout ? noiseUniform(beta) : noiseInverted(keep);
    const factors = shiftDepth(place, s2, a, layers).map((shift) => 1 / shift);
    const largest = Math.max(...factors);
    const decades = Math.max(1, Math.ceil(Math.log10(largest) - 1e-9));
    const up = (value) =>
      BOX.bottom - (Math.log10(value) / decades) * (BOX.bottom - BOX.top);
    const slot = (BOX.right - BOX.left) / layers;

    let parts = text(BOX.left - 30, 13, "running / test variance", "start");
    const ticks = decades === 1 ? [1, 2, 5, 10] : Array.from({ length: decades + 1 }, (_, d) => 10 ** d);
    const every = Math.ceil(decades / 4);
    ticks.forEach((tick, n) => {
      if (decades > 1 && n % every) return;
      parts +=
        `<path d="M${BOX.left} ${up(tick)}H${BOX.right}" stroke="currentColor" ` +
        `opacity="${tick === 1 ? 1 : 0.2}"/>`;
      const words = tick < 1e4 ? tick : `10<tspan dy="-5" font-size="10">${n}</tspan>`;
      parts += text(BOX.left - 5, up(tick) + 4.5, words, "end");
    });
    factors.forEach((factor, l) => {
      const x = BOX.left + slot * l + slot * 0.15;
      const top = Math.min(up(factor), BOX.bottom - 1.5); // a factor of 1 is still a mark
      parts +=
        `<rect x="${x}" y="${top}" width="${slot * 0.7}" height="${BOX.bottom - top}" ` +
        `fill="${BAR}"/>`;
      const middle = BOX.left + slot * (l + 0.5);
      if (layers <= 8 || l === layers - 1) {
        const [at, anchor] = layers <= 8 ? [middle, "middle"] : [BOX.right, "end"];
        parts += text(at, top - 4, short(factor), anchor);
      }
      parts += text(middle, BOX.bottom + 16, l + 1, "middle");
    });
    parts += text((BOX.left + BOX.right) / 2, BOX.bottom + 34, "batch norm", "middle");
    svg.innerHTML = parts;

    const noise = uout ? `Uout with β = ${beta.toFixed(2)}` : `Dropout with keep = ${keep.toFixed(2)}`;
    const step = 1 + (s2 * KAPPA) / a;
    output.textContent =
      `${noise}, ${PLACES[place]}: the factor has variance ${short(s2)}. ` +
      (place === "after"
        ? "No noise below a batch norm, no shift at any of them."
        : `Each layer multiplies by ${short(step, 3)}; the running variance is ` +
          `${short(factors[0], 3)} times the test variance at the first batch norm and ` +
          `${short(largest, 3)} times at the last.`);
    svg.setAttribute(
      "aria-label",
      `Bars on a logarithmic axis: running over test variance at ${layers} batch norms, from ` +
        `${short(factors[0])} to ${short(factors[layers - 1])}.`,
    );
  }

  root.addEventListener("input", draw);
  draw();
  root.hidden = false;
})();
