/* Dropout: choose p, toss the coins, and watch the mask, the scale and the next unit's input. */
(function () {
  "use strict";

  /** Exact mean, standard deviation and histogram (60 bins from -5 to 25) over all 2^D masks. */
  function distribution(terms, p, scale) {
    const bins = new Array(BINS).fill(0);
    let mean = 0;
    let square = 0;
    for (let bits = 0; bits < 1 << terms.length; bits++) {
      let z = 0;
      let chance = 1;
      terms.forEach((term, j) => {
        const kept = (bits >> j) & 1;
        chance *= kept ? 1 - p : p;
        z += kept * term * scale;
      });
      const bin = Math.floor(((z - LOW) / (HIGH - LOW)) * BINS + 1e-9);
      bins[Math.min(BINS - 1, Math.max(0, bin))] += chance;
      mean += chance * z;
      square += chance * z * z;
    }
    return { bins, mean, deviation: Math.sqrt(Math.max(0, square - mean * mean)) };
  }

  /** A mask of zeros and ones: a coin an entry, or the first row's coins for a whole column. */
  function mask(seed, p, perColumn, rows, columns) {
    const random = mulberry32(seed);
    const coins = Array.from({ length: rows }, () => Array.from({ length: columns }, random));
    return coins.map((row) => row.map((u, j) => ((perColumn ? coins[0][j] : u) >= p ? 1 : 0)));
  }

  /** What the next unit receives in each row of a mask. */
  function received(terms, zeros, scale) {
    return zeros.map((row) => row.reduce((z, m, j) => z + m * terms[j] * scale, 0));
  }

  /** A small seeded generator: the same coins on every machine. */
  function mulberry32(state) {
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  const LOW = -5;
  const HIGH = 25;
  const BINS = 60;
  window.coursePush = window.coursePush || {};
  window.coursePush["dropout-mask"] = { distribution, mask, received };

  const root = document.getElementById("push-dropout-mask");
  const source = document.getElementById("push-dropout-mask-data");
  if (!root || !source) return;
  const terms = JSON.parse(source.textContent);
  const ROWS = 8;
  const COUNT = ROWS * terms.length;
  const full = terms.reduce((z, term) => z + term, 0);
  let seed = 1;

  root.insertAdjacentHTML(
    "beforeend",
    `<div class="push-row">
<label for="push-dropout-mask-p">Drop probability p</label>
<input id="push-dropout-mask-p" type="range" min="0" max="0.8" step="0.05" value="0.5">
</div>
<fieldset><legend>One coin</legend>
<label><input type="radio" name="push-dropout-mask-per" value="entry" checked> an entry</label>
<label><input type="radio" name="push-dropout-mask-per" value="column"> a column</label>
</fieldset>
<div class="push-controls">
<label><input type="checkbox" id="push-dropout-mask-scale" checked> Scale survivors by 1/(1 − p)</label>
<button type="button">Toss the coins again</button>
</div>
<div class="push-panels">
<div><svg viewBox="0 0 ${terms.length * 22} 196" role="img"></svg></div>
<div><svg viewBox="0 0 300 196" role="img"></svg></div>
</div>
<output for="push-dropout-mask-p push-dropout-mask-scale" aria-live="polite"></output>`,
  );
  const find = (id) => root.querySelector("#push-dropout-mask-" + id);
  const [table, plot] = root.querySelectorAll("svg");
  const output = root.querySelector("output");
  const at = (z) => ((Math.min(HIGH, Math.max(LOW, z)) - LOW) / (HIGH - LOW)) * 300;

  function drawMask(zeros, kept) {
    const cell = (m, i, j) =>
      m
        ? `<rect x="${j * 22 + 2}" y="${i * 22 + 2}" width="18" height="18" rx="3" fill="#2f7fd0"/>`
        : `<circle cx="${j * 22 + 11}" cy="${i * 22 + 11}" r="4" fill="none" stroke="#808890" stroke-width="1.5"/>`;
    table.innerHTML =
      zeros.map((row, i) => row.map((m, j) => cell(m, i, j)).join("")).join("") +
      `<text x="${terms.length * 11}" y="192" text-anchor="middle">` +
      `${terms.length} units, ${ROWS} equal samples</text>`;
    table.setAttribute(
      "aria-label",
      `Mask of ${ROWS} rows and ${terms.length} columns: ${kept} of ${COUNT} entries kept, ` +
        "drawn as filled squares.",
    );
  }

  function drawSpread({ bins, mean, deviation }, inputs) {
    const top = Math.max(...bins);
    const bars = bins.map((share, k) => {
      const height = (share / top) * 120;
      return `<rect x="${k * 5}" y="${150 - height}" width="4.4" height="${height}" fill="#2f7fd0" opacity=".55"/>`;
    });
    const line = (z, dash) =>
      `<line x1="${at(z)}" x2="${at(z)}" y1="22" y2="152" stroke="currentColor" ` +
      `stroke-width="1.6" stroke-dasharray="${dash}"/>`;
    const dots = inputs.map(
      (z, i) => `<circle cx="${at(z)}" cy="${146 - i * 10}" r="4.5" fill="#d26a00"/>`,
    );
    const ticks = [0, 6, 12, 18, 24].map(
      (z) => `<text x="${at(z)}" y="170" text-anchor="middle">${z}</text>`,
    );
    plot.innerHTML =
      bars.join("") +
      line(mean, "none") +
      line(full, "3 4") +
      dots.join("") +
      ticks.join("") +
      '<line x1="0" x2="300" y1="152" y2="152" stroke="currentColor"/>' +
      '<text x="150" y="14" text-anchor="middle">— mean    ┄ without dropout</text>' +
      '<text x="150" y="190" text-anchor="middle">input of the next unit</text>';
    plot.setAttribute(
      "aria-label",
      `Histogram of the next unit's input: mean ${mean.toFixed(2)}, standard deviation ` +
        `${deviation.toFixed(2)}. The ${ROWS} rows received ` +
        `${inputs.map((z) => z.toFixed(1)).join(", ")}.`,
    );
  }

  function draw() {
    const p = Number(find("p").value);
    const scale = find("scale").checked ? 1 / (1 - p) : 1;
    const perColumn = root.querySelector("input[type=radio]:checked").value === "column";
    const zeros = mask(seed, p, perColumn, ROWS, terms.length);
    const kept = zeros.flat().reduce((sum, m) => sum + m, 0);
    const spread = distribution(terms, p, scale);
    drawMask(zeros, kept);
    drawSpread(spread, received(terms, zeros, scale));
    output.textContent =
      `p = ${p.toFixed(2)}: ${kept} of ${COUNT} entries kept, survivors × ${scale.toFixed(2)}, ` +
      `mean input ${spread.mean.toFixed(2)} (${full.toFixed(2)} without dropout), ` +
      `standard deviation ${spread.deviation.toFixed(2)}.`;
  }

  root.addEventListener("input", draw);
  root.querySelector("button").addEventListener("click", () => {
    seed += 1;
    draw();
  });
  draw();
  root.hidden = false;
})();
